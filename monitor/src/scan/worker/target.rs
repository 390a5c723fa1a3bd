//! The talk about a target: what it is, what is found, what later layers do to that.
//!
//! Invariant: each answer is believed on its own, so that what came before a bad one, a deadline or an interruption
//! stays; numbers are those of things that were told. Called by `ScanWorker::scan_target`.

use tokio::io::AsyncWriteExt;

use super::protocol::{self, Request, Response};
use super::{MAX_ANSWER_BYTES, Running, Subject, accept, protocol_error, refused};
use crate::scan::error::ScanError;
use crate::scan::rules::RuleSet;
use crate::scan::summary::Progress;
use crate::scan::target::{Shadow, TargetScan};

/// Findings of one target.
const MAX_FINDINGS: usize = 100_000;
/// What later layers do to one finding.
const MAX_SHADOWS: usize = 4096;

impl Running {
    pub(super) async fn converse_about_target(
        &mut self,
        rules: &RuleSet,
        request: &Request,
        subject: &Subject,
        scan: &mut TargetScan,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<(), ScanError> {
        if self.stdin.write_all(&protocol::line(request)).await.is_err() {
            return Err(self.ended(subject).await);
        }
        let mut bytes = 0;
        loop {
            let (response, length) = self.answer(subject).await?;
            bytes += length;
            if bytes > MAX_ANSWER_BYTES && !matches!(response, Response::Progress(_)) {
                return Err(protocol_error(subject, "more findings than it may report"));
            }
            match response {
                Response::Progress(now) => {
                    bytes -= length;
                    scan.progress = now;
                    progress(now);
                }
                Response::Done(summary) => {
                    let summary = accept::summary(summary).map_err(|what| protocol_error(subject, what))?;
                    scan.summary = Some(summary);
                    return Ok(());
                }
                Response::Failed { reason } => return Err(refused(subject, &reason)),
                Response::Ready { .. }
                | Response::Found(_)
                | Response::Shape(_)
                | Response::Layer { .. }
                | Response::Shadow(_) => {
                    take(response, rules, scan).map_err(|what| protocol_error(subject, what))?;
                }
            }
        }
    }
}

fn take(response: Response, rules: &RuleSet, scan: &mut TargetScan) -> Result<(), &'static str> {
    match response {
        Response::Shape(shape) if scan.shape.is_none() => scan.shape = Some(accept::shape(shape)?),
        Response::Found(wire) if scan.findings.len() < MAX_FINDINGS => {
            let found = accept::target_finding(rules, *wire, scan.shape.as_ref())?;
            scan.findings.push(found);
        }
        Response::Found(_) => return Err("more findings than it may report"),
        Response::Layer { layer, diff_id } => {
            let layers = scan.shape.iter_mut().flat_map(|shape| shape.layers.iter_mut());
            let mut numbered = layers.zip(0u32..);
            let named = numbered.find(|(_, number)| *number == layer);
            let (name, _) = named.ok_or("a layer that the target has not")?;
            accept::diff_id(&diff_id)?.clone_into(name);
        }
        Response::Shadow(Shadow {
            finding,
            layer,
            effect,
        }) => {
            let number = usize::try_from(finding).ok();
            let found = number.and_then(|number| scan.findings.get_mut(number));
            let found = found.ok_or("a finding that was not told")?;
            if found.shadows.len() >= MAX_SHADOWS {
                return Err("more layers than a target has");
            }
            found.shadows.push((layer, effect));
        }
        Response::Shape(_)
        | Response::Ready { .. }
        | Response::Progress(_)
        | Response::Done(_)
        | Response::Failed { .. } => return Err("an answer to another question"),
    }
    Ok(())
}
