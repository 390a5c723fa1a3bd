//! Metrics of the knowledge plane: what is cached, what is in it, how long it took to learn.
//!
//! Invariant: the gauges describe the newest snapshot as a whole; a value that the snapshot does not mention is 0. Fed
//! once per snapshot.

use std::collections::BTreeMap;

use prometheus::{Gauge, Histogram, HistogramOpts, IntCounter, IntGauge, Registry};

use super::family::{Family, One, each, register};
use super::{MetricsError, seconds};
use crate::model::{Driver, Provenance, Severity};
use crate::telemetry::labels::{KnowledgePart, Label};

/// What one snapshot holds, counted.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Inventory {
    /// Stores by driver.
    pub stores: BTreeMap<Driver, u64>,
    /// Images by their store's driver.
    pub images: BTreeMap<Driver, u64>,
    /// Layers by their store's driver.
    pub layers: BTreeMap<Driver, u64>,
    /// Layers' directories that no index names, by their store's driver.
    pub unlisted: BTreeMap<Driver, u64>,
    /// What pulls have left outside the indexes.
    pub leftovers: u64,
    /// Its bytes.
    pub leftover_bytes: u64,
    /// Layers that can be scanned and have not been yet.
    pub unscanned: u64,
    /// Findings by severity.
    pub findings: BTreeMap<Severity, u64>,
    /// Findings that somebody besides root and the owner can read now, by severity.
    pub exposed: BTreeMap<Severity, u64>,
    /// Image names by the state of their provenance.
    pub provenance: BTreeMap<Provenance, u64>,
}

#[derive(Debug)]
pub(super) struct KnowledgeMetrics {
    stores: Family<One<Driver>, IntGauge>,
    images: Family<One<Driver>, IntGauge>,
    layers: Family<One<Driver>, IntGauge>,
    unlisted: Family<One<Driver>, IntGauge>,
    leftovers: IntGauge,
    leftover_bytes: IntGauge,
    unscanned: IntGauge,
    findings: Family<One<Severity>, IntGauge>,
    exposed: Family<One<Severity>, IntGauge>,
    provenance: Family<One<Provenance>, IntGauge>,
    duration: Histogram,
    last_success: Gauge,
    errors: Family<One<KnowledgePart>, IntCounter>,
}

impl KnowledgeMetrics {
    pub(super) fn new(registry: &Registry) -> Result<Self, MetricsError> {
        let duration = "layerwatch_knowledge_build_duration_seconds";
        let (left, left_bytes) = ("layerwatch_leftovers", "layerwatch_leftover_bytes");
        let unscanned = "layerwatch_unscanned_layers";
        let success = "layerwatch_knowledge_last_success_timestamp_seconds";
        Ok(Self {
            stores: gauges(
                registry,
                "layerwatch_stores",
                "Stores of image layers on this host.",
            )?,
            images: gauges(registry, "layerwatch_images", "Images in the stores.")?,
            layers: gauges(registry, "layerwatch_layers", "Layers in the stores.")?,
            unlisted: Family::gauges(
                registry,
                "layerwatch_unlisted_layers",
                "Layers' directories that no index names: build caches, layers being written, leftovers.",
                UNLISTED.iter().copied().map(One),
            )?,
            leftovers: register(
                registry,
                left,
                IntGauge::new(
                    left,
                    "Blobs and directories that pulls have left, or have not done with.",
                ),
            )?,
            leftover_bytes: register(registry, left_bytes, IntGauge::new(left_bytes, "Their bytes."))?,
            unscanned: register(
                registry,
                unscanned,
                IntGauge::new(unscanned, "Layers that can be scanned and have not been yet."),
            )?,
            findings: gauges(
                registry,
                "layerwatch_findings",
                "Secrets found in cached layers and images.",
            )?,
            exposed: gauges(
                registry,
                "layerwatch_exposed_findings",
                "Secrets that somebody besides the store's owner and root's equals can read now.",
            )?,
            provenance: gauges(
                registry,
                "layerwatch_image_names",
                "Names of cached images, by what can be proved of their provenance.",
            )?,
            duration: register(
                registry,
                duration,
                Histogram::with_opts(
                    HistogramOpts::new(duration, "Time to read the stores and scan what is new.")
                        .buckets(vec![0.1, 1.0, 10.0, 60.0, 600.0]),
                ),
            )?,
            last_success: register(
                registry,
                success,
                Gauge::new(success, "When knowledge was last built; 0 before the first time."),
            )?,
            errors: Family::counters(
                registry,
                "layerwatch_knowledge_errors_total",
                "Failures while building knowledge, by the part that failed.",
                each(),
            )?,
        })
    }

    pub(super) fn built(&self, time: jiff::Timestamp, took: std::time::Duration, inventory: &Inventory) {
        self.duration.observe(took.as_secs_f64());
        self.last_success.set(seconds(time));
        set_all(&self.stores, &inventory.stores);
        set_all(&self.images, &inventory.images);
        set_all(&self.layers, &inventory.layers);
        set_all(&self.unlisted, &inventory.unlisted);
        let all = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        self.leftovers.set(all(inventory.leftovers));
        self.leftover_bytes.set(all(inventory.leftover_bytes));
        self.unscanned
            .set(i64::try_from(inventory.unscanned).unwrap_or(i64::MAX));
        set_all(&self.findings, &inventory.findings);
        set_all(&self.exposed, &inventory.exposed);
        set_all(&self.provenance, &inventory.provenance);
    }

    pub(super) fn failed(&self, part: KnowledgePart) {
        self.errors.add(One(part), 1);
    }
}

/// Drivers whose stores hold more than their indexes name; containers/storage writes the index first.
const UNLISTED: [Driver; 2] = [Driver::Overlay2, Driver::Overlayfs];

fn gauges<A: Label>(
    registry: &Registry,
    name: &'static str,
    help: &str,
) -> Result<Family<One<A>, IntGauge>, MetricsError> {
    Family::gauges(registry, name, help, each())
}

fn set_all<A: Label>(family: &Family<One<A>, IntGauge>, counts: &BTreeMap<A, u64>) {
    for value in A::VALUES {
        family.set(One(*value), counts.get(value).copied().unwrap_or(0));
    }
}
