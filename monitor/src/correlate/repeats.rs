//! Counts an access that happens again instead of reporting it again.
//!
//! Invariant: the first goes out at once, and also everything that differs in layer, file, user, container, way, refusal
//! or meaning; an access that does not fit the table is reported, never suppressed, so that filling the table hides
//! nothing. At the end of a window that saw repeats the first is reported once more with their number. Used by
//! `Correlator`.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::{Correlated, Judged, is_sensitive};
use crate::model::{DevIno, LayerKey, Operation, ProcessKey, Sanction, Sighting, Via};

/// What makes two accesses the same happening.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct RepeatKey {
    layer: Option<LayerKey>,
    /// The file, where it or its absence of a layer matters; ordinary content counts per layer and process.
    file: Option<DevIno>,
    process: Option<ProcessKey>,
    uid: u32,
    container: Option<String>,
    allowed: bool,
    via: Via,
    sanction: Option<Sanction>,
    unknown: bool,
    by_engine: bool,
}

impl RepeatKey {
    /// The key of a judged access.
    pub(super) fn of(sighting: &Sighting, judged: &Judged) -> Self {
        let access = &sighting.access;
        let asker = judged.asker.as_deref();
        let whose = asker.map_or(sighting, |asker| &asker.sighting);
        let attribution = judged.attribution.as_deref();
        let layer = attribution.and_then(|found| found.layer.clone());
        // An export reads every file of a layer: that is one happening.
        let by_file = (is_sensitive(access, attribution) && asker.is_none()) || layer.is_none();
        let process = whose.access.process();
        // What a process holds open is told once for each, and hides nobody's next read.
        let listed = access.operation == Operation::OpenBeforeStart;
        Self {
            layer,
            file: by_file.then_some(access.file),
            process: (!by_file || listed).then_some(process),
            uid: whose.subject.uid,
            container: whose
                .actor
                .container
                .as_ref()
                .map(|container| container.id.clone()),
            allowed: access.result == 0,
            via: access.via,
            sanction: judged.sanction,
            unknown: judged.unknown.is_some(),
            by_engine: asker.is_some(),
        }
    }
}

#[derive(Debug)]
struct Window {
    first: Correlated,
    last: Timestamp,
    count: u64,
    ends: Timestamp,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Repeats {
    windows: BTreeMap<RepeatKey, Window>,
    most: usize,
    length: SignedDuration,
}

impl Repeats {
    pub(super) fn new(most: usize, seconds: u32) -> Self {
        Self {
            windows: BTreeMap::new(),
            most,
            length: SignedDuration::from_secs(seconds.into()),
        }
    }

    /// Whether the access, which happened at `time`, repeats one that was reported; then it was counted.
    pub(super) fn is_repeat(&mut self, key: &RepeatKey, time: Timestamp) -> bool {
        let Some(window) = self.windows.get_mut(key) else {
            return false;
        };
        window.count += 1;
        window.last = window.last.max(time);
        true
    }

    /// Begins the window of one that is reported now.
    pub(super) fn begin(&mut self, key: RepeatKey, correlated: &Correlated, now: Timestamp) {
        if self.length.is_zero() || self.windows.len() >= self.most {
            return;
        }
        let window = Window {
            first: correlated.clone(),
            last: correlated.assessment.sighting.access.time,
            count: 1,
            ends: now.saturating_add(self.length).unwrap_or(now),
        };
        self.windows.insert(key, window);
    }

    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        self.windows.values().any(|window| window.ends <= now)
    }

    /// Ends the windows that are over; those with repeats give the first access with the last one's time and the count.
    pub(super) fn close(&mut self, now: Timestamp) -> Vec<Correlated> {
        let over = self.windows.extract_if(.., |_, window| window.ends <= now);
        let repeated = over.map(|(_, window)| window).filter(|window| window.count > 1);
        let summary = |window: Window| {
            let mut summary = window.first;
            summary.assessment.sighting.access.time = window.last;
            summary.count = window.count;
            summary
        };
        repeated.map(summary).collect()
    }
}
