//! overlayfs: telling a backing open from a direct one, and finding the real inode where only the outer open is seen.
//!
//! Up to Linux 6.6 a backing file has the overlay's path with the layer's inode; from 6.7 on it has the layer's path on
//! a private mount (fs/overlayfs/file.c, fs/backing-file.c). Both signs are looked for on every kernel.

use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use layerwatch_ebpf::Offsets;

use super::fields::{Load, Probe, offset};
use super::maps::{OUTER, Outer};
use super::task;

/// `OVERLAYFS_SUPER_MAGIC`, include/uapi/linux/magic.h.
pub(super) const MAGIC: u64 = 0x794c_7630;
/// `MNT_NS_INTERNAL`, fs/mount.h: `ERR_PTR(-EINVAL)`.
const PRIVATE_NAMESPACE: u64 = (-22_i64) as u64;

/// Remembers an overlay's outer open for the backing open that follows in the same thread.
///
/// Attribution only: nothing is suppressed by what is remembered, so a leftover can hide no later open.
#[inline(always)]
pub(super) fn remember_outer(dev: u32, ino: u64) {
    let outer = Outer {
        ino,
        dev,
        fsuid: task::current_fsuid(),
    };
    let _ = OUTER.insert(&bpf_get_current_pid_tgid(), &outer, 0);
}

/// Takes what the outer open of this thread left.
#[inline(always)]
pub(super) fn take_outer() -> Option<Outer> {
    let thread = bpf_get_current_pid_tgid();
    let outer = OUTER.get_ptr(&thread)?;
    // SAFETY: a value of an LRU map is never freed while a program runs, only reused.
    let taken = unsafe { *outer };
    let _ = OUTER.remove(&thread);
    Some(taken)
}

/// Whether `file` is the backing file of an overlay.
///
/// # Safety
/// `file`, its inode's superblock `sb` and its `dentry` are kernel pointers that `L` can read.
#[inline(always)]
pub(super) unsafe fn is_backing<L: Load>(file: *const u8, sb: *const u8, dentry: *const u8) -> bool {
    // SAFETY: the caller's; the mount is read through the fault-safe copy.
    unsafe {
        if L::load::<u64>(dentry, offset!(dentry_sb)) != sb as u64 {
            return true;
        }
        let vfsmount = L::load::<u64>(file, offset!(file_path_mnt));
        let mount = vfsmount.wrapping_sub(u64::from(offset!(mount_mnt))) as *const u8;
        Probe::load::<u64>(mount, offset!(mount_ns)) == PRIVATE_NAMESPACE
    }
}

/// The layer's dentry behind an overlay inode: the upper one, else the topmost lower one (`ovl_i_path_real`).
///
/// # Safety
/// `inode` is an inode of an overlay superblock.
#[inline(always)]
pub(super) unsafe fn real_dentry(inode: *const u8) -> Option<*const u8> {
    if offset!(ovl_inode_vfs_inode) == Offsets::ABSENT || offset!(ovl_entry_lowerstack) == Offsets::ABSENT {
        return None;
    }
    // SAFETY: every load is fault-safe; a wrong address gives zero, which is refused.
    unsafe {
        let ovl_inode = inode.wrapping_sub(offset!(ovl_inode_vfs_inode) as usize);
        let upper = Probe::pointer(ovl_inode, offset!(ovl_inode_upper));
        if !upper.is_null() && !Probe::pointer(upper, offset!(dentry_inode)).is_null() {
            return Some(upper);
        }
        let entry = Probe::pointer(ovl_inode, offset!(ovl_inode_oe));
        if entry.is_null() || Probe::load::<u32>(entry, offset!(ovl_entry_numlower)) == 0 {
            return None;
        }
        let lower = entry.wrapping_add(offset!(ovl_entry_lowerstack) as usize);
        let dentry = Probe::pointer(lower, offset!(ovl_path_dentry));
        (!dentry.is_null()).then_some(dentry)
    }
}

/// Whose rights an overlay's backing files are opened with: `ovl_fs.creator_cred`, or null where it is not known.
///
/// # Safety
/// `sb` is an overlay superblock.
#[inline(always)]
pub(super) unsafe fn mounter(sb: *const u8) -> *const u8 {
    if offset!(ovl_fs_creator_cred) == Offsets::ABSENT {
        return core::ptr::null();
    }
    // SAFETY: fault-safe loads.
    unsafe {
        Probe::pointer(
            Probe::pointer(sb, offset!(sb_fs_info)),
            offset!(ovl_fs_creator_cred),
        )
    }
}
