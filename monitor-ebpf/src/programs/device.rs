//! The device that an inode is known by: what `stat` shows, not always what the superblock has.
//!
//! Invariant: on btrfs every subvolume numbers its inodes from 256 on, and has a device number of its own that `stat`
//! shows; the superblock's is the same for all of them. So an inode there is known by the subvolume's.

use layerwatch_ebpf::Offsets;

use super::fields::{Load, Probe, offset};

/// `BTRFS_SUPER_MAGIC`, include/uapi/linux/magic.h.
const BTRFS: u64 = 0x9123_683e;
/// `BTRFS_FIRST_FREE_OBJECTID`, include/uapi/linux/btrfs_tree.h: the number of a subvolume's root directory.
const SUBVOLUME_ROOT: u64 = 256;

/// The device of an inode whose superblock is `sb`.
///
/// # Safety
/// Both are kernel pointers that `L` can read.
#[inline(always)]
pub(super) unsafe fn device<L: Load>(inode: *const u8, sb: *const u8) -> u32 {
    // SAFETY: the caller's.
    unsafe { kind_and_device::<L>(inode, sb).1 }
}

/// The same, behind the superblock's magic number.
///
/// # Safety
/// As for [`device`].
#[inline(always)]
pub(super) unsafe fn kind_and_device<L: Load>(inode: *const u8, sb: *const u8) -> (u64, u32) {
    // SAFETY: the caller's.
    unsafe {
        let magic = L::load::<u64>(sb, offset!(sb_magic));
        let dev = L::load(sb, offset!(sb_dev));
        if magic == BTRFS {
            return (magic, of_subvolume(inode, dev));
        }
        (magic, dev)
    }
}

/// The device of the subvolume; `other` on a kernel that does not say where it stands.
///
/// # Safety
/// `inode` is an inode of a btrfs.
#[inline(always)]
unsafe fn of_subvolume(inode: *const u8, other: u32) -> u32 {
    if offset!(btrfs_inode_vfs_inode) == Offsets::ABSENT || offset!(btrfs_root_anon_dev) == Offsets::ABSENT {
        return other;
    }
    // SAFETY: every load is fault-safe.
    unsafe {
        let own = inode.wrapping_sub(offset!(btrfs_inode_vfs_inode) as usize);
        let root = Probe::pointer(own, offset!(btrfs_inode_root));
        Probe::load(root, offset!(btrfs_root_anon_dev))
    }
}

/// The number of the directory above which another device begins inside the same file system, which is of the kind that
/// the magic number says; 0 where there is none.
#[inline(always)]
pub(super) fn topmost(magic: u64) -> u64 {
    if magic == BTRFS { SUBVOLUME_ROOT } else { 0 }
}
