//! The record that travels through the ring, and the constants in it.
//!
//! Invariant: fixed size, every byte written before submit; unknown constants are the decoder's business to refuse.

use bytemuck::{Pod, Zeroable};

use crate::InodeKey;

/// Bytes of a thread's name (`TASK_COMM_LEN`).
pub const COMM_LENGTH: usize = 16;
/// Bytes for the path's components: 256 and room for one more component, so that the programs can bound a write by a mask.
pub const PATH_LENGTH: usize = 256 + COMPONENT_LENGTH;
/// Most bytes of one component, its zero byte included.
pub const COMPONENT_LENGTH: usize = 80;
/// "No such id": an unset login uid, or a user id that was not carried.
pub const NO_ID: u32 = u32::MAX;

/// What happened; `Record::kind`.
pub mod kinds {
    /// A file with a finding was opened.
    pub const OPEN_FINDING: u16 = 1;
    /// Another file below a watched directory was opened.
    pub const OPEN_CONTENT: u16 = 2;
    /// A name was moved into a watched index directory.
    pub const INDEX_RENAME: u16 = 3;
    /// A file was created or opened for writing in a watched index directory.
    pub const INDEX_WRITE: u16 = 4;
    /// The canary was opened.
    pub const CANARY: u16 = 5;
    /// A file with a finding was mapped.
    pub const MAP_FINDING: u16 = 6;
    /// A file with a finding was read through an open file.
    pub const READ_FINDING: u16 = 7;
    /// A file with a finding arrived over a socket.
    pub const RECEIVE_FINDING: u16 = 8;
    /// A file with a finding was held by a descriptor at execve, `pidfd_getfd` or a change of user.
    pub const HOLD_FINDING: u16 = 9;
    /// A watched block device, or the backing file of one, was opened; `watch` is the device with inode 0, or the file.
    pub const OPEN_DEVICE: u16 = 10;
    /// A connection to a container engine's socket was made; `file` is the socket's.
    pub const CONNECT: u16 = 11;
}

/// Where it was seen, whatever program stands there on the tier in use; `Record::hook` and index of the counters.
pub mod hooks {
    /// A file is opened.
    pub const OPEN: u16 = 0;
    /// A name is moved.
    pub const RENAME: u16 = 1;
    /// A file is mapped.
    pub const MAP: u16 = 2;
    /// An open file is read.
    pub const READ: u16 = 3;
    /// A descriptor arrives over a socket.
    pub const RECEIVE: u16 = 4;
    /// A request of `io_uring` is done.
    pub const IO_URING: u16 = 5;
    /// Descriptors that a process holds, at execve, `pidfd_getfd` and a change of user.
    pub const DESCRIPTORS: u16 = 6;
    /// A process begins, executes a program or ends.
    pub const PROCESS: u16 = 7;
    /// A stream is connected to a socket of the file system.
    pub const CONNECT: u16 = 8;
}

/// Bits of `Record::flags`.
pub mod flags {
    /// The file is the backing file of an overlay mount.
    pub const BACKING: u32 = 1;
    /// `outer_*` was carried from the outer open of the same thread.
    pub const OUTER_CARRIED: u32 = 1 << 1;
    /// The path lost its beginning.
    pub const PATH_TRUNCATED: u32 = 1 << 2;
    /// A kernel thread, a worker of `io_uring` included.
    pub const KERNEL_THREAD: u32 = 1 << 3;
    /// A 32-bit system call.
    pub const COMPAT: u32 = 1 << 4;
    /// `watch` is a directory above the file, not the file.
    pub const BY_DIRECTORY: u32 = 1 << 5;
    /// The inode's generation is not the watched one: the number was reused.
    pub const GENERATION_DIFFERS: u32 = 1 << 6;
    /// A field could not be read and is 0.
    pub const INCOMPLETE: u32 = 1 << 7;
    /// A decision was enforced (reserved).
    pub const ENFORCED: u32 = 1 << 8;
}

/// One of a task's two credential sets, ids as the host's user namespace has them (`struct cred`).
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Pod, Zeroable)]
pub struct CredentialRecord {
    /// Real user id.
    pub uid: u32,
    /// Real group id.
    pub gid: u32,
    /// Effective user id.
    pub euid: u32,
    /// Effective group id.
    pub egid: u32,
    /// File-system user id.
    pub fsuid: u32,
    /// File-system group id.
    pub fsgid: u32,
    /// Inode number of the user namespace.
    pub user_namespace: u32,
    /// Depth of the user namespace, 0 for the host's.
    pub user_namespace_level: u32,
    /// Who made the user namespace.
    pub user_namespace_owner: u32,
}

/// One happening.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Pod, Zeroable)]
pub struct Record {
    /// [`crate::WIRE_VERSION`].
    pub version: u16,
    /// One of [`kinds`].
    pub kind: u16,
    /// One of [`hooks`].
    pub hook: u16,
    /// Bytes used in `path`.
    pub path_length: u16,
    /// Bits of [`flags`].
    pub flags: u32,
    /// The processor it happened on.
    pub cpu: u32,
    /// Number on that processor from the load of the programs on; a gap is an event the ring had no room for.
    pub sequence: u64,
    /// `bpf_ktime_get_boot_ns`.
    pub time_ns: u64,
    /// The thread group leader's start, nanoseconds since boot.
    pub process_start_ns: u64,
    /// `bpf_get_current_cgroup_id`.
    pub cgroup: u64,
    /// The file: `file->f_inode`, or the real inode behind an overlay's.
    pub file: InodeKey,
    /// The watched inode: the file, or the directory above it.
    pub watch: InodeKey,
    /// The outer file's inode number on its overlay.
    pub outer_ino: u64,
    /// Device of the outer file's overlay superblock; 0 for none.
    pub outer_dev: u32,
    /// `fsuid` at the outer open; [`NO_ID`] if not carried.
    pub outer_fsuid: u32,
    /// Who mounted the overlay; [`NO_ID`] if unknown.
    pub mounter_uid: u32,
    /// Device of the superblock of the process's root directory.
    pub root_dev: u32,
    /// `inode.i_generation`.
    pub generation: u32,
    /// `inode.i_mode`.
    pub mode: u32,
    /// `file.f_flags`.
    pub open_flags: u32,
    /// The hook's return value: 0 or a negative error number.
    pub result: i32,
    /// Thread group id.
    pub tgid: u32,
    /// Thread id.
    pub tid: u32,
    /// The parent's thread group id.
    pub parent_tgid: u32,
    /// The login user id; [`NO_ID`] if unset.
    pub loginuid: u32,
    /// Inode number of the mount namespace.
    pub mount_namespace: u32,
    /// Flags of the watch that was met.
    pub watch_flags: u32,
    /// `task->real_cred`.
    pub real: CredentialRecord,
    /// `task->cred`.
    pub effective: CredentialRecord,
    /// The thread's name, padded with zeros.
    pub comm: [u8; COMM_LENGTH],
    /// Path components inside the file system, leaf first, each ended by a zero byte.
    pub path: [u8; PATH_LENGTH],
}
