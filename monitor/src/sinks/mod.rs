//! Where records go: the only place that knows output formats.
//!
//! Invariant: `emit` never waits. Each sink has a bounded queue and a worker of its own; what does not fit is lost for
//! that sink alone, and counted. Every record is counted in the metrics before it is offered to any sink.
//! Called by the event plane (`emit`) and by `app` (everything else).

pub mod alertmanager;
pub mod json_log;
pub mod web;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};

use crate::model::{Record, RecordKind};
use crate::telemetry::happenings::{AccessRecorded, AlertRaised, ImagePulled, RecordsLost, StateChanged};
use crate::telemetry::{Metrics, SinkName};

pub use alertmanager::{Alertmanager, AlertmanagerError, AlertmanagerOptions};
pub use json_log::{JsonLog, JsonLogError};
pub use web::{Web, WebError, WebState};

/// The wall clock, passed in.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;
/// A number from 0 to 1, passed in: it spreads the retries of many agents.
pub type Random = Arc<dyn Fn() -> f64 + Send + Sync>;

/// How many records may wait for one sink.
pub(crate) const QUEUE: usize = 4096;

/// One sink as `emit` sees it.
pub(crate) struct Outlet {
    name: SinkName,
    wants: fn(&RecordKind) -> bool,
    sender: mpsc::Sender<Arc<Record>>,
    overflowing: AtomicBool,
    /// Records that the queue took.
    taken: AtomicU64,
    /// Of them, those that were delivered or given up.
    settled: Arc<AtomicU64>,
    /// Set when the program ends: no more retries.
    stopping: Arc<AtomicBool>,
    /// Resolves when the worker is done.
    done: oneshot::Receiver<()>,
}

impl std::fmt::Debug for Outlet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outlet")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// What a worker gets to work with.
#[derive(Debug)]
pub(crate) struct Inlet {
    pub(crate) receiver: mpsc::Receiver<Arc<Record>>,
    pub(crate) stopping: Arc<AtomicBool>,
    /// To be raised for each record that was delivered or given up.
    pub(crate) settled: Arc<AtomicU64>,
    /// Dropped when the worker is done.
    pub(crate) done: oneshot::Sender<()>,
}

impl Outlet {
    pub(crate) fn new(name: SinkName, wants: fn(&RecordKind) -> bool, queue: usize) -> (Self, Inlet) {
        let (sender, receiver) = mpsc::channel(queue.max(1));
        let (finished, done) = oneshot::channel();
        let stopping = Arc::new(AtomicBool::new(false));
        let settled = Arc::new(AtomicU64::new(0));
        let inlet = Inlet {
            receiver,
            stopping: Arc::clone(&stopping),
            settled: Arc::clone(&settled),
            done: finished,
        };
        let overflowing = AtomicBool::new(false);
        (
            Self {
                name,
                wants,
                sender,
                overflowing,
                taken: AtomicU64::new(0),
                settled,
                stopping,
                done,
            },
            inlet,
        )
    }

    fn offer(&self, record: &Arc<Record>, metrics: &Metrics) {
        if self.sender.try_send(Arc::clone(record)).is_ok() {
            self.taken.fetch_add(1, Ordering::Relaxed);
            self.overflowing.store(false, Ordering::Relaxed);
        } else if self.overflowing.swap(true, Ordering::Relaxed) {
            // The log line was written when the overflow began; a flood must not flood the log too.
            metrics.sink_lost(self.name, 1);
        } else {
            let (sink, count, reason) = (self.name, 1, "queue full");
            RecordsLost { sink, count, reason }.report(metrics);
        }
    }
}

/// All sinks.
#[derive(Debug)]
pub struct Sinks {
    metrics: Arc<Metrics>,
    outlets: Vec<Outlet>,
    log: Option<json_log::Reopen>,
}

impl Sinks {
    /// Without any sink: records are only counted.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self {
            metrics,
            outlets: Vec::new(),
            log: None,
        }
    }

    /// Adds the JSON log and starts its thread.
    pub fn add_json_log(&mut self, log: JsonLog) -> Result<(), JsonLogError> {
        let (outlet, reopen) = log.start(Arc::clone(&self.metrics))?;
        self.outlets.push(outlet);
        self.log = Some(reopen);
        Ok(())
    }

    /// Adds the Alertmanagers and starts their tasks on the current tokio runtime.
    pub fn add_alertmanager(&mut self, alertmanager: Alertmanager) -> Result<(), AlertmanagerError> {
        self.outlets.push(alertmanager.start(&self.metrics)?);
        Ok(())
    }

    /// Counts the record and offers it to each sink; never waits.
    pub fn emit(&self, record: &Record) {
        match &record.body {
            RecordKind::Alert(alert) => AlertRaised(alert).report(&self.metrics),
            RecordKind::Access(access) => AccessRecorded(access).report(&self.metrics),
            RecordKind::Pull(pull) => ImagePulled(pull).report(&self.metrics),
            RecordKind::State(state) => StateChanged(state).report(&self.metrics),
        }
        let mut shared = None;
        for outlet in &self.outlets {
            if (outlet.wants)(&record.body) {
                let record = shared.get_or_insert_with(|| Arc::new(record.clone()));
                outlet.offer(record, &self.metrics);
            }
        }
    }

    /// How many records the log was given so far: what is to be written before a restart of the agent can lose nothing.
    pub fn logged(&self) -> u64 {
        self.log_outlet()
            .map_or(0, |log| log.taken.load(Ordering::Relaxed))
    }

    /// How many of them are written, or given up and counted as lost.
    pub fn log_settled(&self) -> u64 {
        self.log_outlet()
            .map_or(0, |log| log.settled.load(Ordering::Acquire))
    }

    /// Whether the log takes `records` more.
    pub fn log_has_room(&self, records: usize) -> bool {
        self.log_outlet()
            .is_none_or(|log| log.sender.capacity() >= records)
    }

    fn log_outlet(&self) -> Option<&Outlet> {
        self.outlets
            .iter()
            .find(|outlet| outlet.name == SinkName::JsonLog)
    }

    /// Opens the log file anew before the next line, for log rotation.
    pub fn reopen(&self) {
        if let Some(log) = &self.log {
            log.request();
        }
    }

    /// Lets each sink deliver what it has, at most for `wait`; the names of those that did not finish.
    pub async fn shutdown(self, wait: Duration) -> Vec<SinkName> {
        let deadline = tokio::time::Instant::now() + wait;
        let mut pending = Vec::new();
        for outlet in self.outlets {
            outlet.stopping.store(true, Ordering::Release);
            drop(outlet.sender);
            pending.push((outlet.name, outlet.done));
        }
        let mut unfinished = Vec::new();
        for (name, done) in pending {
            if tokio::time::timeout_at(deadline, done).await.is_err() {
                unfinished.push(name);
            }
        }
        unfinished
    }
}

#[cfg(test)]
pub(crate) mod samples;
#[cfg(test)]
mod tests;
