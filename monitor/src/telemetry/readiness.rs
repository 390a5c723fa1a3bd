//! Whether the agent has begun to do its work: a latch of named conditions.
//!
//! Invariant: a condition that was met stays met; the agent is ready when all are. Met by the kernel side and by the
//! knowledge builder; read by `/-/ready` and by the notice to systemd.

use std::sync::atomic::{AtomicU8, Ordering};

/// What must have happened once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Condition {
    /// The kernel programs are attached and were seen to fire.
    KernelAttached,
    /// A first snapshot of the stores exists and is watched.
    KnowledgeBuilt,
}

impl Condition {
    const ALL: [Self; 2] = [Self::KernelAttached, Self::KnowledgeBuilt];

    fn bit(self) -> u8 {
        match self {
            Self::KernelAttached => 1,
            Self::KnowledgeBuilt => 2,
        }
    }

    /// What is missing, for people.
    pub fn missing(self) -> &'static str {
        match self {
            Self::KernelAttached => "kernel programs are not attached yet",
            Self::KnowledgeBuilt => "the stores have not been read yet",
        }
    }
}

/// The latch.
#[derive(Debug, Default)]
pub struct Readiness(AtomicU8);

impl Readiness {
    /// Notes that it happened.
    pub fn meet(&self, condition: Condition) {
        self.0.fetch_or(condition.bit(), Ordering::Release);
    }

    /// What has not happened yet; empty when ready.
    pub fn missing(&self) -> Vec<Condition> {
        let met = self.0.load(Ordering::Acquire);
        Condition::ALL
            .into_iter()
            .filter(|condition| met & condition.bit() == 0)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_is_when_everything_happened() {
        let readiness = Readiness::default();
        assert_eq!(readiness.missing(), Condition::ALL);
        readiness.meet(Condition::KnowledgeBuilt);
        readiness.meet(Condition::KnowledgeBuilt);
        assert_eq!(readiness.missing(), [Condition::KernelAttached]);
        readiness.meet(Condition::KernelAttached);
        assert_eq!(readiness.missing(), []);
    }
}
