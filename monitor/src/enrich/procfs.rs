//! One process as procfs shows it: executable, command line, parent, cgroups (proc(5)).
//!
//! Invariant: the start time is compared before and after reading, so that a process id that was reused is never
//! blamed, and one that is ending shows no more what it was; each file is read up to a limit. Used by `Enricher`.

use std::path::{Path, PathBuf};

use crate::bounded;
use crate::model::text::{self, printable};
use crate::model::{DevIno, Process, ProcessKey, Tgid};

/// `stat` and `comm` are one short line; a kernel thread's name has at most 64 bytes.
const STAT_LIMIT: u64 = 4096;
/// One line for each of at most a few dozen hierarchies.
const CGROUP_LIMIT: u64 = 64 << 10;
/// Enough for the characters that are shown, at up to four bytes each.
const CMDLINE_READ: usize = 4096;

/// What procfs says of a process.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Seen {
    pub(super) process: Process,
    pub(super) parent: Tgid,
    /// The text of its `cgroup` file.
    pub(super) cgroups: Option<String>,
}

/// Two fields of `/proc/PID/stat` and the name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Stat {
    pub(super) comm: String,
    pub(super) parent: Tgid,
    /// Clock ticks since boot.
    pub(super) start_ticks: u64,
    /// It ended or is about to: its executable, command line and cgroup are gone or show another's.
    pub(super) exiting: bool,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Procfs {
    root: PathBuf,
    tick_ns: u64,
}

impl Procfs {
    pub(super) fn new(root: PathBuf, ticks_per_second: u64) -> Self {
        Self {
            root,
            tick_ns: (1_000_000_000 / ticks_per_second.max(1)).max(1),
        }
    }

    /// The process, if it still is the one that started then; a start of 0 could not be read and proves nothing.
    pub(super) fn process(&self, key: ProcessKey) -> Option<Seen> {
        let expected = key.start_ns / self.tick_ns;
        let stat = self
            .living(key.tgid)
            .filter(|stat| key.start_ns != 0 && stat.start_ticks == expected)?;
        let process = self.describe(key.tgid, &stat);
        let cgroups = self.cgroups(key.tgid);
        let same = self
            .living(key.tgid)
            .is_some_and(|again| again.start_ticks == stat.start_ticks);
        same.then_some(Seen {
            process,
            parent: stat.parent,
            cgroups,
        })
    }

    /// How long a clock tick is.
    pub(super) fn tick_ns(&self) -> u64 {
        self.tick_ns
    }

    /// A process that lives, whatever it is.
    pub(super) fn living(&self, tgid: Tgid) -> Option<Stat> {
        self.stat(tgid).filter(|stat| !stat.exiting)
    }

    /// The ids of all processes, at most so many.
    pub(super) fn all(&self, most: usize) -> Vec<Tgid> {
        let entries = std::fs::read_dir(&self.root).into_iter().flatten().flatten();
        let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok().map(Tgid));
        ids.take(most).collect()
    }

    /// The text of a process's `cgroup` file.
    pub(super) fn cgroups(&self, tgid: Tgid) -> Option<String> {
        let bytes = bounded::read(&self.directory(tgid).join("cgroup"), CGROUP_LIMIT).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn directory(&self, tgid: Tgid) -> PathBuf {
        self.root.join(tgid.0.to_string())
    }

    fn stat(&self, tgid: Tgid) -> Option<Stat> {
        parse_stat(&bounded::read(&self.directory(tgid).join("stat"), STAT_LIMIT).ok()?)
    }

    /// What the other files say of a process that `stat` was read of.
    pub(super) fn describe(&self, tgid: Tgid, stat: &Stat) -> Process {
        let exe = self.directory(tgid).join("exe");
        Process {
            pid: tgid.0,
            exe: std::fs::read_link(&exe).ok(),
            exe_key: std::fs::metadata(&exe).ok().map(|metadata| DevIno::of(&metadata)),
            cmdline: command_line(&self.directory(tgid).join("cmdline")),
            comm: stat.comm.clone(),
        }
    }
}

/// Reads `pid (comm) state ppid …`; a name may hold blanks and parentheses, so the last one ends it.
pub(super) fn parse_stat(line: &[u8]) -> Option<Stat> {
    const START: usize = 22;
    const FLAGS: usize = 9;
    /// `PF_EXITING`, include/linux/sched.h.
    const EXITING: u32 = 4;
    let open = line.iter().position(|byte| *byte == b'(')?;
    let close = line.iter().rposition(|byte| *byte == b')')?;
    let comm = line.get(open + 1..close)?;
    let rest = std::str::from_utf8(line.get(close + 1..)?).ok()?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    // The state is field 3, so the parent was field 4.
    let flags: u32 = fields.nth(FLAGS - 4 - 1)?.parse().ok()?;
    let start_ticks = fields.nth(START - FLAGS - 1)?.parse().ok()?;
    Some(Stat {
        comm: printable(comm).to_string(),
        parent: Tgid(parent),
        start_ticks,
        exiting: flags & EXITING != 0 || matches!(state, "Z" | "X"),
    })
}

/// The command line; absent for kernel threads, which have none.
fn command_line(path: &Path) -> Option<String> {
    use std::io::Read;
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).ok()?;
    file.take(u64::try_from(CMDLINE_READ).unwrap_or(u64::MAX))
        .read_to_end(&mut bytes)
        .ok()?;
    text::command_line(&bytes)
}
