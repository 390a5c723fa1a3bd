//! Who is behind an access: process, ancestry, container and user name, as the host shows them now.
//!
//! Invariant: a fact is believed only of the very process that the kernel reported (same id, same start); a process
//! that is gone leaves what the record and its parent still say. Bounded reads and bounded caches. Called by the event
//! plane through `Actors`, so that a replay brings recorded facts instead.

mod cache;
mod cgroups;
mod container;
mod host;
mod procfs;
#[cfg(test)]
mod tests;
mod users;

use std::fmt::Debug;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::model::text::printable;
use crate::model::{Access, Actor, Process, ProcessKey, Tgid};
use cache::Cache;
use cgroups::Cgroups;
pub use container::container_of;
pub use host::{engine_executables, host_facts};
use procfs::Procfs;
use users::Users;

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

/// How many ancestors are named.
const ANCESTORS_MAX: usize = 8;

/// `Actors` of the running host.
#[derive(Debug)]
pub struct Enricher {
    procfs: Procfs,
    users: Users,
    cgroups: Cgroups,
    cache: Cache,
}

impl Enricher {
    /// Reads from `roots`.
    pub fn new(roots: EnrichRoots) -> Self {
        Self {
            procfs: Procfs::new(roots.proc, roots.ticks_per_second),
            users: Users::new(roots.passwd),
            cgroups: Cgroups::new(roots.cgroup),
            cache: Cache::default(),
        }
    }

    fn read(&mut self, access: &Access, key: ProcessKey) -> Actor {
        let comm = printable(&access.comm).to_string();
        if let Some(seen) = self.procfs.process(key) {
            let container = seen.cgroups.as_deref().and_then(container_of);
            let cgroup = seen.cgroups.as_deref().and_then(container::own_path);
            return Actor {
                ancestors: self.procfs.ancestors(seen.parent, key.start_ns, ANCESTORS_MAX),
                process: Process { comm, ..seen.process },
                cgroup,
                container,
                gone: false,
            };
        }
        // The root says as little here as in `own_path`.
        let cgroup = self.cgroups.path_of(access.cgroup, access.time);
        let cgroup = cgroup.filter(|path| path != "/");
        Actor {
            process: Process {
                pid: access.tgid.0,
                comm,
                ..Process::default()
            },
            ancestors: self.procfs.ancestors(access.parent, key.start_ns, ANCESTORS_MAX),
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
        let key = ProcessKey {
            tgid: Tgid(access.tgid.0),
            start_ns: access.process_start_ns,
        };
        if let Some(actor) = self.cache.get(key, access) {
            return actor;
        }
        let actor = self.read(access, key);
        self.cache.put(key, access, &actor);
        actor
    }

    fn user(&mut self, uid: u32) -> Option<String> {
        self.users.name(uid)
    }
}
