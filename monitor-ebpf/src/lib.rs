//! The wire contract between the kernel programs and the agent: map keys and values, the record, and their constants.
//!
//! Invariant: integers only, no padding, one layout on both sides; the compiler proves it through bytemuck's `Pod`.
//! Meaning is made in the agent (`decode`), which treats every value here as possibly wrong. Any change of layout or of
//! a constant's meaning raises `WIRE_VERSION`.

#![no_std]

use bytemuck::{Pod, Zeroable};

mod offsets;
mod process;
mod record;

pub use offsets::Offsets;
pub use process::{
    ARGUMENTS_LENGTH, PROGRAM_PATH_LENGTH, ProcessExec, ProcessHead, process_flags, process_kinds,
};
pub use record::{
    COMM_LENGTH, COMPONENT_LENGTH, CredentialRecord, NO_ID, PATH_LENGTH, Record, flags, hooks, kinds,
};

/// Rises with each change of layout or meaning.
pub const WIRE_VERSION: u16 = 2;

/// An inode: `super_block.s_dev` in the kernel's encoding and `inode.i_ino`.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Pod, Zeroable)]
pub struct InodeKey {
    /// Inode number.
    pub ino: u64,
    /// Device, `major << 20 | minor`.
    pub dev: u32,
    /// Always 0; it is part of the hashed key.
    pub reserved: u32,
}

impl InodeKey {
    /// The key of an inode.
    pub const fn new(dev: u32, ino: u64) -> Self {
        Self {
            ino,
            dev,
            reserved: 0,
        }
    }
}

/// What is known of a watched inode: value of the maps `SENSITIVE` (files) and `ROOTS` (directories).
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Pod, Zeroable)]
pub struct Watch {
    /// Bits of [`watch_flags`].
    pub flags: u32,
    /// The inode's generation when it was watched; 0 where the file system has none.
    pub generation: u32,
}

/// Bits of [`Watch::flags`].
pub mod watch_flags {
    /// The agent's canary file: reported whoever opens it, the agent included.
    pub const CANARY: u32 = 1;
    /// A directory that holds a layer's content.
    pub const LAYER: u32 = 1 << 1;
    /// The layer below this directory has been scanned: ordinary files are reported once per process and user.
    pub const SCANNED: u32 = 1 << 2;
    /// A directory whose entries are a store's index: renames and creations in it are reported.
    pub const INDEX: u32 = 1 << 3;
    /// A storage root.
    pub const STORE: u32 = 1 << 4;
    /// The socket of a container engine: connections to it are reported.
    pub const SOCKET: u32 = 1 << 5;
}

/// Counters of a place, value of the per-processor array `COUNTERS`, index = a constant of [`hooks`].
///
/// An open is seen on a device with a watch on it, or of a block device, and a connection to a watched socket: the others
/// cost next to nothing, and so have no counter. `seen = matched + ignored` and
/// `matched = emitted + repeated + ring_full + own`. Reads, maps and descriptors are seen once [`number_bit`] lets them
/// through: the others cost nothing but that test, and so no counter either.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Pod, Zeroable)]
pub struct Counters {
    /// Times the hook ran and the happening was of its kind.
    pub seen: u64,
    /// A watch was met.
    pub matched: u64,
    /// No watch was met.
    pub ignored: u64,
    /// A record went into the ring.
    pub emitted: u64,
    /// Reported before: ordinary content for this layer, process and user in the window, a read of a file with a
    /// finding for this process and user.
    pub repeated: u64,
    /// The agent's own access, or any while nobody listens (`INERT_AFTER_NS`).
    pub own: u64,
    /// The ring had no room: an event was lost.
    pub ring_full: u64,
    /// The walk to the root ended before it got there, so a directory watch may have been missed.
    pub walk_truncated: u64,
    /// A kernel structure could not be read.
    pub read_error: u64,
}

/// How many bits `FILTER` has.
pub const FILTER_BITS: u32 = 1 << 20;

/// The bit of `FILTER` that is set while an inode of this number is watched, on whatever device: what that is costs a read
/// more than this whole test. Others may share the bit.
#[inline]
pub const fn number_bit(ino: u64) -> u32 {
    (ino.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 44) as u32
}

/// The bit of `FILTER` that is set while this inode is watched: small numbers are in use on every device. Others may share it.
#[inline]
pub const fn inode_bit(key: InodeKey) -> u32 {
    number_bit(key.ino ^ ((key.dev as u64 + 1) << 40))
}

/// How many block devices and backing files `BLOCK_DEVICES` holds.
pub const BLOCK_DEVICES_CAPACITY: u32 = 4096;
/// How many sockets `SOCKETS` holds.
pub const SOCKETS_CAPACITY: u32 = 256;
/// How many hooks `COUNTERS` has room for.
pub const HOOKS: u32 = 16;
/// How many inodes `SENSITIVE` holds.
pub const SENSITIVE_CAPACITY: u32 = 1 << 17;
/// How many directories `ROOTS` holds.
pub const ROOTS_CAPACITY: u32 = 1 << 16;
/// How many slots `DEVICES` has.
pub const DEVICE_SLOTS: u32 = 1 << 12;

/// The slot of `DEVICES` that is not 0 while an inode on the device is watched; other devices may share it.
#[inline]
pub const fn device_slot(dev: u32) -> u32 {
    dev.wrapping_mul(0x9e37_79b9) >> 20
}

/// How long after an agent's last call the programs report nothing any more, nanoseconds.
pub const INERT_AFTER_NS: u64 = 600_000_000_000;
/// A clock tick of `/proc/PID/stat` in nanoseconds (`USER_HZ` is 100, include/asm-generic/param.h): the unit of the start
/// times in the map `OWN`.
pub const TICK_NS: u64 = 10_000_000;
/// Size of the ring buffer in bytes.
pub const RING_BYTES: u32 = 8 << 20;
/// Size of the ring buffer for process events in bytes.
pub const PROCESS_RING_BYTES: u32 = 2 << 20;
/// How long an ordinary file's repeat is counted instead of reported, nanoseconds.
pub const REPEAT_WINDOW_NS: u64 = 10_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_inodes_do_not_share_a_bit() {
        let bit = |dev, ino| inode_bit(InodeKey::new(dev, ino));
        assert!((0..10_000).all(|ino| number_bit(ino) < FILTER_BITS && bit(0x80_0001, ino) < FILTER_BITS));
        let shared = (0..1000)
            .filter(|ino| (0..1000).any(|other| other != *ino && number_bit(*ino) == number_bit(other)));
        assert_eq!(shared.count(), 0);
        let shared =
            (0..1000).filter(|ino| (0..1000).any(|other| other != *ino && bit(1, *ino) == bit(1, other)));
        assert_eq!(shared.count(), 0);
        assert_ne!(bit(1, 7), bit(2, 7));
        assert_ne!(bit(1, 7), number_bit(7));
    }

    #[test]
    fn the_layout_is_what_version_2_says() {
        assert_eq!((size_of::<InodeKey>(), align_of::<InodeKey>()), (16, 8));
        assert_eq!((size_of::<Watch>(), size_of::<Counters>()), (8, 72));
        assert_eq!((size_of::<CredentialRecord>(), size_of::<Record>()), (36, 568));
        assert_eq!((size_of::<ProcessHead>(), size_of::<ProcessExec>()), (64, 664));
        assert_eq!(WIRE_VERSION, 2);
    }
}
