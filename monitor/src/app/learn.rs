//! The knowledge plane wired: what it reads, what it arms, whom it tells.
//!
//! Invariant: a snapshot is published before the kernel watches what it says, so that no event is about something that
//! the event plane has not heard of. Called by `app`.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::sync::{mpsc, watch};

use super::open_files::OpenFilesSender;
use super::{Shared, Started, notify, now, start};
use crate::catalog::{self, Catalog, StoreWatch};
use crate::config::Config;
use crate::enrich::start_ticks;
use crate::kernel::{WatchMaps, WatchSet};
use crate::knowledge::Knowledge;
use crate::model::{AlertKind, ExposedReport, Record, RecordKind, StateReport};
use crate::pulls::PullSignal;
use crate::survey::{self, Happening, Outputs, Survey, SurveyTask};
use crate::telemetry::happenings::{KnowledgeBuilt, KnowledgeFailed, chain};
use crate::telemetry::{Condition, KnowledgePart, Notice};

/// An index is read when it was quiet for this long: a pull writes it many times.
const QUIET: Duration = Duration::from_millis(100);

/// The task that keeps the event plane's knowledge and the kernel's watches true.
pub(super) fn task(
    config: &Config,
    started: &Started,
    shared: &Shared,
    signals: mpsc::Receiver<PullSignal>,
    knowledge: watch::Sender<Arc<Knowledge>>,
    open_files: OpenFilesSender,
) -> Result<SurveyTask> {
    let options = start::survey_options(config, started.facts);
    let targets = catalog::targets(&options.host, &Catalog::default(), &options.roots);
    let watch = StoreWatch::start(options.host.clone(), targets, QUIET).context("watch the stores")?;
    let own = Arc::clone(&shared.maps);
    let worker = start::worker(config, move |pid| leave_out(&own, pid))?;
    let (maps, canary) = (Arc::clone(&shared.maps), started.canary.key());
    let (pulled, happened, watched) = (shared.clone(), shared.clone(), shared.clone());
    let mut left_out = 0;
    let mut open_files = Some(open_files);
    let outputs = Outputs {
        knowledge,
        arm: Box::new(move |knowledge| {
            let wanted = survey::watch_set(knowledge, canary);
            let now_left_out = arm(&maps, &wanted).unwrap_or(left_out);
            if (now_left_out > 0) != (left_out > 0) {
                gap(&watched, now_left_out);
            }
            left_out = now_left_out;
            // From here on an open is seen; what was opened before is looked for, once.
            if let Some(sender) = open_files.take() {
                sender.list(wanted.devices());
            }
        }),
        pulled: Box::new(move |pull| {
            pulled.sinks.emit(&Record::new(RecordKind::Pull(pull)));
        }),
        happened: Box::new(move |happening| report(&happened, &happening)),
        clock: now,
    };
    Ok(SurveyTask::new(
        Survey::new(options, worker, start::scan_cache(config)),
        watch,
        signals,
        outputs,
    ))
}

/// Tells the kernel programs what to watch; how many inodes do not fit, or nothing when it is not known.
fn arm(maps: &Mutex<WatchMaps>, wanted: &WatchSet) -> Option<usize> {
    let mut maps = maps.lock().ok()?;
    match maps.apply(wanted) {
        Ok(left_out) => Some(left_out),
        Err(error) => {
            tracing::error!(error = chain(&error), "the watch set was not applied");
            None
        }
    }
}

/// Says that more is to be watched than the kernel's maps hold, or that all fits again.
fn gap(shared: &Shared, left_out: usize) {
    let state = StateReport {
        time: now(),
        alert: AlertKind::CoverageGap,
        active: left_out > 0,
        detail: format!("{left_out} inodes do not fit the kernel's maps and are not watched"),
        exposed: None,
    };
    shared.sinks.emit(&Record::new(RecordKind::State(state)));
}

/// Says that a store is open to somebody, or is no longer.
fn exposed(shared: &Shared, report: &ExposedReport, active: bool) {
    let state = StateReport {
        time: now(),
        alert: AlertKind::SensitiveLayerExposed,
        active,
        detail: report.sentence(),
        exposed: Some(report.clone()),
    };
    shared.sinks.emit(&Record::new(RecordKind::State(state)));
}

/// Tells the kernel programs to leave out the scan worker, a child of this process. With its start, since the programs may
/// outlive both, and the id goes to another then.
fn leave_out(maps: &Mutex<WatchMaps>, pid: u32) {
    let Ok(mut maps) = maps.lock() else { return };
    let Some(start) = start_ticks(pid) else {
        return tracing::warn!("the scan worker's own reads will be reported: its start is not known");
    };
    if let Err(error) = maps.ignore_process(pid, start) {
        tracing::warn!(
            error = chain(&error),
            "the scan worker's own reads will be reported"
        );
    }
}

fn report(shared: &Shared, happening: &Happening<'_>) {
    match happening {
        Happening::Built {
            inventory,
            time,
            took,
            changed: false,
            ..
        } => {
            shared.metrics.knowledge_built(*time, *took, inventory);
        }
        Happening::Built {
            inventory,
            generation,
            time,
            took,
            changed: true,
        } => {
            KnowledgeBuilt {
                time: *time,
                took: *took,
                generation: *generation,
                inventory,
            }
            .report(&shared.metrics);
            if !shared.readiness.missing().is_empty() {
                shared.readiness.meet(Condition::KnowledgeBuilt);
                notify(shared, &Notice::Ready);
            }
        }
        Happening::Failed { part, error } => {
            KnowledgeFailed {
                part: *part,
                error: *error,
            }
            .report(&shared.metrics);
        }
        Happening::Problem { problem } => {
            tracing::warn!(
                kind = problem.kind.as_str(),
                problem = %problem,
                "a part of a store is not read"
            );
            shared.metrics.knowledge_failed(KnowledgePart::Catalog);
        }
        Happening::Exposed { report, active } => exposed(shared, report, *active),
        Happening::Unwatched { detail } => {
            tracing::warn!(detail, "changes of a store may be noticed late");
            shared.metrics.knowledge_failed(KnowledgePart::Catalog);
        }
    }
}
