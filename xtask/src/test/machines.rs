//! The matrix: kernels, and the tiers that the tests run on there.

use crate::vm::kernel::Kernel;

/// A kernel and the tier that its tests run on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Machine {
    pub(super) kernel: Kernel,
    /// Forced, or left to the agent.
    forced: bool,
    /// The one it must come to.
    pub(super) tier: &'static str,
}

impl Machine {
    const fn chosen(kernel: Kernel, tier: &'static str) -> Self {
        let forced = false;
        Self { kernel, forced, tier }
    }

    const fn forced(kernel: Kernel, tier: &'static str) -> Self {
        let forced = true;
        Self { kernel, forced, tier }
    }

    /// Kernel and tier, for people.
    pub(super) fn name(self) -> String {
        let how = if self.forced { "forced" } else { "chosen" };
        format!("kernel {}, tier {} {how}", self.kernel.name(), self.tier)
    }

    /// Whether a plain run does everything in it: the newest kernel that it has, and the tier that most hosts come to.
    pub(super) fn is_the_one(self) -> bool {
        self.kernel == DETACHED.kernel && self.tier == DETACHED.tier
    }

    /// What the tests are told.
    pub(super) fn environment(self) -> Vec<String> {
        let mut settings = vec![format!("LAYERWATCH_TEST_LANDS={}", self.tier)];
        if self.forced {
            settings.push(format!("LAYERWATCH_TEST_TIER={}", self.tier));
        }
        settings
    }
}

/// What every run tries. On 5.10 an LSM program attaches and never fires, so the agent must come to tier B by itself.
const PLAIN: [Machine; 4] = [
    Machine::chosen(Kernel::Bullseye, "B"),
    Machine::chosen(Kernel::Bookworm, "A"),
    Machine::forced(Kernel::Backports, "B"),
    Machine::forced(Kernel::Backports, "C"),
];

/// What `--full` adds.
const FULL: [Machine; 7] = [
    Machine::forced(Kernel::Bullseye, "C"),
    Machine::forced(Kernel::Bookworm, "B"),
    Machine::forced(Kernel::Bookworm, "C"),
    Machine::forced(Kernel::Backports, "A"),
    Machine::chosen(Kernel::Sid, "A"),
    Machine::forced(Kernel::Sid, "B"),
    Machine::forced(Kernel::Sid, "C"),
];

/// The machines of a run.
pub(super) fn machines(full: bool) -> impl Iterator<Item = Machine> {
    PLAIN.into_iter().chain(FULL.into_iter().filter(move |_| full))
}

/// The machine that shows that the tests can fail.
pub(super) const DETACHED: Machine = Machine::forced(Kernel::Backports, "B");
