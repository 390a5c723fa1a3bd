//! Who is behind an access: process, ancestry, container and user name, as the host shows them now.
//!
//! Invariant: a fact is believed only of the very process that the kernel reported (same id, same start); a process
//! that is gone has the name that its own events gave it, else what the record says. Bounded reads and bounded caches.
//! Called by the event plane through `Actors`, so that a replay brings recorded facts instead.

mod cache;
mod cgroups;
mod container;
mod host;
mod lineage;
mod open_files;
mod processes;
mod procfs;
#[cfg(test)]
mod tests;
mod users;

use std::fmt::Debug;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::model::text::printable;
use crate::model::{Access, Actor, Process, ProcessChange, ProcessEvent, ProcessKey, Tgid};
use cache::Cache;
use cgroups::Cgroups;
pub use container::container_of;
pub use host::{RunningEngine, engine_executables, host_facts, running_engines};
pub use open_files::{Listing, OpenFile, is_open, open_files};
use processes::Processes;
use procfs::Procfs;
use users::Users;

/// When a process of this process's own namespace started, in clock ticks since boot.
pub fn start_ticks(pid: u32) -> Option<u64> {
    start_ticks_in(Path::new("/proc"), pid)
}

/// The same of the process namespace that `proc` shows.
pub fn start_ticks_in(proc: &Path, pid: u32) -> Option<u64> {
    Procfs::new(proc.to_owned(), rustix::param::clock_ticks_per_second())
        .living(Tgid(pid))
        .map(|stat| stat.start_ticks)
}

/// What is told about the process behind one access.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Facts {
    /// The process.
    pub actor: Actor,
    /// The host's name of the user that the access counts for.
    pub user: Option<String>,
}

/// Where the plane learns who is behind an access.
pub trait Actors: Debug {
    /// The process behind an access.
    fn actor(&mut self, access: &Access) -> Actor;
    /// Takes note of what happens to a process; false if there was no room for it.
    fn learn(&mut self, event: &ProcessEvent) -> bool;
    /// The host's name for a user id.
    fn user(&mut self, uid: u32) -> Option<String>;
}

/// Where the host's facts lie.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EnrichRoots {
    /// proc(5) of the host's process namespace.
    pub proc: PathBuf,
    /// passwd(5) of the host.
    pub passwd: PathBuf,
    /// The cgroup file system.
    pub cgroup: PathBuf,
    /// Clock ticks in a second (`sysconf(_SC_CLK_TCK)`), the unit of start times in procfs.
    pub ticks_per_second: u64,
}

impl EnrichRoots {
    /// The usual places below a host's root; `/proc` and `/sys` are this process's own, which a container that shares
    /// the host's process namespace has mounted.
    pub fn under(host_root: &Path) -> Self {
        Self {
            proc: PathBuf::from("/proc"),
            passwd: host_root.join("etc/passwd"),
            cgroup: PathBuf::from("/sys/fs/cgroup"),
            ticks_per_second: rustix::param::clock_ticks_per_second(),
        }
    }
}

/// `Actors` of the running host.
#[derive(Debug)]
pub struct Enricher {
    procfs: Procfs,
    users: Users,
    cgroups: Cgroups,
    cache: Cache,
    processes: Processes,
    swept: Option<Timestamp>,
}

impl Enricher {
    /// Reads from `roots`.
    pub fn new(roots: EnrichRoots) -> Self {
        let procfs = Procfs::new(roots.proc, roots.ticks_per_second);
        Self {
            processes: Processes::new(procfs.tick_ns()),
            procfs,
            users: Users::new(roots.passwd),
            cgroups: Cgroups::new(roots.cgroup),
            cache: Cache::default(),
            swept: None,
        }
    }

    fn read(&mut self, access: &Access, key: ProcessKey) -> Actor {
        let comm = printable(&access.comm).to_string();
        let own = self.processes.key(key);
        let known = self.processes.at(own, access.time);
        if let Some(seen) = self.procfs.process(key) {
            let container = seen.cgroups.as_deref().and_then(container_of);
            let cgroup = seen.cgroups.as_deref().and_then(container::own_path);
            let superseded = known.filter(|known| known.superseded);
            let process = superseded.map_or(seen.process, |known| known.process);
            return Actor {
                ancestors: self.ancestors(own, seen.parent, access.time),
                process: Process { comm, ..process },
                cgroup,
                container,
                gone: false,
            };
        }
        let cgroup = self.cgroups.path_of(access.cgroup, access.time);
        // The root says as little here as in `own_path`.
        let cgroup = cgroup.filter(|path| path != "/");
        let process = known.map_or_else(Process::default, |known| known.process);
        Actor {
            process: Process {
                pid: access.tgid.0,
                comm,
                ..process
            },
            ancestors: self.ancestors(own, access.parent, access.time),
            container: cgroup
                .as_ref()
                .and_then(|path| container_of(&format!("0::{path}"))),
            cgroup,
            gone: true,
        }
    }
}

impl Actors for Enricher {
    fn actor(&mut self, access: &Access) -> Actor {
        let key = access.process();
        if let Some(actor) = self.cache.get(key, access) {
            return actor;
        }
        let actor = self.read(access, key);
        self.cache.put(key, access, &actor);
        actor
    }

    fn learn(&mut self, event: &ProcessEvent) -> bool {
        self.sweep(event.time);
        if matches!(event.change, ProcessChange::Exec(_)) {
            self.cache.forget(event.process);
            if self.cgroups.is_new(event.cgroup)
                && let Some(cgroups) = self.procfs.cgroups(event.process.tgid)
            {
                self.cgroups.learn(event.cgroup, &cgroups);
            }
        }
        self.processes.learn(event)
    }

    fn user(&mut self, uid: u32) -> Option<String> {
        self.users.name(uid)
    }
}
