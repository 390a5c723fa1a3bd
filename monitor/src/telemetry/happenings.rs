//! What happens, one item each: its log line and its metric in one call.
//!
//! Invariant: `report` is the only way a happening reaches the log, and it moves the metric in the same breath. Texts
//! from outside were escaped when the record was made. Used where the happening happens.

use std::error::Error;
use std::time::Duration;

use jiff::Timestamp;
use tracing::{debug, error, info, warn};

use super::labels::{DropReason, Hook, KnowledgePart, Label, SinkName, Stage, StageOutcome, Tier};
use super::metrics::{Inventory, Metrics, PeerMetrics};
use crate::model::{Alert, ArrivalKind, PullReport, StateReport};

/// An error and its causes on one line, as `anyhow` prints them with `{:#}`.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// The kernel programs are attached and fire.
#[derive(Debug)]
pub struct KernelAttached<'a> {
    /// How the kernel is watched.
    pub tier: Tier,
    /// The places that are looked at.
    pub hooks: &'a [Hook],
}

impl KernelAttached<'_> {
    /// Logs and counts it.
    pub fn report(self, metrics: &Metrics) {
        let hooks: Vec<_> = self.hooks.iter().map(|hook| hook.value()).collect();
        info!(
            tier = self.tier.value(),
            hooks = hooks.join(" "),
            "kernel programs attached"
        );
        metrics.kernel_attached(self.tier, self.hooks);
    }
}

/// The kernel refuses a program at a place other than the open: what happens there is not seen.
#[derive(Debug)]
pub struct HookRefused<'a> {
    /// Where.
    pub hook: Hook,
    /// What the kernel said.
    pub reason: &'a str,
}

impl HookRefused<'_> {
    /// Logs and counts it.
    pub fn report(self, metrics: &Metrics) {
        warn!(
            hook = self.hook.value(),
            reason = self.reason,
            "the kernel refuses a program: the agent is blind there"
        );
        metrics.hook_attached(self.hook, false);
    }
}

/// Processes are not followed.
#[derive(Debug)]
pub struct ProcessesUnfollowed<'a> {
    /// Why.
    pub reason: &'a str,
}

impl ProcessesUnfollowed<'_> {
    /// Logs and counts it.
    pub fn report(self, metrics: &Metrics) {
        error!(
            reason = self.reason,
            "processes are not followed: one that is gone before it can be looked at has no name"
        );
        metrics.hook_attached(Hook::Process, false);
    }
}

/// The files that were open before the start were looked for.
#[derive(Debug)]
pub struct OpenFilesListed {
    /// How many lie on watched devices.
    pub files: usize,
    /// How many processes and files could not be looked at or found no room.
    pub unread: u64,
}

impl OpenFilesListed {
    /// Logs and counts it.
    pub fn report(self, metrics: &Metrics) {
        info!(files = self.files, unread = self.unread, "open files listed");
        if self.unread > 0 {
            // They never were an event: they count as received by the first stage and lost there.
            metrics.stage(Stage::Decode, StageOutcome::Received, self.unread);
            let (reason, count) = (DropReason::OpenFiles, self.unread);
            let detail = "open before the start, and not listed";
            EventsDropped {
                reason,
                count,
                detail,
            }
            .report(metrics);
        }
    }
}

/// A hook no longer fires.
#[derive(Debug)]
pub struct HookSilent {
    /// Which.
    pub hook: Hook,
}

impl HookSilent {
    /// Logs and counts it.
    pub fn report(self, metrics: &Metrics) {
        error!(
            hook = self.hook.value(),
            "hook does not fire: the agent is blind there"
        );
        metrics.hook_attached(self.hook, false);
    }
}

/// The canary's event came back.
#[derive(Debug)]
pub struct CanarySeen {
    /// When the event arrived.
    pub time: Timestamp,
    /// How long after the open.
    pub latency: Duration,
}

impl CanarySeen {
    /// Logs and counts it.
    pub fn report(self, metrics: &Metrics) {
        debug!(latency_us = self.latency.as_micros(), "canary seen");
        metrics.canary_seen(self.time, self.latency);
    }
}

