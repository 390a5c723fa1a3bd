//! Scanning what the arguments name, until it is done or the user has seen enough.
//!
//! Invariant: after an interruption what was found so far is given back, marked as not complete; a target that cannot be
//! scanned is an error only before anything was scanned of it. Called by `scan`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use indicatif::{HumanBytes, ProgressBar};
use serde::Serialize;

use super::super::context::Context;
use super::super::output::note;
use super::baseline::Key;
use super::stores::in_stores;
use super::{FindingRow, ScanArguments};
use crate::app;
use crate::catalog;
use crate::model::text::printable;
use crate::scan::{
    Effort, Layout, Problem, Progress, ScanSummary, ScanWorker, SkipReason, TargetRequest, TargetScan,
};
use crate::telemetry::happenings::chain;

/// How long one target may take.
const DEADLINE: Duration = Duration::from_hours(24);

/// One thing that was scanned, and how far.
#[derive(Debug, Serialize)]
pub(super) struct TargetRow {
    target: String,
    layout: Option<Layout>,
    pub(super) complete: bool,
    files: u64,
    members: u64,
    bytes: u64,
    skipped: BTreeMap<SkipReason, u64>,
    pub(super) problems: Vec<Problem>,
    pub(super) problems_total: u64,
}

/// All that was found.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    pub(super) findings: Vec<FindingRow>,
    pub(super) targets: Vec<TargetRow>,
    pub(super) problems: Vec<catalog::Problem>,
    pub(super) interrupted: bool,
    /// Something could not be scanned to its end.
    pub(super) failed: bool,
}

/// The key that fingerprints of this host are made with, for baselines.
pub(super) fn key(context: &Context) -> Result<Key> {
    let config = context.config(&[])?;
    let worker = app::worker(&config, Effort::FOREGROUND, |_| {})?;
    Ok(Key {
        id: worker.key_id(),
        is_kept: config.state_directory.join(app::KEY_FILE).is_file(),
        directory: config.state_directory,
    })
}

/// Scans it all.
pub(super) async fn gather(context: &Context, arguments: &ScanArguments) -> Result<Gathered> {
    let bar = progress_bar(arguments.quiet);
    let mut gathered = Gathered::default();
    let (paths, images): (Vec<_>, Vec<_>) = arguments
        .targets
        .iter()
        .partition(|target| Path::new(target).exists());
    if !paths.is_empty() {
        let mut worker = app::worker(&context.config(&[])?, Effort::FOREGROUND, |_| {})?;
        for path in paths {
            if gathered.interrupted {
                break;
            }
            in_target(&mut worker, path, &bar, &mut gathered).await?;
        }
    }
    if (arguments.all || !images.is_empty()) && !gathered.interrupted {
        in_stores(context, &images, &bar, &mut gathered).await?;
    }
    bar.finish_and_clear();
    Ok(gathered)
}

/// On a terminal only; it draws on stderr.
fn progress_bar(quiet: bool) -> ProgressBar {
    if quiet {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new_spinner();
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

async fn in_target(
    worker: &mut ScanWorker,
    target: &str,
    bar: &ProgressBar,
    gathered: &mut Gathered,
) -> Result<()> {
    let path: PathBuf = Path::new(target)
        .canonicalize()
        .with_context(|| format!("open {target}"))?;
    let mut scan = TargetScan::default();
    let request = TargetRequest {
        path,
        deadline: DEADLINE,
    };
    let shown = printable(target.as_bytes()).to_string();
    let mut progress = |now: Progress| {
        bar.set_message(format!("{shown}: {} files, {}", now.files, HumanBytes(now.bytes)));
    };
    let outcome = tokio::select! {
        outcome = worker.scan_target(request, &mut scan, &mut progress) => Some(outcome),
        _ = tokio::signal::ctrl_c() => None,
    };
    match outcome {
        None => gathered.interrupted = true,
        Some(Ok(())) => {}
        Some(Err(error)) if scan.shape.is_none() => return Err(error.into()),
        Some(Err(error)) => {
            gathered.failed = true;
            note(&format!("layerwatch: warning: {}", chain(&error)));
        }
    }
    scan.name_places(&shown);
    let rows = scan
        .findings
        .iter()
        .map(|found| FindingRow::of_target(&shown, &scan, found));
    gathered.findings.extend(rows);
    let complete = scan.summary.is_some();
    let summary = scan.summary.unwrap_or_else(|| ScanSummary {
        files: scan.progress.files,
        bytes: scan.progress.bytes,
        ..ScanSummary::default()
    });
    gathered.targets.push(TargetRow {
        target: shown,
        layout: scan.shape.map(|shape| shape.layout),
        complete,
        files: summary.files,
        members: summary.members,
        bytes: summary.bytes,
        skipped: summary.skipped,
        problems: summary.problems,
        problems_total: summary.problems_total,
    });
    Ok(())
}
