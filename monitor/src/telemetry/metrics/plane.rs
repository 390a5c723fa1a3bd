//! Metrics of the event plane: what each stage did with each event, and what came out of it.
//!
//! Invariant: per stage received = forwarded + filtered + parked + dropped, if the stages report so; a dropped event is
//! counted once by outcome and once by reason, in one call. Fed by the happenings.

use prometheus::{IntCounter, IntGauge, Registry};

use super::MetricsError;
use super::family::{Family, One, each, pairs, register};
use crate::model::{AlertKind, Category, Engine, Sanction, Severity};
use crate::telemetry::labels::{DropReason, Label, Stage, StageOutcome};

#[derive(Debug)]
pub(super) struct PlaneMetrics {
    stage_events: Family<(Stage, StageOutcome), IntCounter>,
    stage_dropped: Family<(Stage, DropReason), IntCounter>,
    parked: IntGauge,
    alerts: Family<(AlertKind, Severity), IntCounter>,
    sensitive_reads: Family<(Severity, Category), IntCounter>,
    sanctioned: Family<One<Sanction>, IntCounter>,
    pulls: Family<One<Engine>, IntCounter>,
    asked: IntCounter,
}

impl PlaneMetrics {
    pub(super) fn new(registry: &Registry) -> Result<Self, MetricsError> {
        Ok(Self {
            stage_events: Family::counters(
                registry,
                "layerwatch_stage_events_total",
                "Events at each stage of the event plane; received = forwarded + filtered + parked + dropped.",
                pairs().filter(|(stage, outcome)| is_possible(*stage, *outcome)),
            )?,
            stage_dropped: Family::counters(
                registry,
                "layerwatch_stage_dropped_total",
                "Events a stage lost, by reason.",
                DropReason::VALUES.iter().map(|reason| (reason.stage(), *reason)),
            )?,
            parked: register(
                registry,
                "layerwatch_parked_accesses",
                IntGauge::new(
                    "layerwatch_parked_accesses",
                    "Accesses that wait for knowledge of the layer they touched.",
                ),
            )?,
            alerts: Family::counters(
                registry,
                "layerwatch_alerts_total",
                "Alerts raised, by kind and severity.",
                pairs().filter(|(kind, severity)| is_expected(*kind, *severity)),
            )?,
            sensitive_reads: Family::counters(
                registry,
                "layerwatch_sensitive_reads_total",
                "Alerted reads of files with a finding, by the finding's severity (low: info too) and category.",
                pairs().filter(|(severity, _)| *severity != Severity::Info),
            )?,
            sanctioned: Family::counters(
                registry,
                "layerwatch_sanctioned_total",
                "Accesses that were recorded and not alerted, by why they are fine.",
                each(),
            )?,
            pulls: Family::counters(
                registry,
                "layerwatch_pulls_total",
                "Images that arrived in a store, by the store's format.",
                each(),
            )?,
            asked: register(
                registry,
                "layerwatch_engine_connects_total",
                IntCounter::new(
                    "layerwatch_engine_connects_total",
                    "Connections to the sockets of container engines by others than the host's root and the engine's owner.",
                ),
            )?,
        })
    }

    pub(super) fn stage(&self, stage: Stage, outcome: StageOutcome, count: u64) {
        self.stage_events.add((stage, outcome), count);
    }

    pub(super) fn dropped(&self, reason: DropReason, count: u64) {
        self.stage_events
            .add((reason.stage(), StageOutcome::Dropped), count);
        self.stage_dropped.add((reason.stage(), reason), count);
    }

    pub(super) fn parked(&self, count: usize) {
        self.parked.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    pub(super) fn alert(&self, kind: AlertKind, severity: Severity) {
        let severity = state_severity(kind).unwrap_or_else(|| counted(severity));
        self.alerts.add((kind, severity), 1);
    }

    pub(super) fn sensitive_reads(&self, severity: Severity, category: Category, count: u64) {
        self.sensitive_reads
            .add((counted(severity), category.counted()), count);
    }

    pub(super) fn sanctioned(&self, sanction: Sanction, count: u64) {
        self.sanctioned.add(One(sanction), count);
    }

    pub(super) fn asked(&self, count: u64) {
        self.asked.inc_by(count);
    }

    pub(super) fn pulled(&self, engine: Engine) {
        self.pulls.add(One(engine.counted()), 1);
    }
}

/// Two levels that nobody is woken for are one series.
fn counted(severity: Severity) -> Severity {
    severity.max(Severity::Low)
}

/// Only `correlate` parks; only a stage with a drop reason drops.
fn is_possible(stage: Stage, outcome: StageOutcome) -> bool {
    match outcome {
        StageOutcome::Received | StageOutcome::Forwarded | StageOutcome::Filtered => true,
        StageOutcome::Parked => stage == Stage::Correlate,
        StageOutcome::Dropped => DropReason::VALUES.iter().any(|reason| reason.stage() == stage),
    }
}

fn is_expected(kind: AlertKind, severity: Severity) -> bool {
    match kind {
        // Ordinary content is recorded and never alerted.
        AlertKind::LayerContentRead => false,
        // A device is no finding: the alert is high, or low when the kernel refused the open.
        AlertKind::RawDeviceRead => matches!(severity, Severity::High | Severity::Low),
        AlertKind::SensitiveLayerRead
        | AlertKind::ForeignContainerRead
        | AlertKind::ForeignStoreRead
        | AlertKind::CacheApiAccess
        | AlertKind::SensitiveLayerExposed => severity != Severity::Info,
        AlertKind::MonitorBlind | AlertKind::EventsLost | AlertKind::CoverageGap => {
            state_severity(kind).is_none_or(|fixed| fixed == severity)
        }
    }
}

/// The severity of an alert about the agent itself; an access's severity is its finding's.
pub(crate) fn state_severity(kind: AlertKind) -> Option<Severity> {
    match kind {
        AlertKind::MonitorBlind => Some(Severity::Critical),
        AlertKind::EventsLost | AlertKind::CoverageGap => Some(Severity::Medium),
        AlertKind::SensitiveLayerRead
        | AlertKind::ForeignContainerRead
        | AlertKind::ForeignStoreRead
        | AlertKind::LayerContentRead
        | AlertKind::RawDeviceRead
        | AlertKind::CacheApiAccess
        | AlertKind::SensitiveLayerExposed => None,
    }
}