/// A stage lost events.
#[derive(Debug)]
pub struct EventsDropped<'a> {
    /// Why.
    pub reason: DropReason,
    /// How many.
    pub count: u64,
    /// What exactly, for people.
    pub detail: &'a str,
}

impl EventsDropped<'_> {
    /// Logs and counts it.
    pub fn report(self, metrics: &Metrics) {
        let (stage, reason) = (self.reason.stage().value(), self.reason.value());
        warn!(
            stage,
            reason,
            count = self.count,
            detail = self.detail,
            "events dropped"
        );
        metrics.stage_dropped(self.reason, self.count);
    }
}

/// A new snapshot is in use.
#[derive(Debug)]
pub struct KnowledgeBuilt<'a> {
    /// When it was done.
    pub time: Timestamp,
    /// How long it took.
    pub took: Duration,
    /// Its number.
    pub generation: u64,
    /// What it holds.
    pub inventory: &'a Inventory,
}

impl KnowledgeBuilt<'_> {
    /// Logs and counts it.
    pub fn report(self, metrics: &Metrics) {
        let sum = |counts: &mut dyn Iterator<Item = &u64>| counts.sum::<u64>();
        info!(
            generation = self.generation,
            took_ms = self.took.as_millis(),
            stores = sum(&mut self.inventory.stores.values()),
            images = sum(&mut self.inventory.images.values()),
            layers = sum(&mut self.inventory.layers.values()),
            findings = sum(&mut self.inventory.findings.values()),
            exposed = sum(&mut self.inventory.exposed.values()),
            "knowledge built"
        );
        metrics.knowledge_built(self.time, self.took, self.inventory);
    }
}

/// A part of building knowledge failed; the rest goes on.
#[derive(Debug)]
pub struct KnowledgeFailed<'a> {
    /// Which part.
    pub part: KnowledgePart,
    /// Why; its chain of causes is printed.
    pub error: &'a (dyn Error + 'static),
}

impl KnowledgeFailed<'_> {
    /// Logs and counts it.
    pub fn report(self, metrics: &Metrics) {
        warn!(
            part = self.part.value(),
            error = chain(self.error),
            "knowledge is incomplete"
        );
        metrics.knowledge_failed(self.part);
    }
}

/// An alert goes out.
#[derive(Debug)]
pub struct AlertRaised<'a>(pub &'a Alert);

impl AlertRaised<'_> {
    /// Logs and counts it, and the read of its finding.
    pub fn report(self, metrics: &Metrics) {
        let alert = self.0;
        let (kind, severity, id) = (alert.alert.as_str(), alert.severity.as_str(), alert.id.as_str());
        warn!(
            kind,
            severity,
            id,
            uid = alert.subject.uid,
            pid = alert.process.pid,
            "alert"
        );
        metrics.alert(alert.alert, alert.severity);
        if let Some(finding) = &alert.finding {
            metrics.sensitive_reads(finding.severity, finding.category, 1);
        }
    }
}

/// An access was recorded and not alerted.
#[derive(Debug)]
pub struct AccessRecorded<'a>(pub &'a Alert);

impl AccessRecorded<'_> {
    /// Logs and counts it.
    pub fn report(self, metrics: &Metrics) {
        let access = self.0;
        let sanction = access.sanction.map_or("none", |sanction| sanction.as_str());
        debug!(
            sanction,
            id = access.id.as_str(),
            uid = access.subject.uid,
            "access recorded"
        );
        if let Some(sanction) = access.sanction {
            metrics.sanctioned(sanction, 1);
        }
    }
}

/// An image arrived.
#[derive(Debug)]
pub struct ImagePulled<'a>(pub &'a PullReport);

impl ImagePulled<'_> {
    /// Logs and counts it.
    pub fn report(self, metrics: &Metrics) {
        let pull = self.0;
        let image = pull.image.as_ref();
        let name = image.and_then(|image| image.name.as_deref()).unwrap_or("<none>");
        if pull.arrival == ArrivalKind::Failed {
            warn!(store = %pull.store, bytes = pull.new_bytes, "a pull failed");
            return;
        }
        info!(image = name, store = %pull.store, new_layers = pull.new_layers, "image arrived");
        // An image without layers (a bare configuration) has no engine to count it under; the log line names it.
        if let Some(layer) = pull.layers.first() {
            metrics.pulled(layer.engine);
        }
    }
}

