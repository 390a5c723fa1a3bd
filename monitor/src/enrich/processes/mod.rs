//! Processes as their own events told: which program each ran when, and who began it.
//!
//! Invariant: bounded, the living and the dead apart; a process is named by its id and its start in clock ticks, which
//! procfs knows too. What was true at the time of an access is told, not what came after. Used by `Enricher`.

#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::model::text::printable;
use crate::model::{Process, ProcessChange, ProcessEvent, ProcessKey, Program, Tgid};

/// Most living processes.
const LIVING_MAX: usize = 65_536;
/// Most dead ones.
const DEAD_MAX: usize = 16_384;
/// How long a dead one is remembered: parked accesses have their names already, so this is for children that live on.
const DEAD_KEPT: SignedDuration = SignedDuration::from_mins(10);
/// Programs that one process ran in a row; a wrapper that execs its way on seldom has more.
const PROGRAMS_MAX: usize = 4;

/// A process by its start in clock ticks.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct TickKey {
    pub(super) tgid: Tgid,
    pub(super) start_ticks: u64,
}

/// A program that a process ran, from a moment on.
#[derive(Clone, Debug)]
struct Ran {
    since: Timestamp,
    program: Arc<Program>,
    comm: Arc<str>,
}

#[derive(Debug)]
struct Entry {
    parent: TickKey,
    /// Oldest first, never empty.
    programs: Vec<Ran>,
    died: bool,
}

/// What a process was at a moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Known {
    pub(super) process: Process,
    pub(super) parent: TickKey,
    /// It ran another program later, so what procfs shows now is not what it was.
    pub(super) superseded: bool,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Processes {
    tick_ns: u64,
    entries: HashMap<TickKey, Entry>,
    dead: VecDeque<(Timestamp, TickKey)>,
}

impl Processes {
    pub(super) fn new(tick_ns: u64) -> Self {
        Self {
            tick_ns,
            entries: HashMap::new(),
            dead: VecDeque::new(),
        }
    }

    /// The key of a process.
    pub(super) fn key(&self, process: ProcessKey) -> TickKey {
        TickKey {
            tgid: process.tgid,
            start_ticks: process.start_ns / self.tick_ns,
        }
    }

    /// Takes one event; false if there is no room for another process.
    pub(super) fn learn(&mut self, event: &ProcessEvent) -> bool {
        self.forget(event.time);
        let (key, parent) = (self.key(event.process), self.key(event.parent));
        match &event.change {
            ProcessChange::Fork => {
                let program = self.newest(parent).map(|ran| Arc::clone(&ran.program));
                let ran = Ran::new(event, program.unwrap_or_default());
                self.put(key, parent, ran)
            }
            ProcessChange::Exec(program) => {
                let ran = Ran::new(event, Arc::new(program.clone()));
                let Some(entry) = self.entries.get_mut(&key) else {
                    return self.put(key, parent, ran);
                };
                if entry.programs.len() >= PROGRAMS_MAX {
                    entry.programs.remove(0);
                }
                entry.programs.push(ran);
                true
            }
            ProcessChange::Exit => {
                if let Some(entry) = self.entries.get_mut(&key).filter(|entry| !entry.died) {
                    entry.died = true;
                    self.dead.push_back((event.time, key));
                }
                true
            }
        }
    }

    /// Takes a process that lived before anybody followed it.
    pub(super) fn adopt(&mut self, key: TickKey, parent: TickKey, process: Process) -> bool {
        let ran = Ran {
            since: Timestamp::MIN,
            comm: process.comm.as_str().into(),
            program: Arc::new(Program {
                exe: process.exe,
                exe_key: process.exe_key,
                cmdline: process.cmdline,
            }),
        };
        self.put(key, parent, ran)
    }

    /// What a process was at a moment; absent too if all that is known came later.
    pub(super) fn at(&self, key: TickKey, moment: Timestamp) -> Option<Known> {
        let entry = self.entries.get(&key)?;
        let later = entry.programs.iter().position(|ran| ran.since > moment);
        let now = later.unwrap_or(entry.programs.len()).checked_sub(1)?;
        let ran = entry.programs.get(now)?;
        Some(Known {
            process: Process {
                pid: key.tgid.0,
                exe: ran.program.exe.clone(),
                exe_key: ran.program.exe_key,
                cmdline: ran.program.cmdline.clone(),
                comm: ran.comm.to_string(),
            },
            parent: entry.parent,
            superseded: now + 1 < entry.programs.len(),
        })
    }

    /// Whether there is no room for another process.
    pub(super) fn is_full(&self) -> bool {
        self.entries.len() - self.dead.len() >= LIVING_MAX
    }

    /// Drops the living that are not among `alive`: their exit was lost.
    pub(super) fn keep_living(&mut self, alive: &HashSet<Tgid>) {
        self.entries
            .retain(|key, entry| entry.died || alive.contains(&key.tgid));
    }

    fn put(&mut self, key: TickKey, parent: TickKey, ran: Ran) -> bool {
        if self.is_full() && !self.entries.contains_key(&key) {
            return false;
        }
        let entry = Entry {
            parent,
            programs: vec![ran],
            died: false,
        };
        if self.entries.insert(key, entry).is_some_and(|old| old.died) {
            self.dead.retain(|(_, dead)| *dead != key);
        }
        true
    }

    fn newest(&self, key: TickKey) -> Option<&Ran> {
        self.entries.get(&key)?.programs.last()
    }

    fn forget(&mut self, now: Timestamp) {
        while let Some((died, key)) = self.dead.front() {
            if self.dead.len() <= DEAD_MAX && now.duration_since(*died) <= DEAD_KEPT {
                return;
            }
            self.entries.remove(key);
            self.dead.pop_front();
        }
    }
}

impl Ran {
    fn new(event: &ProcessEvent, program: Arc<Program>) -> Self {
        Self {
            since: event.time,
            program,
            comm: printable(&event.comm).to_string().into(),
        }
    }
}
