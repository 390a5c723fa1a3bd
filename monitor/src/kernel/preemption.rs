//! Whether this kernel interrupts a task that works in the kernel: then it may leave a program out (see `misses`).
//!
//! Then tier B is not for it: with a hundred processes that open files two thirds of all opens went by unseen on a 7.2.
//! LSM programs run nevertheless, and a kprobe's or a tracepoint's is never interrupted.
//!
//! Invariant: what is not known counts as yes, since that costs an open some instructions and the other mistake events.
//! Used by `tiers`.

use std::path::Path;

use crate::bounded;

/// The mode of a kernel that can change it (`preempt_dynamic`), the one in use in brackets.
const MODE: &str = "/sys/kernel/debug/sched/preempt";
/// What the kernel was built for.
const VERSION: &str = "/proc/version";
/// A line each.
const LIMIT_BYTES: u64 = 4096;

/// Whether programs may be interrupted.
pub(super) fn happens() -> bool {
    let read = |path| bounded::read_text(Path::new(path), LIMIT_BYTES).ok();
    follows(read(MODE).as_deref(), read(VERSION).as_deref())
}

fn follows(mode: Option<&str>, version: Option<&str>) -> bool {
    if let Some(mode) = mode.and_then(|text| text.split(['(', ')']).nth(1)) {
        return !matches!(mode, "none" | "voluntary");
    }
    version.is_none_or(|version| version.contains("PREEMPT"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_kernel_that_is_known_to_leave_tasks_alone_counts_as_one() {
        let check =
            |mode, version, expected| assert_eq!(follows(mode, version), expected, "{mode:?} {version:?}");
        check(
            Some("none (voluntary) full \n"),
            Some("#1 SMP PREEMPT_DYNAMIC"),
            false,
        );
        check(
            Some("(none) voluntary full \n"),
            Some("#1 SMP PREEMPT_DYNAMIC"),
            false,
        );
        check(
            Some("none voluntary (full) lazy \n"),
            Some("#1 SMP PREEMPT_DYNAMIC"),
            true,
        );
        check(Some("full (lazy) \n"), Some("#1 SMP PREEMPT_DYNAMIC"), true);
        check(None, Some("#1 SMP PREEMPT_DYNAMIC Debian"), true);
        check(None, Some("#1 SMP PREEMPT_RT Debian"), true);
        check(None, Some("#1 SMP Debian 5.10"), false);
        check(Some("nonsense"), Some("#1 SMP Debian 5.10"), false);
        check(None, None, true);
    }
}
