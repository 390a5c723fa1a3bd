//! Metrics of the way out: sinks, Alertmanager peers, and the configuration's reload.
//!
//! Invariant: a peer is labelled by its place in the configuration, never by its address. Fed by `sinks` and `app`.

use prometheus::{Gauge, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry};

use super::family::{Family, One, counter_vector, each, gauge_vector, register};
use super::{MetricsError, seconds};
use crate::telemetry::labels::SinkName;

/// What one Alertmanager got and did not get.
#[derive(Clone, Debug)]
pub struct PeerMetrics {
    /// Alerts it accepted.
    pub sent: IntCounter,
    /// Alerts in requests that failed and will be tried again.
    pub failed: IntCounter,
    /// Alerts in requests it refused, which are not tried again.
    pub rejected: IntCounter,
    /// Alerts dropped because its queue was full.
    pub dropped: IntCounter,
    /// Alerts that wait.
    pub queue_length: IntGauge,
    /// Alerts that may wait.
    pub queue_capacity: IntGauge,
}

#[derive(Debug)]
pub(super) struct DeliveryMetrics {
    sent: IntCounterVec,
    failed: IntCounterVec,
    rejected: IntCounterVec,
    dropped: IntCounterVec,
    queue_length: IntGaugeVec,
    queue_capacity: IntGaugeVec,
    active: IntGauge,
    records: Family<One<SinkName>, IntCounter>,
    errors: Family<One<SinkName>, IntCounter>,
    lost: Family<One<SinkName>, IntCounter>,
    reload_good: IntGauge,
    reload_time: Gauge,
}

impl DeliveryMetrics {
    pub(super) fn new(registry: &Registry) -> Result<Self, MetricsError> {
        let peer = |name, help| counter_vector(registry, name, help, &["peer"]);
        let queue = |name, help| gauge_vector(registry, name, help, &["peer"]);
        let sink = |name, help| Family::counters(registry, name, help, each());
        let active = "layerwatch_alertmanager_active_alerts";
        let good = "layerwatch_config_last_reload_successful";
        let time = "layerwatch_config_last_reload_success_timestamp_seconds";
        Ok(Self {
            sent: peer(
                "layerwatch_alertmanager_notifications_total",
                "Alerts an Alertmanager accepted.",
            )?,
            failed: peer(
                "layerwatch_alertmanager_failed_total",
                "Alerts in requests that failed and are tried again.",
            )?,
            rejected: peer(
                "layerwatch_alertmanager_rejected_total",
                "Alerts in requests that an Alertmanager refused.",
            )?,
            dropped: peer(
                "layerwatch_alertmanager_dropped_total",
                "Alerts dropped because the queue was full.",
            )?,
            queue_length: queue(
                "layerwatch_alertmanager_queue_length",
                "Alerts that wait to be sent.",
            )?,
            queue_capacity: queue(
                "layerwatch_alertmanager_queue_capacity",
                "Alerts that may wait to be sent.",
            )?,
            active: register(
                registry,
                active,
                IntGauge::new(active, "Alerts that are kept alive at the Alertmanagers."),
            )?,
            records: sink("layerwatch_sink_records_total", "Records a sink delivered.")?,
            errors: sink(
                "layerwatch_sink_errors_total",
                "Attempts to deliver that failed and were repeated.",
            )?,
            lost: sink("layerwatch_sink_dropped_total", "Records a sink lost.")?,
            reload_good: register(
                registry,
                good,
                IntGauge::new(good, "Whether the last load of the configuration succeeded."),
            )?,
            reload_time: register(
                registry,
                time,
                Gauge::new(time, "When the configuration was last loaded."),
            )?,
        })
    }

    pub(super) fn peer(&self, index: usize) -> Result<PeerMetrics, prometheus::Error> {
        let index = index.to_string();
        let label = [index.as_str()];
        Ok(PeerMetrics {
            sent: self.sent.get_metric_with_label_values(&label)?,
            failed: self.failed.get_metric_with_label_values(&label)?,
            rejected: self.rejected.get_metric_with_label_values(&label)?,
            dropped: self.dropped.get_metric_with_label_values(&label)?,
            queue_length: self.queue_length.get_metric_with_label_values(&label)?,
            queue_capacity: self.queue_capacity.get_metric_with_label_values(&label)?,
        })
    }

    pub(super) fn active(&self, count: usize) {
        self.active.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    pub(super) fn delivered(&self, sink: SinkName, count: u64) {
        self.records.add(One(sink), count);
    }

    pub(super) fn sink_failed(&self, sink: SinkName) {
        self.errors.add(One(sink), 1);
    }

    pub(super) fn sink_lost(&self, sink: SinkName, count: u64) {
        self.lost.add(One(sink), count);
    }

    pub(super) fn config_loaded(&self, time: Option<jiff::Timestamp>) {
        self.reload_good.set(i64::from(time.is_some()));
        if let Some(time) = time {
            self.reload_time.set(seconds(time));
        }
    }
}
