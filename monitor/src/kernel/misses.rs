//! How often the kernel left a program out: while a task that was interrupted inside it waits for its turn, a tracing
//! program is not run again on that processor (`__bpf_prog_enter_recur`, kernel/bpf/trampoline.c), and nothing that it
//! counts itself can tell.
//!
//! Invariant: what the kernel cannot tell (before 5.12) counts as 0. Read from `/proc/self/fdinfo`, where the kernel shows
//! a program's figures to whoever holds it, without any right; so programs are pinned beside their links, for an agent that
//! takes them over. Used by `maps`.

use std::collections::BTreeMap;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;

use crate::bounded::{self, BoundedError};

/// Some hundred bytes on every kernel.
const LIMIT_BYTES: u64 = 16 << 10;

/// The attached programs, by the first place that each serves.
#[derive(Debug, Default)]
pub(super) struct Misses {
    programs: Vec<(u16, OwnedFd)>,
}

impl Misses {
    pub(super) fn add(&mut self, place: u16, program: OwnedFd) {
        self.programs.push((place, program));
    }

    /// By place, how often it was not looked at.
    pub(super) fn count(&self) -> Result<BTreeMap<u16, u64>, BoundedError> {
        let mut counts = BTreeMap::new();
        for (place, program) in &self.programs {
            let path = PathBuf::from(format!("/proc/self/fdinfo/{}", program.as_raw_fd()));
            let count = misses(&bounded::read(&path, LIMIT_BYTES)?);
            *counts.entry(*place).or_default() += count;
        }
        Ok(counts)
    }
}

/// The figure in what the kernel shows of a program (`bpf_prog_show_fdinfo`).
fn misses(shown: &[u8]) -> u64 {
    let shown = String::from_utf8_lossy(shown);
    let mut lines = shown.lines();
    let figure = lines.find_map(|line| line.strip_prefix("recursion_misses:"));
    figure.and_then(|figure| figure.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figure_is_found_where_the_kernel_shows_one() {
        let check = |shown: &[u8], expected| assert_eq!(misses(shown), expected);
        check(
            b"pos:\t0\nprog_type:\t26\nrecursion_misses:\t1450001\nverified_insns:\t3\n",
            1_450_001,
        );
        check(b"pos:\t0\nprog_type:\t26\n", 0);
        check(b"recursion_misses:\tmany\n", 0);
        check(b"", 0);
    }
}
