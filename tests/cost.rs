//! What `layerwatch-cost` is asked, and what it answers: the contract between it and `cargo xtask bench kernel`.
//!
//! It measures on the kernel it runs on, this machine's or a virtual one's; the plan says in which unit.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What the clock of the machine counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unit {
    /// Time; other load comes and goes, so the least of all counts.
    Nanoseconds,
    /// Instructions of the whole machine (QEMU's `-icount shift=0`: one is one nanosecond). Nothing else runs there, and
    /// what a monitor's own process does meanwhile is part of its cost: the middle of many counts.
    Instructions,
}

/// What to measure.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Plan {
    /// The agent's executable.
    pub agent: PathBuf,
    /// Where the peers are unpacked.
    pub peers: PathBuf,
    /// The object with the programs that do nothing.
    pub idle: PathBuf,
    /// The tiers at whose places these are measured.
    pub idle_tiers: Vec<String>,
    /// Tiers of the agent, each a contender; empty for the one it chooses.
    pub tiers: Vec<String>,
    /// Whether auditd is measured too: once audit was on, the kernel makes every new process pay until it is booted anew.
    pub audit: bool,
    /// What is counted.
    pub unit: Unit,
    /// How often everything is measured.
    pub rounds: usize,
    /// Numbers of threads that open at the same time.
    pub threads: Vec<usize>,
}

/// The rows that something is aimed at, by their names in the table.
pub mod rows {
    /// An open that has nothing to do with a store.
    pub const ELSEWHERE: &str = "open+close: file on another device";
    /// An open that has nothing to do with a store, where one is.
    pub const BESIDE: &str = "open+close: unrelated file on the store's device";
    /// What containers do all the time.
    pub const CONTAINED: &str = "open+close: file in the container's own overlay";
    /// A read of a file that is open.
    pub const READ: &str = "read of 4 KiB: unrelated file";
}

/// One thing that is done again and again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// What it is, for the table.
    pub what: String,
    /// How many threads do it.
    pub threads: usize,
}

/// One monitor, or none.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Contender {
    /// Its name, for the table.
    pub name: String,
    /// Why it could not be measured.
    pub refused: Option<String>,
    /// For each round, the cost of each row.
    pub rounds: Vec<Vec<f64>>,
}

impl Contender {
    /// The least of the rounds of a row.
    pub fn least(&self, row: usize) -> Option<f64> {
        self.column(row).min_by(f64::total_cmp)
    }

    /// The greatest of the rounds of a row.
    pub fn greatest(&self, row: usize) -> Option<f64> {
        self.column(row).max_by(f64::total_cmp)
    }

    fn column(&self, row: usize) -> impl Iterator<Item = f64> {
        self.rounds
            .iter()
            .filter_map(move |round| round.get(row).copied())
    }
}

/// What the ring got from a row.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Records {
    /// The agent on a tier.
    pub contender: String,
    /// The row.
    pub what: String,
    /// How often it was done.
    pub done: u64,
    /// How many records came of it.
    pub emitted: u64,
}

/// One BPF program by the kernel's own statistics.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Program {
    /// Whose it is.
    pub contender: String,
    /// Its name.
    pub name: String,
    /// Runs while all rows were done once.
    pub runs: u64,
    /// Nanoseconds (or instructions) per run.
    pub cost: f64,
    /// Instructions that the verifier looked at; absent before 5.16.
    pub verified: Option<u32>,
    /// Bytes of machine code.
    pub machine_bytes: u32,
}

/// Everything that was measured.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    /// The kernel's release.
    pub kernel: String,
    /// The processor, and how many the machine has.
    pub processor: String,
    /// What was done.
    pub rows: Vec<Row>,
    /// Who was measured; the first is nobody.
    pub contenders: Vec<Contender>,
    /// What the ring got.
    pub records: Vec<Records>,
    /// The programs.
    pub programs: Vec<Program>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_and_the_greatest_are_of_one_row_over_all_rounds() {
        let contender = Contender {
            name: String::new(),
            refused: None,
            rounds: vec![vec![3.0, 9.0], vec![2.0, 8.0], vec![4.0]],
        };
        let check = |row, expected| assert_eq!((contender.least(row), contender.greatest(row)), expected);
        check(0, (Some(2.0), Some(4.0)));
        check(1, (Some(8.0), Some(9.0)));
        check(2, (None, None));
    }
}