/// The agent's own state or an exposure changed.
#[derive(Debug)]
pub struct StateChanged<'a>(pub &'a StateReport);

impl StateChanged<'_> {
    /// Logs it, and counts its beginning as an alert.
    pub fn report(self, metrics: &Metrics) {
        let (kind, detail) = (self.0.alert.as_str(), self.0.detail.as_str());
        if self.0.active {
            let exposed = self.0.exposed.as_ref().map(|exposed| exposed.severity);
            // An exposure is the host's, as a read is; only the agent's own states are its errors.
            if exposed.is_some() {
                warn!(kind, detail, "state alert began");
            } else {
                error!(kind, detail, "state alert began");
            }
            let severity = super::state_severity(self.0.alert).or(exposed);
            let severity = severity.unwrap_or(crate::model::Severity::Medium);
            metrics.alert(self.0.alert, severity);
        } else {
            info!(kind, detail, "state alert ended");
        }
    }
}

/// A sink's attempt failed; it will be repeated.
#[derive(Debug)]
pub struct SinkFailed<'a> {
    /// Which sink.
    pub sink: SinkName,
    /// Why.
    pub error: &'a (dyn Error + 'static),
}

impl SinkFailed<'_> {
    /// Logs and counts it.
    pub fn report(self, metrics: &Metrics) {
        warn!(
            sink = self.sink.value(),
            error = chain(self.error),
            "sink failed, will try again"
        );
        metrics.sink_failed(self.sink);
    }
}

/// A sink lost records.
#[derive(Debug)]
pub struct RecordsLost {
    /// Which sink.
    pub sink: SinkName,
    /// How many.
    pub count: u64,
    /// Why, in two words.
    pub reason: &'static str,
}

impl RecordsLost {
    /// Logs and counts it.
    pub fn report(self, metrics: &Metrics) {
        error!(
            sink = self.sink.value(),
            count = self.count,
            reason = self.reason,
            "records lost"
        );
        metrics.sink_lost(self.sink, self.count);
    }
}

/// What an Alertmanager answered to so many alerts.
#[derive(Debug)]
pub enum Delivery<'a> {
    /// It has them.
    Accepted,
    /// It does not answer or asks to come back; they are sent again.
    Failed {
        /// Why.
        error: &'a str,
    },
    /// It refused the request; they are not sent again before they are due.
    Rejected {
        /// Why.
        error: &'a str,
    },
    /// They had to make room in the queue.
    Dropped,
}

/// Alerts were delivered to an Alertmanager, or not.
#[derive(Debug)]
pub struct AlertsDelivered<'a> {
    /// The Alertmanager's place in the configuration.
    pub peer: usize,
    /// How many alerts.
    pub count: u64,
    /// What became of them.
    pub delivery: Delivery<'a>,
}

impl AlertsDelivered<'_> {
    /// Logs and counts it.
    pub fn report(self, metrics: &PeerMetrics) {
        let (peer, count) = (self.peer, self.count);
        match self.delivery {
            Delivery::Accepted => {
                debug!(peer, count, "alerts accepted");
                metrics.sent.inc_by(count);
            }
            Delivery::Failed { error } => {
                warn!(peer, count, error, "alerts not delivered, will try again");
                metrics.failed.inc_by(count);
            }
            Delivery::Rejected { error } => {
                error!(peer, count, error, "alerts refused");
                metrics.rejected.inc_by(count);
            }
            Delivery::Dropped => {
                error!(peer, count, "alerts dropped: queue full");
                metrics.dropped.inc_by(count);
            }
        }
    }
}

/// The configuration was loaded, or could not be and the old one stays.
#[derive(Debug)]
pub struct ConfigLoaded<'a> {
    /// When.
    pub time: Timestamp,
    /// What was wrong.
    pub error: Option<&'a (dyn Error + 'static)>,
}

impl ConfigLoaded<'_> {
    /// Logs and counts it.
    pub fn report(self, metrics: &Metrics) {
        if let Some(error) = self.error {
            error!(error = chain(error), "configuration refused, the old one stays");
            metrics.config_loaded(None);
        } else {
            info!("configuration loaded");
            metrics.config_loaded(Some(self.time));
        }
    }
}
