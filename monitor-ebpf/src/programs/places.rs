//! What is done at each place, whatever program stands there: the tiers' entry points bring what they see into one form.
//!
//! Invariant: `L` is only as strong as the hot path needs; once a watch may be met everything is read fault-safe, so
//! that the tiers share that code.

use layerwatch_ebpf::{InodeKey, flags, hooks, kinds, watch_flags};

use super::emit::{self, Match};
use super::fields::{Load, Probe, offset, scalar};
use super::maps::{
    Outer, ROOTS, count, counters, may_be_watched, may_be_watched_device, may_be_watched_number,
};
use super::open::{self, Judged, Opened};
use super::stretch::Fields;
use super::{device, overlay, report};

/// `MAY_READ`, include/linux/fs.h: what `file_permission` is asked for.
pub(super) const MAY_READ: i32 = 4;

/// A file is opened; called inside the open, so a backing open is seen apart from the overlay's own.
///
/// # Safety
/// `file` is a `struct file` that `L` can read.
#[inline(always)]
pub(super) unsafe fn opened<L: Load>(file: *const u8, result: i32) -> Judged {
    // SAFETY: the caller's.
    unsafe {
        // Most opens end before the first look into a map but one: what is not needed for that is read later.
        let inode = L::pointer(file, offset!(file_inode));
        let (sb, mode, copied) = L::fields(inode, offset!(inode_sb), |inode| {
            let ino = if L::COPIES {
                inode.get(offset!(inode_ino))
            } else {
                0
            };
            (
                inode.pointer(offset!(inode_sb)),
                inode.get(offset!(inode_mode)),
                ino,
            )
        });
        let ino = || {
            if L::COPIES {
                copied
            } else {
                L::load(inode, offset!(inode_ino))
            }
        };
        let (magic, dev) = device::kind_and_device::<L>(inode, sb);
        if magic == overlay::MAGIC && overlay::hides_who_asks::<L>(sb) {
            // An overlay below an overlay opens its files too: the outermost is who asked.
            if !overlay::is_backing::<L>(file, sb, L::pointer(file, offset!(file_path_dentry))) {
                overlay::remember_outer(dev, ino());
            }
        }
        let is_block_device = open::is_block_device(mode);
        if !is_block_device && !may_be_watched_device(dev) {
            return Judged::Done;
        }
        let dentry = L::pointer(file, offset!(file_path_dentry));
        let own_dentry = L::load::<u64>(dentry, offset!(dentry_sb)) == sb as u64;
        let opened = Opened {
            place: hooks::OPEN,
            sees_backing: true,
            backing: !own_dentry,
            result,
            file,
            inode,
            ino: ino(),
            sb,
            magic,
            dev,
            dentry: if own_dentry { dentry } else { core::ptr::null() },
        };
        open::judge::<L>(&opened, is_block_device)
    }
}

/// A name is moved from `old_dentry` to `new_dentry` in `directory`.
///
/// # Safety
/// All are kernel pointers that `L` can read.
#[inline(always)]
pub(super) unsafe fn renamed<L: Load>(
    old_dentry: *const u8,
    directory: *const u8,
    new_dentry: *const u8,
    result: i32,
) {
    let Some(counters) = counters(hooks::RENAME) else {
        return;
    };
    // SAFETY: the caller's.
    unsafe {
        count(&raw mut (*counters).seen);
        let dev = device::device::<L>(directory, L::pointer(directory, offset!(inode_sb)));
        let key = InodeKey::new(dev, L::load(directory, offset!(inode_ino)));
        let watch = if may_be_watched(key) {
            ROOTS.get_ptr(&key)
        } else {
            None
        };
        let Some(watch) = watch.filter(|watch| (**watch).flags & watch_flags::INDEX != 0) else {
            return count(&raw mut (*counters).ignored);
        };
        count(&raw mut (*counters).matched);
        let inode = Probe::pointer(old_dentry, offset!(dentry_inode));
        let found = Match {
            hook: hooks::RENAME,
            kind: kinds::INDEX_RENAME,
            flags: flags::BY_DIRECTORY,
            result,
            open_flags: 0,
            file: InodeKey::new(dev, Probe::load(inode, offset!(inode_ino))),
            inode,
            dentry: new_dentry,
            key,
            watch: *watch,
            outer: Outer::NONE,
            mounter: core::ptr::null(),
        };
        emit::emit(&found, counters);
    }
}

/// An open file is used in a way that an open does not show: mapped, read, received or held.
///
/// `resolves` is for places that see an overlay's file and no backing file: then the layer's inode is looked up.
///
/// # Safety
/// `file` is a `struct file` that `L` can read, or null.
#[inline(always)]
pub(super) unsafe fn used<L: Load>(place: u16, kind: u16, file: *const u8, resolves: bool) {
    if file.is_null() {
        return;
    }
    // SAFETY: the caller's.
    unsafe {
        // Reads are many: that one is of no interest is told by the inode's number alone, nearly always.
        let inode = L::pointer(file, offset!(file_inode));
        let ino = L::load(inode, offset!(inode_ino));
        let may_be = may_be_watched_number(ino);
        if !may_be && !resolves {
            return;
        }
        let (magic, dev) = device::kind_and_device::<L>(inode, L::pointer(inode, offset!(inode_sb)));
        if (may_be && may_be_watched(InodeKey::new(dev, ino))) || (resolves && magic == overlay::MAGIC) {
            report::used(scalar(file), place, kind);
        }
    }
}
