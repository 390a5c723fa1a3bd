//! Up to where the ring may be given back: as far as what came of its records is written.
//!
//! Invariant: a position is safe once every line that it and its predecessors gave is in the log, or counted as lost, and
//! none of them is parked. So an agent that is killed finds in the ring again whatever it had not yet told. Pure; owned by
//! the event task.

use std::collections::VecDeque;

use crate::kernel::{GiveBack, Position};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Safe {
    /// Positions with the number of lines that were handed to the log before them, both rising.
    waiting: VecDeque<(Position, u64)>,
    now: GiveBack,
    /// Where the oldest parked record may lie.
    held: Option<Position>,
}

impl Safe {
    /// A record was judged: its end, how many lines the log was given so far, and how many accesses are parked.
    pub(super) fn judged(&mut self, end: Position, logged: u64, parked: u64) {
        if parked == 0 {
            self.held = None;
        } else if self.held.is_none() {
            // At the earliest this record itself is parked.
            self.held = Some(self.now.judged);
        }
        self.now.judged = end;
        match self.waiting.back_mut() {
            Some(last) if last.1 == logged => last.0 = end,
            _ => self.waiting.push_back((end, logged)),
        }
    }

    /// Nothing is parked any more, or something still is.
    pub(super) fn parked(&mut self, parked: u64) {
        if parked == 0 {
            self.held = None;
        }
    }

    /// Whether something is judged and not told.
    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// What may be given back when `settled` lines are written.
    pub(super) fn settled(&mut self, settled: u64) -> GiveBack {
        let limit = self.held.unwrap_or(Position(u64::MAX));
        while let Some((end, logged)) = self.waiting.front().copied() {
            if logged > settled {
                break;
            }
            self.now.safe = self.now.safe.max(end.min(limit));
            if end > limit {
                break;
            }
            self.waiting.pop_front();
        }
        self.now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What happens, and what may be given back then.
    enum Step {
        Judged(u64, u64, u64),
        Parked(u64),
        Settled(u64),
    }
    use Step::{Judged, Parked, Settled};

    fn check(name: &str, steps: &[Step], safe: u64, judged: u64) {
        let mut state = Safe::default();
        let mut given = GiveBack::default();
        for step in steps {
            match step {
                Judged(end, logged, parked) => state.judged(Position(*end), *logged, *parked),
                Parked(parked) => state.parked(*parked),
                Settled(settled) => given = state.settled(*settled),
            }
        }
        assert_eq!((given.safe.0, given.judged.0), (safe, judged), "{name}");
    }

    #[test]
    fn what_is_told_is_given_back() {
        check("nothing", &[Settled(0)], 0, 0);
        check("no line came of it", &[Judged(8, 0, 0), Settled(0)], 8, 8);
        check("its line is not written", &[Judged(8, 1, 0), Settled(0)], 0, 8);
        check("it is", &[Judged(8, 1, 0), Settled(1)], 8, 8);
        check(
            "the second one's is not",
            &[Judged(8, 1, 0), Judged(16, 2, 0), Settled(1)],
            8,
            16,
        );
        check(
            "later ones without a line wait for it",
            &[Judged(8, 1, 0), Judged(16, 1, 0), Settled(0)],
            0,
            16,
        );
        check(
            "and go with it",
            &[Judged(8, 1, 0), Judged(16, 1, 0), Settled(1)],
            16,
            16,
        );
    }

    #[test]
    fn what_is_parked_stays_in_the_ring() {
        check("itself", &[Judged(8, 0, 0), Judged(16, 0, 1), Settled(0)], 8, 16);
        check(
            "and what came after it",
            &[Judged(8, 0, 0), Judged(16, 0, 1), Judged(24, 1, 1), Settled(1)],
            8,
            24,
        );
        check(
            "until nothing is parked",
            &[
                Judged(8, 0, 1),
                Judged(16, 0, 1),
                Settled(0),
                Parked(0),
                Settled(0),
            ],
            16,
            16,
        );
        check(
            "some of it is still parked",
            &[Judged(8, 0, 1), Judged(16, 0, 2), Parked(1), Settled(0)],
            0,
            16,
        );
    }
}
