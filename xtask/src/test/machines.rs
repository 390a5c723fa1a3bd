//! The matrix: kernels, and the tiers that the tests run on there; and several machines at once.

use std::sync::{Mutex, PoisonError};
use std::thread;

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

    /// Kernel and tier, before each line of its output.
    pub(super) fn label(self) -> String {
        format!("[{} {}]", self.kernel.name(), self.tier)
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

/// What every run tries, the longest first. On 5.10 an LSM program attaches and never fires, so the agent must come to
/// tier B by itself.
const PLAIN: [Machine; 4] = [
    Machine::forced(Kernel::Backports, "B"),
    Machine::chosen(Kernel::Bullseye, "B"),
    Machine::chosen(Kernel::Bookworm, "A"),
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

/// Does `job` in each machine, as many at once as this host has processors, since one machine keeps one of them busy.
/// What came of each, in the order in which the machines ended.
pub(super) fn side_by_side<T: Send>(
    machines: impl Iterator<Item = Machine> + Send,
    job: impl Fn(Machine) -> T + Sync,
) -> Vec<(Machine, T)> {
    let machines = Mutex::new(machines);
    let done = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    // A statement of its own: the lock must not be held for as long as the machine runs.
                    let next = machines.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some(machine) = next else { return };
                    let came = job(machine);
                    done.lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push((machine, came));
                }
            });
        }
    });
    done.into_inner().unwrap_or_else(PoisonError::into_inner)
}
