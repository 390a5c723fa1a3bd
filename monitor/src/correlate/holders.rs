//! The processes that may hold a connection: who made it, and whom they began since.
//!
//! Invariant: bounded; what does not fit counts as held. A descriptor that is sent to a process of another line is not
//! followed. Used by `askers`.

use std::collections::VecDeque;

use crate::model::ProcessKey;

/// Most processes of one asker.
const MOST: usize = 32;
/// Most ended processes that are remembered: the ring of accesses may be behind that of processes.
const ENDED: usize = 4096;

/// The processes of one asker that live.
#[derive(Debug, Default)]
pub(super) struct Holders {
    living: Vec<ProcessKey>,
    /// One more did not fit, and nobody will know when it ends.
    more: bool,
}

impl Holders {
    pub(super) fn is_empty(&self) -> bool {
        self.living.is_empty() && !self.more
    }

    pub(super) fn add(&mut self, process: ProcessKey) {
        if self.living.contains(&process) {
            return;
        }
        if self.living.len() < MOST {
            self.living.push(process);
        } else {
            self.more = true;
        }
    }

    /// A process began another; whether the first is one of these.
    pub(super) fn fork(&mut self, parent: ProcessKey, child: ProcessKey) -> bool {
        let is_ours = self.living.contains(&parent);
        if is_ours {
            self.add(child);
        }
        is_ours
    }

    /// A process ended; whether it was one of these.
    pub(super) fn remove(&mut self, process: ProcessKey) -> bool {
        let before = self.living.len();
        self.living.retain(|one| *one != process);
        self.living.len() < before
    }
}

/// The processes that ended last.
#[derive(Debug, Default)]
pub(super) struct Ended(VecDeque<ProcessKey>);

impl Ended {
    pub(super) fn add(&mut self, process: ProcessKey) {
        if self.0.len() >= ENDED {
            self.0.pop_front();
        }
        self.0.push_back(process);
    }

    pub(super) fn has(&self, process: ProcessKey) -> bool {
        self.0.contains(&process)
    }
}
