//! The event plane's books as metrics.
//!
//! Invariant: metrics are counters and the books are sums, so what is published is the difference since the last time.
//! A reason that the metrics do not know is counted under the stage's nearest one, never dropped. Used by `events`.

use std::collections::BTreeMap;

use crate::counts::{Stage, StageCounts};
use crate::model::Sanction;
use crate::telemetry::happenings::EventsDropped;
use crate::telemetry::{self, DropReason, Metrics, StageOutcome};

/// What was published so far.
#[derive(Debug, Default)]
pub(super) struct Books {
    last: StageCounts,
}

impl Books {
    /// Publishes what was added since the last call.
    pub(super) fn publish(&mut self, counts: &StageCounts, metrics: &Metrics) {
        for stage in Stage::ALL {
            let (new, old) = (counts.stage(stage), self.last.stage(stage));
            let label = match stage {
                Stage::Decode => telemetry::Stage::Decode,
                Stage::Enrich => telemetry::Stage::Enrich,
                Stage::Correlate => telemetry::Stage::Correlate,
                Stage::Decide => telemetry::Stage::Decide,
            };
            metrics.stage(label, StageOutcome::Received, new.received - old.received);
            metrics.stage(label, StageOutcome::Forwarded, new.forwarded - old.forwarded);
            metrics.stage(
                label,
                StageOutcome::Filtered,
                sum(&new.filtered) - sum(&old.filtered),
            );
            for (reason, count) in &new.dropped {
                let added = count - old.dropped.get(reason).copied().unwrap_or(0);
                if added > 0 {
                    EventsDropped {
                        reason: drop_reason(stage, reason),
                        count: added,
                        detail: reason,
                    }
                    .report(metrics);
                }
            }
        }
        self.publish_sanctioned(counts, metrics);
        metrics.asked(counts.asked - self.last.asked);
        metrics.parked(usize::try_from(counts.correlate.parked).unwrap_or(usize::MAX));
        self.last.clone_from(counts);
    }
}

impl Books {
    /// Sanctioned accesses that went no further. Those that are told (`--verbose`) are counted where they are told.
    fn publish_sanctioned(&self, counts: &StageCounts, metrics: &Metrics) {
        for sanction in Sanction::ALL {
            let so_far = |counts: &StageCounts| {
                let filtered = &counts.stage(Stage::Correlate).filtered;
                filtered.get(sanction.as_str()).copied().unwrap_or(0)
            };
            metrics.sanctioned(sanction, so_far(counts) - so_far(&self.last));
        }
    }
}

fn sum(reasons: &BTreeMap<&'static str, u64>) -> u64 {
    reasons.values().sum()
}

fn drop_reason(stage: Stage, reason: &str) -> DropReason {
    match (stage, reason) {
        (Stage::Decode, "length") => DropReason::FrameLength,
        (Stage::Decode, "version") => DropReason::FrameVersion,
        (Stage::Decode, "process-table-full") => DropReason::ProcessTableFull,
        (Stage::Decode, _) => DropReason::FrameContent,
        (Stage::Enrich, _) => DropReason::PullSignal,
        (Stage::Correlate | Stage::Decide, _) => DropReason::ParkingFull,
    }
}
