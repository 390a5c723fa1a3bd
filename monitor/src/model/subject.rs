//! Who did it: the process, its ancestry, its container, and the user it counts as.
//!
//! Invariant: a fact that could not be read is absent, never guessed. Made by `enrich`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::ids::{DevIno, Tgid};

/// A process for good: the id alone is reused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct ProcessKey {
    /// The thread group id.
    pub tgid: Tgid,
    /// Start, nanoseconds since boot.
    pub start_ns: u64,
}

/// A process as procfs showed it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Process {
    /// The thread group id.
    pub pid: u32,
    /// The executable's path.
    #[serde(with = "super::path::optional", default)]
    pub exe: Option<PathBuf>,
    /// The executable's inode, which a renamed or replaced binary cannot borrow.
    pub exe_key: Option<DevIno>,
    /// The command line, arguments joined by blanks, cut at 1024 characters, control characters escaped.
    pub cmdline: Option<String>,
    /// The thread's name.
    pub comm: String,
}

/// The container a process runs in, from its cgroup.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Container {
    /// The container's id, 64 hex digits as a rule.
    pub id: String,
    /// Which engine's cgroup naming it is.
    pub runtime: String,
    /// The pod's uid under Kubernetes.
    pub pod: Option<String>,
}

/// The process behind an access, with what was known about it at that moment.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Actor {
    /// The process.
    pub process: Process,
    /// Its ancestors, parent first, at most eight.
    pub ancestors: Vec<Process>,
    /// The cgroup's path, if procfs still had it.
    pub cgroup: Option<String>,
    /// The container.
    pub container: Option<Container>,
    /// The process was gone before procfs could be read: the kernel's record is all there is.
    pub gone: bool,
}

/// Who an access counts for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Subject {
    /// The user id that counts: `fsuid` of a direct open, the outer open's `fsuid` through an overlay.
    pub uid: u32,
    /// The name in the host's user database.
    pub user: Option<String>,
    /// The login user id, if the process belongs to a login session.
    pub loginuid: Option<u32>,
    /// Root of the host: uid 0 in the host's user namespace and outside containers.
    pub host_root: bool,
}
