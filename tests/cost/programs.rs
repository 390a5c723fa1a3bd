//! The kernel's own statistics of BPF programs: runs, time in them, what the verifier looked at, machine code.
//!
//! They cost some 60 ns a run while they are on, so they are taken apart from the measurement.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;

use anyhow::{Context as _, Result};
use aya::programs::{ProgramInfo, loaded_programs};
use aya::sys::{Stats, enable_stats};
use layerwatch_tests::cost::Program;

/// Statistics that are on as long as this lives.
#[derive(Debug)]
pub(crate) struct Statistics {
    _on: OwnedFd,
    others: BTreeSet<u32>,
}

impl Statistics {
    /// Switches them on; programs that are loaded already are somebody else's.
    pub(crate) fn begin() -> Result<Self> {
        let on = enable_stats(Stats::RunTime).context("switch the kernel's statistics of BPF programs on")?;
        let others = loaded()?.iter().map(ProgramInfo::id).collect();
        Ok(Self { _on: on, others })
    }

    /// The programs that came since.
    pub(crate) fn programs(&self, contender: &str) -> Result<Vec<Program>> {
        let ours = loaded()?;
        let ours = ours.iter().filter(|info| !self.others.contains(&info.id()));
        Ok(ours.map(|info| of(info, contender)).collect())
    }
}

fn loaded() -> Result<Vec<ProgramInfo>> {
    let all = loaded_programs().filter(|info| {
        // A program can go while the list is read.
        info.is_ok()
    });
    all.map(|info| info.context("list the BPF programs")).collect()
}

fn of(info: &ProgramInfo, contender: &str) -> Program {
    let runs = info.run_count();
    #[expect(clippy::cast_precision_loss, reason = "a mean is not exact")]
    let cost = info.run_time().as_nanos() as f64 / runs.max(1) as f64;
    Program {
        contender: contender.to_owned(),
        name: info.name_as_str().unwrap_or("?").to_owned(),
        runs,
        cost,
        verified: info.verified_instruction_count(),
        machine_bytes: info.size_jitted(),
    }
}
