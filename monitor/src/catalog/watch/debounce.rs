//! Many changes, one report: a store is reported when it was quiet for a while, or changes without end.
//!
//! Invariant: what was marked is taken once, and at the latest [`PATIENCE`] quiet times after its first mark. Used by
//! the watch.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::model::StoreId;

/// Quiet times after which a store that never gets quiet is reported all the same.
const PATIENCE: u32 = 20;

#[derive(Debug)]
pub(super) struct Debounce {
    quiet: Duration,
    /// First and last mark.
    marked: BTreeMap<StoreId, (Instant, Instant)>,
}

impl Debounce {
    pub(super) fn new(quiet: Duration) -> Self {
        Self {
            quiet,
            marked: BTreeMap::new(),
        }
    }

    pub(super) fn mark(&mut self, stores: impl IntoIterator<Item = StoreId>, now: Instant) {
        for store in stores {
            self.marked.entry(store).or_insert((now, now)).1 = now;
        }
    }

    /// Marks stores that are due at once: what begins to be watched may be changing already.
    pub(super) fn mark_due(&mut self, stores: impl IntoIterator<Item = StoreId>, now: Instant) {
        let long_ago = now.checked_sub(self.quiet * PATIENCE).unwrap_or(now);
        for store in stores {
            self.marked.insert(store, (long_ago, now));
        }
    }

    /// When the next store is due.
    pub(super) fn due(&self) -> Option<Instant> {
        self.marked.values().map(|marks| self.due_of(*marks)).min()
    }

    /// The stores that are due, which are forgotten by it.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<StoreId> {
        let marks = self.marked.iter();
        let due: Vec<StoreId> = marks
            .filter(|(_, marks)| self.due_of(**marks) <= now)
            .map(|(store, _)| store.clone())
            .collect();
        for store in &due {
            self.marked.remove(store);
        }
        due
    }

    fn due_of(&self, (first, last): (Instant, Instant)) -> Instant {
        (last + self.quiet).min(first + self.quiet * PATIENCE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Marks at these milliseconds; then the milliseconds at which the store is reported.
    fn check(marks: &[u64], reports: &[u64]) {
        let start = Instant::now();
        let store = StoreId::new("overlay@/s");
        let mut debounce = Debounce::new(Duration::from_millis(100));
        let mut seen = Vec::new();
        for now in 0..5000 {
            let instant = start + Duration::from_millis(now);
            if debounce.due().is_some_and(|due| due <= instant) {
                assert_eq!(debounce.take_due(instant), std::slice::from_ref(&store));
                seen.push(now);
            }
            if marks.contains(&now) {
                debounce.mark([store.clone()], instant);
            }
        }
        assert_eq!(seen, reports, "{marks:?}");
    }

    #[test]
    fn a_burst_is_one_report_and_an_endless_one_is_not_forgotten() {
        check(&[], &[]);
        check(&[10], &[110]);
        check(&[10, 60, 109], &[209]);
        check(&[10, 60, 500], &[160, 600]);
        let endless: Vec<u64> = (0..4000).step_by(50).collect();
        check(&endless, &[2000, 4000]);
    }
}
