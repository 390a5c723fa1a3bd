//! Where accesses wait whose layer is not known yet.
//!
//! Invariant: bounded by number and by time, in order of arrival; what leaves early leaves through the caller's hands.
//! Used by `Correlator`.

use std::collections::VecDeque;

use jiff::{SignedDuration, Timestamp};

use crate::attribute::Unattributed;
use crate::model::Sighting;

/// An access that waits.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Parked {
    /// The access.
    pub(super) sighting: Sighting,
    /// What it waits for.
    pub(super) reason: Unattributed,
    deadline: Timestamp,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Parking {
    waiting: VecDeque<Parked>,
    most: usize,
    patience: SignedDuration,
}

impl Parking {
    pub(super) fn new(most: usize, seconds: u32) -> Self {
        Self {
            waiting: VecDeque::new(),
            most: most.max(1),
            patience: SignedDuration::from_secs(seconds.into()),
        }
    }

    pub(super) fn len(&self) -> u64 {
        u64::try_from(self.waiting.len()).unwrap_or(u64::MAX)
    }

    /// Lets an access wait; gives back the one that has waited longest if there is no room.
    pub(super) fn park(
        &mut self,
        sighting: Sighting,
        reason: Unattributed,
        now: Timestamp,
    ) -> Option<Parked> {
        let evicted = if self.waiting.len() >= self.most {
            self.waiting.pop_front()
        } else {
            None
        };
        let deadline = now.saturating_add(self.patience).unwrap_or(now);
        self.waiting.push_back(Parked {
            sighting,
            reason,
            deadline,
        });
        evicted
    }

    /// Takes all out, to be judged again; what stays goes back with [`Parking::put_back`] in the same order.
    pub(super) fn take_all(&mut self) -> VecDeque<Parked> {
        std::mem::take(&mut self.waiting)
    }

    pub(super) fn put_back(&mut self, parked: Parked) {
        self.waiting.push_back(parked);
    }

    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        self.waiting.iter().any(|parked| parked.deadline <= now)
    }

    /// Takes out what waited until its deadline.
    pub(super) fn take_overdue(&mut self, now: Timestamp) -> VecDeque<Parked> {
        let (overdue, waiting) = self
            .take_all()
            .into_iter()
            .partition(|parked| parked.deadline <= now);
        self.waiting = waiting;
        overdue
    }
}
