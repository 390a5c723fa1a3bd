//! What the running processes tell of who can read: their users, the capabilities that pass over modes, and the mount
//! namespaces with other ways to the same files.
//!
//! Invariant: bounded; what vanished while it was looked at is left out. One pass over procfs, kept by the survey for
//! some seconds. Called by the survey and the commands.

mod status;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use status::Status;

use super::apis::{self, Api};
use super::ids::number;
use crate::catalog::Host;
use crate::model::text::printable;

const MAX_PROCESSES: usize = 32_768;
const MAX_NAMESPACES: usize = 256;
/// Different users that are told apart in one namespace.
const MAX_SUBJECTS: usize = 64;

/// `CAP_DAC_OVERRIDE`, `CAP_DAC_READ_SEARCH` and those that give root's file access by a short way: `CAP_SYS_MODULE`,
/// `CAP_SYS_RAWIO`, `CAP_SYS_PTRACE`, `CAP_SYS_ADMIN`, `CAP_SETUID`, `CAP_FOWNER`, `CAP_CHOWN`
/// (include/uapi/linux/capability.h).
pub(super) const POWERFUL: u64 =
    1 << 1 | 1 << 2 | 1 << 16 | 1 << 17 | 1 << 19 | 1 << 21 | 1 << 7 | 1 << 3 | 1;

/// A user with groups.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Credentials {
    pub(super) uid: u32,
    pub(super) gids: Vec<u32>,
}

/// A mount namespace besides the host's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Namespace {
    /// Its root, by one of its processes.
    pub(super) root: PathBuf,
    /// The `mountinfo` of that process.
    pub(super) table: PathBuf,
    /// The process's name, for people.
    pub(super) name: String,
    pub(super) subjects: BTreeSet<Credentials>,
}

/// See the module.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Processes {
    /// Who runs processes in the host's own mount namespace.
    pub(super) users: BTreeSet<Credentials>,
    /// Users besides root with a process that passes over modes, and that process's name.
    pub(super) capable: BTreeMap<u32, String>,
    pub(super) namespaces: Vec<Namespace>,
    /// APIs of engines in the host's network that are open to all.
    pub(super) apis: Vec<Api>,
    /// Not all were looked at.
    pub(super) is_cut: bool,
}

impl Processes {
    /// Looks at all processes of the host.
    pub fn look(host: &Host) -> Self {
        let procfs = host.path("/proc");
        let mut found = Self::default();
        let mut namespaces = BTreeMap::new();
        // Where nobody may look at the first process, this one's namespaces count as the host's.
        let of = |process: &Path, name: &str| std::fs::read_link(process.join("ns").join(name)).ok();
        let of_init = |name| of(&procfs.join("1"), name).or_else(|| of(Path::new("/proc/self"), name));
        let (mounts, users, network) = (of_init("mnt"), of_init("user"), of_init("net"));
        let own = std::fs::read_link("/proc/self/exe").ok();
        let entries = std::fs::read_dir(&procfs).into_iter().flatten().flatten();
        let pids = entries.filter_map(|entry| {
            let name = entry.file_name();
            number(name.as_encoded_bytes()).map(|_| entry.path())
        });
        for (count, process) in pids.enumerate() {
            if count == MAX_PROCESSES {
                found.is_cut = true;
                break;
            }
            let link = |name| of(&process, name);
            let Some(status) = Status::read(&process) else {
                continue;
            };
            let exe = std::fs::read_link(process.join("exe")).ok();
            // A kernel thread has no executable and is root's.
            if status.credentials.uid != 0 && exe.is_some() && exe != own && link("user") == users {
                found.note_capable(&status, exe.as_deref());
            }
            // Elsewhere a port is another host's.
            if found.apis.len() < apis::MAX && link("net") == network {
                found
                    .apis
                    .extend(apis::of(&process, &status.name, status.credentials.uid));
            }
            let namespace = link("mnt");
            if namespace.is_none() || namespace == mounts {
                found.users.insert(status.credentials);
            } else if namespaces.len() < MAX_NAMESPACES || namespaces.contains_key(&namespace) {
                let known = namespaces.entry(namespace).or_insert_with(|| Namespace {
                    root: process.join("root"),
                    table: process.join("mountinfo"),
                    name: status.name,
                    subjects: BTreeSet::new(),
                });
                if known.subjects.len() < MAX_SUBJECTS {
                    known.subjects.insert(status.credentials);
                }
            } else {
                found.is_cut = true;
            }
        }
        found.namespaces = namespaces.into_values().collect();
        found
    }

    fn note_capable(&mut self, status: &Status, exe: Option<&Path>) {
        if status.permitted & POWERFUL != 0 {
            let name = exe.map_or_else(
                || status.name.clone(),
                |exe| printable(exe.as_os_str().as_encoded_bytes()).to_string(),
            );
            self.capable.entry(status.credentials.uid).or_insert(name);
        }
    }
}

#[cfg(test)]
mod tests;
