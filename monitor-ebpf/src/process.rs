//! The records of processes: one begins, changes its program, or ends.
//!
//! Invariant: as for `record`: fixed sizes, integers only, every byte written before submit. They travel in a ring of
//! their own (`PROCESSES`), so that no storm of processes takes the place of an access. Their size tells them apart.

use bytemuck::{Pod, Zeroable};

use crate::InodeKey;
use crate::record::COMM_LENGTH;

/// Bytes for the path of a program: 256, and room for one more component (as for `Record::path`).
pub const PROGRAM_PATH_LENGTH: usize = 256 + 64;
/// Bytes for the beginning of the arguments; one is never used, so that the programs can bound a length by a mask.
pub const ARGUMENTS_LENGTH: usize = 256;

/// What happened; `ProcessHead::kind`.
pub mod process_kinds {
    /// A process began, as a copy of another.
    pub const FORK: u16 = 1;
    /// A process began to run another program.
    pub const EXEC: u16 = 2;
    /// The last thread of a process ended.
    pub const EXIT: u16 = 3;
}

/// Bits of `ProcessHead::flags`.
pub mod process_flags {
    /// The program's path lost its beginning.
    pub const PATH_TRUNCATED: u32 = 1;
    /// The arguments go on beyond the record.
    pub const ARGUMENTS_TRUNCATED: u32 = 1 << 1;
    /// The arguments could not be read: they are not there, which is not the same as none.
    pub const ARGUMENTS_UNREADABLE: u32 = 1 << 2;
}

/// The whole of a fork's or an exit's record, and the beginning of an exec's.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Pod, Zeroable)]
pub struct ProcessHead {
    /// [`crate::WIRE_VERSION`].
    pub version: u16,
    /// One of [`process_kinds`].
    pub kind: u16,
    /// Bits of [`process_flags`].
    pub flags: u32,
    /// Thread group id.
    pub tgid: u32,
    /// The parent's thread group id.
    pub parent_tgid: u32,
    /// The thread group leader's start, nanoseconds since boot.
    pub start_ns: u64,
    /// The parent's start.
    pub parent_start_ns: u64,
    /// `bpf_ktime_get_boot_ns`.
    pub time_ns: u64,
    /// `bpf_get_current_cgroup_id`: at a fork, the parent's.
    pub cgroup: u64,
    /// The thread's name, padded with zeros.
    pub comm: [u8; COMM_LENGTH],
}

/// An exec's record.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Pod, Zeroable)]
pub struct ProcessExec {
    /// Who and when.
    pub head: ProcessHead,
    /// The program's inode, of a script its interpreter's.
    pub program: InodeKey,
    /// Bytes used in `path`.
    pub path_length: u32,
    /// Bytes used in `arguments`.
    pub arguments_length: u32,
    /// Path components up to the root of the mount namespace, leaf first, each ended by a zero byte.
    pub path: [u8; PROGRAM_PATH_LENGTH],
    /// The beginning of the argument area, arguments ended by zero bytes.
    pub arguments: [u8; ARGUMENTS_LENGTH],
}
