//! One file access as the kernel reported it, decoded but not yet understood.
//!
//! Invariant: every field comes from the kernel's record; nothing here was looked up. Made by `decode`.

use serde::{Deserialize, Serialize};

use super::ids::{DevIno, KernelDev, Tgid};
use super::subject::ProcessKey;

/// What was done.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Operation {
    /// A file was opened.
    Open,
    /// A file was mapped into memory.
    Map,
    /// An open file was read.
    Read,
    /// An open file arrived over a socket.
    Receive,
    /// A file was open already when the watches were first set.
    OpenBeforeStart,
    /// An open file was held by a process that executed a program, took it from another process or changed its user.
    Hold,
    /// A block device that holds a store, or the file behind one, was opened.
    OpenDevice,
    /// A connection to a container engine's socket was made.
    Connect,
    /// A name changed in a watched directory: the sign of a pull.
    Rename,
    /// A file was created in a watched directory.
    Create,
    /// The agent's own canary file was opened.
    Canary,
}

/// By which way the file was reached.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Via {
    /// On its own file system, under whatever name.
    Direct,
    /// As the backing file of an overlay mount.
    Overlay,
}

/// Which watch the access met.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WatchMatch {
    /// The file's own inode has a finding.
    File,
    /// A directory above it is watched.
    Directory,
}

/// A credential set of a task, ids as the host's user namespace has them (struct cred, include/linux/cred.h).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Credentials {
    /// Real user id.
    pub uid: u32,
    /// Real group id.
    pub gid: u32,
    /// Effective user id.
    pub euid: u32,
    /// Effective group id.
    pub egid: u32,
    /// The user id that file permissions are checked with.
    pub fsuid: u32,
    /// The group id that file permissions are checked with.
    pub fsgid: u32,
    /// Inode number of the user namespace.
    pub user_namespace: u32,
    /// Depth of the user namespace; 0 is the host's.
    pub user_namespace_level: u32,
    /// Who made the user namespace.
    pub user_namespace_owner: u32,
}

/// One file access.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of the record, independent of the others"
)]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Access {
    /// Stable over restarts of the agent: boot id, processor and the number on that processor.
    pub id: String,
    /// When, by the host's wall clock.
    pub time: jiff::Timestamp,
    /// What was done.
    pub operation: Operation,
    /// By which way.
    pub via: Via,
    /// Which watch it met.
    pub matched: WatchMatch,
    /// The watched inode: the file itself, or the directory above it.
    pub watch: DevIno,
    /// The file.
    pub file: DevIno,
    /// The inode's generation; 0 where the file system has none.
    pub generation: u32,
    /// Type and permission bits.
    pub mode: u32,
    /// Flags of open(2).
    pub open_flags: u32,
    /// The inode's generation is not the one that was watched: the number belongs to another file now.
    pub number_reused: bool,
    /// A kernel structure could not be read: a 0 in this access proves nothing.
    pub incomplete: bool,
    /// 0, or the negative error number of a refusal.
    pub result: i32,
    /// The path inside the file's own file system, raw bytes, leading slash; for people only.
    pub path: Vec<u8>,
    /// Whether the path lost its beginning.
    pub path_truncated: bool,
    /// The process.
    pub tgid: Tgid,
    /// The thread.
    pub tid: u32,
    /// When the process started, nanoseconds since boot; with `tgid` it names the process for good.
    pub process_start_ns: u64,
    /// The parent process.
    pub parent: Tgid,
    /// The thread's name, raw bytes.
    pub comm: Vec<u8>,
    /// Whether it is a kernel thread.
    pub kernel_thread: bool,
    /// The login user id; 4294967295 outside login sessions.
    pub loginuid: u32,
    /// Inode number of the mount namespace.
    pub mount_namespace: u32,
    /// Id of the cgroup (cgroup v2 inode number).
    pub cgroup: u64,
    /// `task->real_cred`: who the process is.
    pub real: Credentials,
    /// `task->cred`: whose rights the kernel uses; the mounter's inside an overlay.
    pub effective: Credentials,
    /// Device of the superblock of the process's root directory.
    pub root_device: KernelDev,
    /// Device of the overlay superblock that the outer open was on; absent for a direct open.
    pub outer_device: Option<KernelDev>,
    /// `fsuid` at the outer open; absent where it was not carried.
    pub outer_fsuid: Option<u32>,
    /// Who mounted that overlay.
    pub mounter_uid: Option<u32>,
}

impl Access {
    /// The process.
    pub fn process(&self) -> ProcessKey {
        ProcessKey {
            tgid: self.tgid,
            start_ns: self.process_start_ns,
        }
    }
}
