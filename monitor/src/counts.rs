//! The event plane's books: what each stage received and what became of it.
//!
//! Invariant: `received + released = forwarded + filtered + parked + dropped` at each stage after each call, where
//! `released` are the summaries of repeats that were filtered before; and what a stage forwards, the next receives.
//! Written by the plane, read by telemetry.

use std::collections::BTreeMap;

use serde::Serialize;

/// The stages, in the order of travel.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Bytes to an access.
    Decode,
    /// The process, container and user behind it.
    Enrich,
    /// Which layer, whose right, seen before.
    Correlate,
    /// Which alert.
    Decide,
}

impl Stage {
    /// All, in the order of travel.
    pub const ALL: [Self; 4] = [Self::Decode, Self::Enrich, Self::Correlate, Self::Decide];

    /// The name in a metric label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Decode => "decode",
            Self::Enrich => "enrich",
            Self::Correlate => "correlate",
            Self::Decide => "decide",
        }
    }
}

/// What one stage received and what became of it; reasons are a closed set of names.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Flow {
    /// What came in.
    pub received: u64,
    /// Summaries of repeats, which the stage makes by itself.
    pub released: u64,
    /// What went on to the next stage.
    pub forwarded: u64,
    /// What is held at the moment.
    pub parked: u64,
    /// What ended here because it means nothing bad, by reason.
    pub filtered: BTreeMap<&'static str, u64>,
    /// What was lost, by reason.
    pub dropped: BTreeMap<&'static str, u64>,
}

impl Flow {
    /// Whether nothing vanished.
    pub fn is_balanced(&self) -> bool {
        let sum = |reasons: &BTreeMap<&'static str, u64>| reasons.values().sum::<u64>();
        self.received + self.released
            == self.forwarded + self.parked + sum(&self.filtered) + sum(&self.dropped)
    }

    pub(crate) fn filter(&mut self, reason: &'static str) {
        *self.filtered.entry(reason).or_default() += 1;
    }

    pub(crate) fn drop(&mut self, reason: &'static str) {
        *self.dropped.entry(reason).or_default() += 1;
    }
}

/// The books of all stages.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct StageCounts {
    /// `decode`.
    pub decode: Flow,
    /// `enrich`.
    pub enrich: Flow,
    /// `correlate`, with `attribute` and `judge` in it.
    pub correlate: Flow,
    /// `decide`.
    pub decide: Flow,
    /// How parked accesses ended, by outcome; parts of `correlate`, told apart for metrics.
    pub unparked: BTreeMap<&'static str, u64>,
    /// Connections to engine sockets by others than root, whatever became of them.
    pub asked: u64,
}

impl StageCounts {
    /// One stage's books.
    pub fn stage(&self, stage: Stage) -> &Flow {
        match stage {
            Stage::Decode => &self.decode,
            Stage::Enrich => &self.enrich,
            Stage::Correlate => &self.correlate,
            Stage::Decide => &self.decide,
        }
    }

    /// Whether each stage is balanced and hands on what the next one received.
    pub fn is_balanced(&self) -> bool {
        Stage::ALL.iter().all(|stage| self.stage(*stage).is_balanced())
            && self.decode.forwarded == self.enrich.received
            && self.enrich.forwarded == self.correlate.received
            && self.correlate.forwarded == self.decide.received
    }
}
