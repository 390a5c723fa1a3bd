//! An open file, whichever hook saw it: does it meet a watch, and is that worth a record?
//!
//! Invariant: a file with a finding is reported each time it is opened for reading, by any path, and so is a device that
//! holds a store. Other content of a scanned layer is reported once per process and user in a window, through an overlay
//! it is only counted; content of a layer that has not been scanned is always reported.

use layerwatch_ebpf::{Counters, InodeKey, Watch, flags, kinds, watch_flags};

use super::fields::{Load, Probe, offset, scalar};
use super::maps::{BLOCK_DEVICES, SENSITIVE, count, counters, is_some_layer_unscanned, may_be_watched};
use super::overlay;
use super::report::{What, report};
use super::walk::{self, End, Walk};
use super::{device, emit};

/// `FMODE_READ`, include/linux/fs.h.
pub(super) const FMODE_READ: u32 = 1;
/// `O_ACCMODE`, include/uapi/asm-generic/fcntl.h.
const O_ACCMODE: u32 = 3;
/// `S_IFMT`, `S_IFREG` and `S_IFBLK`, include/uapi/linux/stat.h.
const S_IFMT: u16 = 0o170_000;
const S_IFREG: u16 = 0o100_000;
const S_IFBLK: u16 = 0o060_000;

/// An open file and the inode that its bytes are in.
pub(super) struct Opened {
    pub(super) place: u16,
    /// Whether an overlay's opens of its layers' files are seen here. Where they are not, neither are renames, and creations
    /// in an index directory are reported in their stead.
    pub(super) sees_backing: bool,
    /// Known to be through an overlay; if not, and backing opens are seen, `is_backing` tells.
    pub(super) backing: bool,
    pub(super) result: i32,
    /// `struct file`.
    pub(super) file: *const u8,
    /// The inode with the bytes, and its number.
    pub(super) inode: *const u8,
    pub(super) ino: u64,
    /// That inode's superblock, its magic number, and the device it is known by.
    pub(super) sb: *const u8,
    pub(super) magic: u64,
    pub(super) dev: u32,
    /// Its dentry, or null where its file system's own dentry is not at hand.
    pub(super) dentry: *const u8,
}

/// Whether the mode is that of a block device's node.
#[inline(always)]
pub(super) fn is_block_device(mode: u16) -> bool {
    mode & S_IFMT == S_IFBLK
}

/// The device behind a block device's node.
///
/// # Safety
/// `inode` is an inode that `L` can read.
#[inline(always)]
pub(super) unsafe fn block_device<L: Load>(inode: *const u8) -> InodeKey {
    // SAFETY: the caller's.
    unsafe { InodeKey::new(L::load(inode, offset!(inode_rdev)), 0) }
}

/// What became of an open, for the diagnostics of the hook.
pub(super) enum Judged {
    /// Counted, and reported where that was due.
    Done,
    /// A kernel structure could not be read.
    Unreadable,
    /// The walk ended before the file system's root: a directory watch may have been missed.
    Truncated,
}

/// Judges one open file on a watched device, or a block device.
///
/// # Safety
/// The pointers of `opened` are kernel pointers that `L` can read.
#[inline(always)]
pub(super) unsafe fn judge<L: Load>(opened: &Opened, is_block_device: bool) -> Judged {
    let Some(counters) = counters(opened.place) else {
        return Judged::Done;
    };
    // SAFETY: the caller's.
    unsafe {
        count(&raw mut (*counters).seen);
        let key = if is_block_device {
            block_device::<L>(opened.inode)
        } else {
            InodeKey::new(opened.dev, opened.ino)
        };
        if may_be_watched(key) {
            if let Some(watch) = SENSITIVE.get_ptr(&key) {
                finding::<L>(opened, key, *watch, counters);
                return Judged::Done;
            }
            if let Some(watch) = BLOCK_DEVICES.get_ptr(&key) {
                device(opened, *watch, counters);
                return Judged::Done;
            }
        }
        if is_block_device {
            count(&raw mut (*counters).ignored);
            return Judged::Done;
        }
        content::<L>(opened, counters)
    }
}

/// Reports the open of a block device or of a file behind one.
#[inline(always)]
unsafe fn device(opened: &Opened, watch: Watch, counters: *mut Counters) {
    // SAFETY: as for `judge`.
    unsafe {
        if !is_for_reading(opened) {
            return count(&raw mut (*counters).ignored);
        }
        count(&raw mut (*counters).matched);
        if emit::is_own() {
            return count(&raw mut (*counters).own);
        }
        report(
            scalar(opened.file),
            opened.what(kinds::OPEN_DEVICE, 0),
            0,
            watch,
            opened.result,
        );
    }
}

