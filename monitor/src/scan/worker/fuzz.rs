//! A worker's answer as a function over bytes, as `Session` believes it.
//!
//! Invariant: what is accepted holds what `check` asks of every finding. Called by `scan::fuzz`; no part of the program.

use super::accept;
use super::protocol::Response;
use crate::model::{Finding, ImageId, StoreId};
use crate::scan::rules::RuleSet;

/// Parses a line and accepts what it says.
pub(in crate::scan) fn believe(rules: &RuleSet, line: &[u8], check: &dyn Fn(&Finding)) {
    let Ok(response) = serde_json::from_slice::<Response>(line) else {
        return;
    };
    match response {
        Response::Found(wire) => {
            let file = accept::file_finding(rules, (*wire).clone(), None);
            let config = accept::config_finding(rules, *wire, &StoreId::new("s"), &ImageId::new("i"));
            [file, config].iter().flatten().for_each(check);
        }
        Response::Shape(shape) => drop(accept::shape(shape)),
        Response::Done(summary) => drop(accept::summary(summary)),
        Response::Layer { diff_id, .. } => drop(accept::diff_id(&diff_id)),
        Response::Ready { .. } | Response::Progress(_) | Response::Shadow(_) | Response::Failed { .. } => {}
    }
}
