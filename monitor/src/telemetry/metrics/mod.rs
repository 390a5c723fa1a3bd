//! The agent's metrics, in one registry that `/metrics` prints.
//!
//! Invariant: each time series exists before its first event, has labels from closed sets only, and there are fewer than
//! 200 of them with one Alertmanager (a test counts). No path, user, image or address is ever a label.
//! Changed through the happenings; read by the web sink and by the reference in docs/metrics.md.

mod delivery;
mod family;
mod kernel;
mod knowledge;
mod plane;
mod reference;
#[cfg(test)]
mod tests;

use prometheus::process_collector::ProcessCollector;
use prometheus::{Encoder, Registry, TextEncoder};

pub use delivery::PeerMetrics;
pub use knowledge::Inventory;
pub(crate) use plane::state_severity;
pub use reference::reference;

use super::labels::{DropReason, Hook, KnowledgePart, SinkName, Stage, StageOutcome, Tier};
use crate::model::{AlertKind, Category, Engine, Sanction, Severity};

/// Why the registry could not be made or printed.
#[derive(Debug, thiserror::Error)]
pub enum MetricsError {
    /// A metric's name or labels are malformed.
    #[error("define metric {name}")]
    Define {
        /// The metric.
        name: &'static str,
        /// What is wrong with it.
        #[source]
        source: prometheus::Error,
    },
    /// A metric was registered twice.
    #[error("register metric {name}")]
    Register {
        /// The metric.
        name: &'static str,
        /// What the registry said.
        #[source]
        source: prometheus::Error,
    },
    /// A member of a metric could not be made.
    #[error("make the members of metric {name}")]
    Member {
        /// The metric.
        name: &'static str,
        /// What the registry said.
        #[source]
        source: prometheus::Error,
    },
    /// The registry could not be printed.
    #[error("print the metrics")]
    Encode(#[source] prometheus::Error),
}

/// All metrics of the agent.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    kernel: kernel::KernelMetrics,
    plane: plane::PlaneMetrics,
    knowledge: knowledge::KnowledgeMetrics,
    delivery: delivery::DeliveryMetrics,
}

impl Metrics {
    /// A registry of its own, everything at 0.
    pub fn new() -> Result<Self, MetricsError> {
        let registry = Registry::new();
        build_info(&registry)?;
        registry
            .register(Box::new(ProcessCollector::for_self()))
            .map_err(|source| MetricsError::Register {
                name: "process_*",
                source,
            })?;
        Ok(Self {
            kernel: kernel::KernelMetrics::new(&registry)?,
            plane: plane::PlaneMetrics::new(&registry)?,
            knowledge: knowledge::KnowledgeMetrics::new(&registry)?,
            delivery: delivery::DeliveryMetrics::new(&registry)?,
            registry,
        })
    }

    /// The text exposition format, version 0.0.4 (Prometheus, "Exposition formats").
    pub fn encode(&self) -> Result<String, MetricsError> {
        let mut text = Vec::new();
        TextEncoder::new()
            .encode(&self.registry.gather(), &mut text)
            .map_err(MetricsError::Encode)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    /// The kernel programs were attached; their counters exist from now on.
    pub fn kernel_attached(&self, tier: Tier, hooks: &[Hook]) {
        self.kernel.attach(tier, hooks);
    }

    /// A hook stopped (or began again) to fire.
    pub fn hook_attached(&self, hook: Hook, attached: bool) {
        self.kernel.set_attached(hook, attached);
    }

    /// The sums over all processors of a hook's counters, as they stand in the kernel now.
    pub fn kernel_counters(&self, hook: Hook, sums: &layerwatch_ebpf::Counters, left_out: u64) {
        self.kernel.follow(hook, sums, left_out);
    }

    /// The canary was seen.
    pub fn canary_seen(&self, time: jiff::Timestamp, latency: std::time::Duration) {
        self.kernel.canary(time, latency);
    }

    /// How many inodes are to be watched and are not.
    pub fn unwatched(&self, count: usize) {
        self.kernel.unwatched(count);
    }

    /// A stage did this with so many events; for a loss use [`Metrics::stage_dropped`].
    pub fn stage(&self, stage: Stage, outcome: StageOutcome, count: u64) {
        self.plane.stage(stage, outcome, count);
    }

    /// A stage lost so many events.
    pub fn stage_dropped(&self, reason: DropReason, count: u64) {
        self.plane.dropped(reason, count);
    }

    /// How many accesses wait now.
    pub fn parked(&self, count: usize) {
        self.plane.parked(count);
    }

    /// An alert was raised.
    pub fn alert(&self, kind: AlertKind, severity: Severity) {
        self.plane.alert(kind, severity);
    }

    /// So many more reads of a finding; an emitted alert counts itself, this is for repeats that `decide` folded.
    pub fn sensitive_reads(&self, severity: Severity, category: Category, count: u64) {
        self.plane.sensitive_reads(severity, category, count);
    }

    /// So many more accesses that are fine.
    pub fn sanctioned(&self, sanction: Sanction, count: u64) {
        self.plane.sanctioned(sanction, count);
    }

    /// So many more connections to engine sockets by others than root.
    pub fn asked(&self, count: u64) {
        self.plane.asked(count);
    }

    /// An image arrived.
    pub fn pulled(&self, engine: Engine) {
        self.plane.pulled(engine);
    }

    /// A snapshot was built at `time` and took `took`.
    pub fn knowledge_built(&self, time: jiff::Timestamp, took: std::time::Duration, inventory: &Inventory) {
        self.knowledge.built(time, took, inventory);
    }

    /// A part of building knowledge failed.
    pub fn knowledge_failed(&self, part: KnowledgePart) {
        self.knowledge.failed(part);
    }

    /// The counters of one Alertmanager, by its place in the configuration.
    pub fn peer(&self, index: usize) -> Result<PeerMetrics, MetricsError> {
        self.delivery.peer(index).map_err(|source| MetricsError::Member {
            name: "layerwatch_alertmanager_*",
            source,
        })
    }

    /// How many alerts are kept alive at the Alertmanagers now.
    pub fn active_alerts(&self, count: usize) {
        self.delivery.active(count);
    }

    /// A sink delivered so many records.
    pub fn sink_delivered(&self, sink: SinkName, count: u64) {
        self.delivery.delivered(sink, count);
    }

    /// A sink failed once and will try again.
    pub fn sink_failed(&self, sink: SinkName) {
        self.delivery.sink_failed(sink);
    }

    /// A sink lost so many records.
    pub fn sink_lost(&self, sink: SinkName, count: u64) {
        self.delivery.sink_lost(sink, count);
    }

    /// The configuration was loaded at this time, or could not be.
    pub fn config_loaded(&self, time: Option<jiff::Timestamp>) {
        self.delivery.config_loaded(time);
    }
}

/// A time as Prometheus has it: seconds since 1970.
#[expect(
    clippy::cast_precision_loss,
    reason = "a timestamp in microseconds fits 53 bits until the year 2255"
)]
fn seconds(time: jiff::Timestamp) -> f64 {
    time.as_microsecond() as f64 / 1e6
}

fn build_info(registry: &Registry) -> Result<(), MetricsError> {
    let name = "layerwatch_build_info";
    let vector = family::gauge_vector(
        registry,
        name,
        "The agent's version and the revision it was built from; always 1.",
        &["version", "revision"],
    )?;
    let revision = option_env!("LAYERWATCH_REVISION").unwrap_or("unknown");
    vector
        .get_metric_with_label_values(&[env!("CARGO_PKG_VERSION"), revision])
        .map_err(|source| MetricsError::Member { name, source })?
        .set(1);
    Ok(())
}
