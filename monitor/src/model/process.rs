//! What happens to processes: one begins, runs another program, ends.
//!
//! Invariant: every field comes from the kernel's record; nothing here was looked up. Made by `decode`, kept by `enrich`.

use std::path::PathBuf;

use super::ids::{DevIno, Tgid};
use super::subject::ProcessKey;

/// A program as the kernel began to run it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Program {
    /// The executable's path on the host; begins with `…/` where its beginning is not known.
    pub exe: Option<PathBuf>,
    /// The executable's inode.
    pub exe_key: Option<DevIno>,
    /// The command line as `Process::cmdline` has it; ends with `…` where it goes on.
    pub cmdline: Option<String>,
}

/// What became of a process.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ProcessChange {
    /// It began, as a copy of its parent.
    Fork,
    /// It began to run a program.
    Exec(Program),
    /// Its last thread ended.
    Exit,
}

/// One happening in the life of a process.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProcessEvent {
    /// What became of it.
    pub change: ProcessChange,
    /// The process.
    pub process: ProcessKey,
    /// Its parent at that moment; who began it only at a fork, for the children of the dead are given away.
    pub parent: ProcessKey,
    /// When, by the host's wall clock.
    pub time: jiff::Timestamp,
    /// Id of the cgroup (cgroup v2 inode number); at a fork, the parent's.
    pub cgroup: u64,
    /// The thread's name, raw bytes.
    pub comm: Vec<u8>,
}

impl ProcessEvent {
    /// A key from its two parts.
    pub(crate) fn key(tgid: u32, start_ns: u64) -> ProcessKey {
        ProcessKey {
            tgid: Tgid(tgid),
            start_ns,
        }
    }
}