/// Reports the open of a file with a finding.
#[inline(always)]
unsafe fn finding<L: Load>(opened: &Opened, key: InodeKey, watch: Watch, counters: *mut Counters) {
    // SAFETY: as for `judge`.
    unsafe {
        if !is_for_reading(opened) {
            return count(&raw mut (*counters).ignored);
        }
        count(&raw mut (*counters).matched);
        let kind = if watch.flags & watch_flags::CANARY != 0 {
            kinds::CANARY
        } else if emit::is_own() {
            return count(&raw mut (*counters).own);
        } else {
            kinds::OPEN_FINDING
        };
        let emitted = report(scalar(opened.file), opened.what(kind, 0), 0, watch, opened.result);
        // What this process reads through the descriptor is told by the open already.
        if emitted && opened.result == 0 {
            emit::remember_reader(key, opened.is_backing::<L>());
        }
    }
}

impl Opened {
    #[inline(always)]
    fn what(&self, kind: u16, flags: u32) -> What {
        What {
            place: self.place,
            kind,
            flags,
        }
    }

    /// Whether it is through an overlay.
    ///
    /// # Safety
    /// As for `judge`.
    #[inline(always)]
    unsafe fn is_backing<L: Load>(&self) -> bool {
        // SAFETY: the caller's.
        self.backing || (self.sees_backing && unsafe { overlay::is_on_private_mount::<L>(self.file) })
    }

    /// The same where that costs little: what it does not tell, `is_backing` does.
    ///
    /// # Safety
    /// As for `judge`.
    #[inline(always)]
    unsafe fn is_plainly_backing<L: Load>(&self) -> bool {
        // SAFETY: the caller's.
        unsafe {
            self.backing
                || (self.sees_backing
                    && overlay::begins_below_its_root::<L>(self.file, self.sb)
                    && overlay::is_on_private_mount::<L>(self.file))
        }
    }
}

#[inline(always)]
unsafe fn is_for_reading(opened: &Opened) -> bool {
    // SAFETY: a fault-safe load.
    unsafe { Probe::load::<u32>(opened.file, offset!(file_mode)) & FMODE_READ != 0 }
}

#[inline(always)]
unsafe fn content<L: Load>(opened: &Opened, counters: *mut Counters) -> Judged {
    // SAFETY: as for `judge`.
    unsafe {
        // What is read through an overlay is looked for only while some layer waits for its scan.
        if L::load::<u16>(opened.inode, offset!(inode_mode)) & S_IFMT != S_IFREG
            || (!is_some_layer_unscanned() && opened.is_plainly_backing::<L>())
        {
            count(&raw mut (*counters).ignored);
            return Judged::Done;
        }
        let topmost = device::topmost(opened.magic);
        let walked = if opened.dentry.is_null() {
            let alias = overlay::alias(opened.inode);
            if alias.is_null() {
                count(&raw mut (*counters).ignored);
                return Judged::Done;
            }
            walk::to_watched_directory::<Probe>(alias, opened.dev, topmost)
        } else {
            walk::to_watched_directory::<L>(opened.dentry, opened.dev, topmost)
        };
        match walked.end {
            End::Met => {
                below::<L>(opened, &walked, counters);
                Judged::Done
            }
            End::Root => {
                count(&raw mut (*counters).ignored);
                Judged::Done
            }
            End::Truncated => {
                count(&raw mut (*counters).walk_truncated);
                count(&raw mut (*counters).ignored);
                Judged::Truncated
            }
        }
    }
}

/// Reports or counts an open below a watched directory.
#[inline(always)]
unsafe fn below<L: Load>(opened: &Opened, walked: &Walk, counters: *mut Counters) {
    let watch = walked.watch;
    // SAFETY: as for `judge`.
    unsafe {
        let kind = kind_of_content(opened, walked);
        if kind == 0 {
            return count(&raw mut (*counters).ignored);
        }
        count(&raw mut (*counters).matched);
        if emit::is_own() {
            return count(&raw mut (*counters).own);
        }
        let scanned = watch.flags & watch_flags::SCANNED != 0;
        let directory = InodeKey::new(opened.dev, walked.directory);
        if kind == kinds::OPEN_CONTENT && scanned && (opened.is_backing::<L>() || emit::is_repeat(directory))
        {
            return count(&raw mut (*counters).repeated);
        }
        let what = opened.what(kind, flags::BY_DIRECTORY);
        report(scalar(opened.file), what, walked.directory, watch, opened.result);
    }
}

/// What an open below a watched directory is; 0 if it is nothing.
#[inline(always)]
unsafe fn kind_of_content(opened: &Opened, walked: &Walk) -> u16 {
    // SAFETY: as for `judge`.
    unsafe {
        if walked.watch.flags & watch_flags::INDEX != 0 {
            let writes = Probe::load::<u32>(opened.file, offset!(file_flags)) & O_ACCMODE != 0;
            // containerd makes a directory for each blob that comes, and the files in that.
            if !opened.sees_backing && !opened.backing && walked.depth <= 1 && writes {
                return kinds::INDEX_WRITE;
            }
            // Where new layers appear, the directory is both.
            if walked.watch.flags & watch_flags::STORE == 0 {
                return 0;
            }
        }
        if is_for_reading(opened) {
            kinds::OPEN_CONTENT
        } else {
            0
        }
    }
}
