//! One process as procfs shows it: executable, command line, parent, cgroups (proc(5)).
//!
//! Invariant: the start time is compared before and after reading, so that a process id that was reused is never
//! blamed; each file is read up to a limit. Used by `Enricher`.

use std::path::{Path, PathBuf};

use crate::bounded;
use crate::model::text::printable;
use crate::model::{DevIno, Process, ProcessKey, Tgid};

/// `stat` and `comm` are one short line; a kernel thread's name has at most 64 bytes.
const STAT_LIMIT: u64 = 4096;
/// One line for each of at most a few dozen hierarchies.
const CGROUP_LIMIT: u64 = 64 << 10;
/// Enough for the characters that are shown, at up to four bytes each.
const CMDLINE_READ: usize = 4096;
/// How much of a command line is shown, characters.
const CMDLINE_SHOWN: usize = 1024;

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
            .stat(key.tgid)
            .filter(|stat| key.start_ns != 0 && stat.start_ticks == expected)?;
        let process = self.describe(key.tgid, &stat);
        let cgroups = bounded::read(&self.directory(key.tgid).join("cgroup"), CGROUP_LIMIT).ok();
        let same = self
            .stat(key.tgid)
            .is_some_and(|again| again.start_ticks == stat.start_ticks);
        same.then(|| Seen {
            process,
            parent: stat.parent,
            cgroups: cgroups.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
        })
    }

    /// The ancestors from `parent` upwards; a parent that is younger than its child is a reused id and ends the chain.
    pub(super) fn ancestors(&self, parent: Tgid, child_start_ns: u64, most: usize) -> Vec<Process> {
        let mut ancestors = Vec::new();
        let (mut next, mut born_by) = (parent, child_start_ns / self.tick_ns);
        while next.0 != 0 && ancestors.len() < most {
            let Some(stat) = self.stat(next).filter(|stat| stat.start_ticks <= born_by) else {
                break;
            };
            ancestors.push(self.describe(next, &stat));
            (next, born_by) = (stat.parent, stat.start_ticks);
        }
        ancestors
    }

    fn directory(&self, tgid: Tgid) -> PathBuf {
        self.root.join(tgid.0.to_string())
    }

    fn stat(&self, tgid: Tgid) -> Option<Stat> {
        parse_stat(&bounded::read(&self.directory(tgid).join("stat"), STAT_LIMIT).ok()?)
    }

    fn describe(&self, tgid: Tgid, stat: &Stat) -> Process {
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
    const FIRST_AFTER_COMM: usize = 3;
    let open = line.iter().position(|byte| *byte == b'(')?;
    let close = line.iter().rposition(|byte| *byte == b')')?;
    let comm = line.get(open + 1..close)?;
    let rest = std::str::from_utf8(line.get(close + 1..)?).ok()?;
    let mut fields = rest.split_ascii_whitespace();
    let parent = fields.nth(1)?.parse().ok()?;
    let start_ticks = fields.nth(START - FIRST_AFTER_COMM - 2)?.parse().ok()?;
    Some(Stat {
        comm: printable(comm).to_string(),
        parent: Tgid(parent),
        start_ticks,
    })
}

/// The arguments joined by blanks, escaped and cut; absent for kernel threads, which have none.
fn command_line(path: &Path) -> Option<String> {
    use std::io::Read;
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).ok()?;
    file.take(u64::try_from(CMDLINE_READ).unwrap_or(u64::MAX))
        .read_to_end(&mut bytes)
        .ok()?;
    let arguments = bytes.strip_suffix(&[0]).unwrap_or(&bytes);
    if arguments.is_empty() {
        return None;
    }
    let joined: Vec<u8> = arguments
        .iter()
        .map(|byte| if *byte == 0 { b' ' } else { *byte })
        .collect();
    Some(
        printable(&joined)
            .to_string()
            .chars()
            .take(CMDLINE_SHOWN)
            .collect(),
    )
}
