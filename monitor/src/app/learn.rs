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
use crate::scan::Effort;
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
    if !options.host.shows_processes() {
        let place = options.host.path("/proc");
        tracing::warn!(proc = %place.display(), "the host's processes are not seen: no exposure by them, no engine sockets");
    }
    let targets = catalog::targets(&options.host, &Catalog::default(), &options.roots);
    let watch = StoreWatch::start(options.host.clone(), targets, QUIET).context("watch the stores")?;
    let own = Arc::clone(&shared.maps);
    let effort = Effort {
        idle: config.scan.idle,
        bytes_per_second: config.scan.bytes_per_second,
    };
    let worker = start::worker(config, effort, move |pid| leave_out(&own, pid))?;
    let (maps, canary) = (Arc::clone(&shared.maps), started.canary.key());
    let (pulled, happened, watched) = (shared.clone(), shared.clone(), shared.clone());
    let mut gap = Gap::default();
    let mut open_files = Some(open_files);
    let outputs = Outputs {
        knowledge,
        arm: Box::new(move |knowledge| {
            let wanted = survey::watch_set(knowledge, canary);
            gap.becomes(arm(&maps, &wanted), &watched);
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

/// Tells the kernel programs what to watch; how many inodes do not fit, or what went wrong.
fn arm(maps: &Mutex<WatchMaps>, wanted: &WatchSet) -> Result<usize, String> {
    let mut maps = maps.lock().map_err(|error| error.to_string())?;
    maps.apply(wanted).map_err(|error| chain(&error))
}

/// What the kernel was to watch and does not.
#[derive(Debug, Default)]
struct Gap {
    /// Inodes, one at least where their number is not known.
    unwatched: usize,
}

impl Gap {
    /// Says when more is to be watched than the kernel's maps hold, and when all is watched again.
    fn becomes(&mut self, armed: Result<usize, String>, shared: &Shared) {
        let (unwatched, detail) = match armed {
            Ok(left_out) => (
                left_out,
                format!("{left_out} inodes do not fit the kernel's maps and are not watched"),
            ),
            Err(error) => (1, format!("the kernel's maps were not filled: {error}")),
        };
        let changed = (unwatched > 0) != (self.unwatched > 0);
        self.unwatched = unwatched;
        shared.metrics.unwatched(unwatched);
        if unwatched > 0 {
            tracing::error!(unwatched, detail, "not all that was found is watched");
        }
        if changed {
            let state = StateReport {
                time: now(),
                alert: AlertKind::CoverageGap,
                active: unwatched > 0,
                detail,
                exposed: None,
            };
            shared.sinks.emit(&Record::new(RecordKind::State(state)));
        }
    }
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
