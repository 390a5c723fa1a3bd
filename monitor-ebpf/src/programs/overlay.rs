//! overlayfs: telling a backing open from a direct one, and finding the real inode where only the outer open is seen.
//!
//! Up to Linux 6.6 a backing file has the overlay's path with the layer's inode; from 6.7 on it has the layer's path on
//! a private mount, and from 6.8 on the overlay's path beside it (fs/overlayfs/file.c, fs/backing-file.c). All signs are
//! looked for on every kernel.

use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use layerwatch_ebpf::{NO_ID, Offsets};

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
        present: 1,
        reserved: 0,
    };
    let _ = OUTER.insert(&bpf_get_current_pid_tgid(), &outer, 0);
}

/// Whether an overlay's backing open, which works with the mounter's rights, could not say whose the outer one was: where
/// the task works with rights that are not its own already, or where overlays are stacked. Else the task's own rights and
/// what the backing file says of its outer one are enough, and the common open costs no entry in a map.
///
/// # Safety
/// `sb` is an overlay superblock that `L` can read.
#[inline(always)]
pub(super) unsafe fn hides_who_asks<L: Load>(sb: *const u8) -> bool {
    // SAFETY: the caller's.
    unsafe { L::load::<u32>(sb, offset!(sb_stack_depth)) > 1 || task::has_borrowed_rights() }
}

/// Takes what the outer open of this thread left.
#[inline(always)]
fn take_outer() -> Outer {
    let thread = bpf_get_current_pid_tgid();
    let Some(outer) = OUTER.get_ptr(&thread) else {
        return Outer::NONE;
    };
    // SAFETY: a value of an LRU map is never freed while a program runs, only reused.
    let taken = unsafe { *outer };
    let _ = OUTER.remove(&thread);
    taken
}

/// The outer file of a backing file, written to `out`.
///
/// What the file itself says comes first; what the thread carried adds the user. Where they disagree, the carried one is
/// a leftover, unless the file's own is an inner overlay of several: then the outermost counts.
///
/// # Safety
/// `file` is a `struct file` whose inode has the superblock `sb`; `out` is writable.
#[inline(never)]
pub(super) unsafe fn outer_of(file: *const u8, sb: *const u8, out: &mut Outer, carries: u32) {
    let carried = if carries == 0 { Outer::NONE } else { take_outer() };
    // SAFETY: the caller's; every load is fault-safe.
    unsafe {
        let mut dentry = Probe::pointer(file, offset!(file_path_dentry));
        let mut mount = Probe::pointer(file, offset!(file_path_mnt));
        if Probe::load::<u64>(dentry, offset!(dentry_sb)) == sb as u64 {
            if offset!(backing_user_dentry) == Offsets::ABSENT {
                *out = carried;
                return;
            }
            dentry = Probe::pointer(file, offset!(backing_user_dentry));
            mount = Probe::pointer(file, offset!(backing_user_mnt));
        }
        let outer_sb = Probe::pointer(dentry, offset!(dentry_sb));
        if Probe::load::<u64>(outer_sb, offset!(sb_magic)) != MAGIC {
            *out = carried;
            return;
        }
        let dev: u32 = Probe::load(outer_sb, offset!(sb_dev));
        let ino: u64 = Probe::load(Probe::pointer(dentry, offset!(dentry_inode)), offset!(inode_ino));
        let agrees = carried.dev == dev && carried.ino == ino;
        if carried.present != 0 && (agrees || is_private(mount)) {
            *out = carried;
            return;
        }
        out.ino = ino;
        out.dev = dev;
        out.fsuid = NO_ID;
        out.present = 1;
        out.reserved = 0;
    }
}

/// Whether a mount is one that overlayfs made for itself.
#[inline(always)]
unsafe fn is_private(vfsmount: *const u8) -> bool {
    let mount = vfsmount.wrapping_sub(offset!(mount_mnt) as usize);
    // SAFETY: a fault-safe load.
    unsafe { Probe::load::<u64>(mount, offset!(mount_ns)) == PRIVATE_NAMESPACE }
}

/// A dentry of the inode's own file system, or null: the first of its names that the kernel has in memory.
///
/// # Safety
/// `inode` is a kernel pointer.
#[inline(always)]
pub(super) unsafe fn alias(inode: *const u8) -> *const u8 {
    if offset!(dentry_alias) == Offsets::ABSENT || offset!(inode_alias) == Offsets::ABSENT {
        return core::ptr::null();
    }
    // SAFETY: fault-safe loads; a name that is just removed is told by its inode.
    unsafe {
        let node = Probe::load::<u64>(inode, offset!(inode_alias));
        let dentry = node.wrapping_sub(u64::from(offset!(dentry_alias))) as *const u8;
        if node == 0 || Probe::load::<u64>(dentry, offset!(dentry_inode)) != inode as u64 {
            return core::ptr::null();
        }
        dentry
    }
}

