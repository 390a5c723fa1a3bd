//! Metrics of the kernel side: tier, hooks, what became of each event, the canary.
//!
//! Invariant: a hook's counters exist from its attachment on, at 0; they only rise, also when the kernel's own sums start
//! over because the programs were loaded anew. Fed by the ring's reader.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use layerwatch_ebpf::Counters;
use prometheus::{Gauge, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry};

use super::family::{counter_vector, gauge_vector, register};
use super::{MetricsError, seconds};
use crate::telemetry::labels::{Hook, KernelGap, KernelOutcome, Label, Tier};

/// A counter that follows a sum kept elsewhere.
#[derive(Debug)]
struct Follower {
    counter: IntCounter,
    last: AtomicU64,
}

impl Follower {
    fn new(vector: &IntCounterVec, labels: &[&str]) -> Option<Self> {
        let counter = vector.get_metric_with_label_values(labels).ok()?;
        Some(Self {
            counter,
            last: AtomicU64::new(0),
        })
    }

    /// Adds what the sum grew by; a sum that fell started over.
    fn follow(&self, sum: u64) {
        let last = self.last.swap(sum, Ordering::Relaxed);
        self.counter.inc_by(sum.checked_sub(last).unwrap_or(sum));
    }
}

#[derive(Debug)]
struct HookCells {
    attached: IntGauge,
    outcomes: BTreeMap<KernelOutcome, Follower>,
    gaps: BTreeMap<KernelGap, Follower>,
}

#[derive(Debug)]
pub(super) struct KernelMetrics {
    tier: IntGaugeVec,
    attached: IntGaugeVec,
    events: IntCounterVec,
    incomplete: IntCounterVec,
    hooks: BTreeMap<Hook, OnceLock<HookCells>>,
    canary_seen: Gauge,
    canary_latency: Gauge,
    unwatched: IntGauge,
}

impl KernelMetrics {
    pub(super) fn new(registry: &Registry) -> Result<Self, MetricsError> {
        Ok(Self {
            tier: gauge_vector(
                registry,
                "layerwatch_tier_info",
                "How the kernel is watched; always 1.",
                &["tier"],
            )?,
            attached: gauge_vector(
                registry,
                "layerwatch_probe_attached",
                "Whether a program is attached at this place (1), or the kernel refuses it or it went silent (0).",
                &["hook"],
            )?,
            events: counter_vector(
                registry,
                "layerwatch_kernel_events_total",
                "Events each hook saw in the kernel, by what became of them; ring-full is a loss.",
                &["hook", "outcome"],
            )?,
            incomplete: counter_vector(
                registry,
                "layerwatch_kernel_incomplete_total",
                "Events a kernel program could not look at in full, so that a match may have been missed.",
                &["hook", "reason"],
            )?,
            hooks: Hook::VALUES.iter().map(|hook| (*hook, OnceLock::new())).collect(),
            canary_seen: register(
                registry,
                "layerwatch_canary_last_seen_timestamp_seconds",
                Gauge::new(
                    "layerwatch_canary_last_seen_timestamp_seconds",
                    "When the agent last saw its own canary file opened; 0 before the first time.",
                ),
            )?,
            canary_latency: register(
                registry,
                "layerwatch_canary_latency_seconds",
                Gauge::new(
                    "layerwatch_canary_latency_seconds",
                    "Time from the last canary open to its event in the agent.",
                ),
            )?,
            unwatched: register(
                registry,
                "layerwatch_unwatched_inodes",
                IntGauge::new(
                    "layerwatch_unwatched_inodes",
                    "Files and directories that are to be watched and do not fit the kernel's maps.",
                ),
            )?,
        })
    }

    pub(super) fn attach(&self, tier: Tier, hooks: &[Hook]) {
        self.tier.reset();
        if let Ok(gauge) = self.tier.get_metric_with_label_values(&[tier.value()]) {
            gauge.set(1);
        }
        for hook in hooks {
            self.set_attached(*hook, true);
        }
    }

    pub(super) fn set_attached(&self, hook: Hook, attached: bool) {
        if let Some(cells) = self.cells(hook) {
            cells.attached.set(i64::from(attached));
        }
    }

    pub(super) fn follow(&self, hook: Hook, sums: &Counters, left_out: u64) {
        let Some(cells) = self.cells(hook) else { return };
        for (outcome, follower) in &cells.outcomes {
            follower.follow(match outcome {
                KernelOutcome::Ignored => sums.ignored,
                KernelOutcome::Own => sums.own,
                KernelOutcome::Emitted => sums.emitted,
                KernelOutcome::Repeated => sums.repeated,
                KernelOutcome::RingFull => sums.ring_full,
            });
        }
        for (gap, follower) in &cells.gaps {
            follower.follow(match gap {
                KernelGap::WalkTruncated => sums.walk_truncated,
                KernelGap::ReadError => sums.read_error,
                KernelGap::LeftOut => left_out,
            });
        }
    }

    pub(super) fn canary(&self, time: jiff::Timestamp, latency: std::time::Duration) {
        self.canary_seen.set(seconds(time));
        self.canary_latency.set(latency.as_secs_f64());
    }

    pub(super) fn unwatched(&self, count: usize) {
        self.unwatched.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// The hook's members, made when it is first named.
    fn cells(&self, hook: Hook) -> Option<&HookCells> {
        let slot = self.hooks.get(&hook)?;
        if slot.get().is_none() {
            let cells = self.make_cells(hook)?;
            // Somebody else may have been faster: then theirs, which has the same members, stands.
            drop(slot.set(cells));
        }
        slot.get()
    }

    fn make_cells(&self, hook: Hook) -> Option<HookCells> {
        let follower = |vector: &IntCounterVec, value| Follower::new(vector, &[hook.value(), value]);
        Some(HookCells {
            attached: self.attached.get_metric_with_label_values(&[hook.value()]).ok()?,
            outcomes: KernelOutcome::VALUES
                .iter()
                .filter(|outcome| outcome.is_of(hook))
                .map(|outcome| Some((*outcome, follower(&self.events, outcome.value())?)))
                .collect::<Option<_>>()?,
            gaps: KernelGap::VALUES
                .iter()
                .filter(|gap| gap.is_of(hook))
                .map(|gap| Some((*gap, follower(&self.incomplete, gap.value())?)))
                .collect::<Option<_>>()?,
        })
    }
}