/// Whether `file` is the backing file of an overlay.
///
/// # Safety
/// `file`, its inode's superblock `sb` and its `dentry` are kernel pointers that `L` can read.
#[inline(always)]
pub(super) unsafe fn is_backing<L: Load>(file: *const u8, sb: *const u8, dentry: *const u8) -> bool {
    // SAFETY: the caller's; the mount is read through the fault-safe copy.
    unsafe { L::load::<u64>(dentry, offset!(dentry_sb)) != sb as u64 || is_on_private_mount::<L>(file) }
}

/// Whether `file` is on a mount that overlayfs made for itself: from 6.7 on, its backing files are.
///
/// # Safety
/// `file` is a kernel pointer that `L` can read; the mount is read through the fault-safe copy.
#[inline(always)]
pub(super) unsafe fn is_on_private_mount<L: Load>(file: *const u8) -> bool {
    // SAFETY: the caller's.
    unsafe { is_private(L::load::<u64>(file, offset!(file_path_mnt)) as *const u8) }
}

/// Whether the mount of `file` begins below the root of its file system, whose superblock is `sb`: so do an overlay's own
/// mounts of its layers, unless a layer is a whole file system.
///
/// # Safety
/// Both are kernel pointers that `L` can read.
#[inline(always)]
pub(super) unsafe fn begins_below_its_root<L: Load>(file: *const u8, sb: *const u8) -> bool {
    if offset!(vfsmount_root) == Offsets::ABSENT {
        return true;
    }
    // SAFETY: the caller's.
    unsafe {
        let mount = L::pointer(file, offset!(file_path_mnt));
        L::load::<u64>(mount, offset!(vfsmount_root)) != L::load::<u64>(sb, offset!(sb_root))
    }
}

/// What lies behind an overlay's inode.
#[derive(Clone, Copy)]
pub(super) struct Real {
    /// The layer's inode; null where it is not known.
    pub(super) inode: *const u8,
    /// Its dentry; null where it is not known.
    pub(super) dentry: *const u8,
}

/// What lies behind an overlay's inode, below an overlay of overlays too: the kernel stacks two, no more.
///
/// # Safety
/// `inode` is an inode of an overlay superblock.
#[inline(always)]
pub(super) unsafe fn real(inode: *const u8) -> Real {
    // SAFETY: the caller's; every load is fault-safe.
    unsafe {
        let mut found = real_of_one(inode);
        if is_overlay(found.inode) {
            found = real_of_one(found.inode);
        }
        found
    }
}

#[inline(always)]
unsafe fn is_overlay(inode: *const u8) -> bool {
    // SAFETY: fault-safe loads.
    unsafe {
        let sb = Probe::pointer(inode, offset!(inode_sb));
        Probe::load::<u64>(sb, offset!(sb_magic)) == MAGIC
    }
}

/// The upper file, else the topmost lower one (`ovl_i_path_real`). Where the kernel keeps it changed with 6.0 and 6.5.
///
/// # Safety
/// As for [`real`].
#[inline(always)]
unsafe fn real_of_one(inode: *const u8) -> Real {
    let unknown = Real {
        inode: core::ptr::null(),
        dentry: core::ptr::null(),
    };
    if offset!(ovl_inode_vfs_inode) == Offsets::ABSENT {
        return unknown;
    }
    // SAFETY: every load is fault-safe; a wrong address gives zero, which is refused.
    unsafe {
        let ovl_inode = inode.wrapping_sub(offset!(ovl_inode_vfs_inode) as usize);
        let mut dentry = Probe::pointer(ovl_inode, offset!(ovl_inode_upper));
        if dentry.is_null() || Probe::pointer(dentry, offset!(dentry_inode)).is_null() {
            if offset!(ovl_inode_lower) != Offsets::ABSENT {
                return Real {
                    inode: Probe::pointer(ovl_inode, offset!(ovl_inode_lower)),
                    dentry: core::ptr::null(),
                };
            }
            dentry = lower_dentry(ovl_inode);
        }
        if dentry.is_null() {
            return unknown;
        }
        Real {
            inode: Probe::pointer(dentry, offset!(dentry_inode)),
            dentry,
        }
    }
}

/// # Safety
/// `ovl_inode` is a `struct ovl_inode`.
#[inline(always)]
unsafe fn lower_dentry(ovl_inode: *const u8) -> *const u8 {
    // SAFETY: fault-safe loads.
    unsafe {
        if offset!(ovl_inode_lower_path) != Offsets::ABSENT {
            return Probe::pointer(ovl_inode, offset!(ovl_inode_lower_path));
        }
        if offset!(ovl_entry_lowerstack) == Offsets::ABSENT {
            return core::ptr::null();
        }
        let entry = Probe::pointer(ovl_inode, offset!(ovl_inode_oe));
        if entry.is_null() || Probe::load::<u32>(entry, offset!(ovl_entry_numlower)) == 0 {
            return core::ptr::null();
        }
        let lower = entry.wrapping_add(offset!(ovl_entry_lowerstack) as usize);
        Probe::pointer(lower, offset!(ovl_path_dentry))
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
