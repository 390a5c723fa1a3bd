//! An open file, whichever hook saw it: does it meet a watch, and is that worth a record?
//!
//! Invariant: a file with a finding is reported each time it is opened for reading, by any path. Other content of a
//! scanned layer is reported once per process and user in a window, through an overlay it is only counted; content of a
//! layer that has not been scanned is always reported.

use layerwatch_ebpf::{Counters, InodeKey, Watch, flags, kinds, watch_flags};

use super::emit::{self, Match};
use super::fields::{Load, offset};
use super::maps::{DEVICES, Outer, SENSITIVE, count};
use super::overlay;
use super::walk::{self, Walk};

/// `FMODE_READ`, include/linux/fs.h.
const FMODE_READ: u32 = 1;
/// `O_ACCMODE`, include/uapi/asm-generic/fcntl.h.
const O_ACCMODE: u32 = 3;
/// `S_IFMT` and `S_IFREG`, include/uapi/linux/stat.h.
const S_IFMT: u16 = 0o170_000;
const S_IFREG: u16 = 0o100_000;

/// An open file and the inode that its bytes are in.
pub(super) struct Opened {
    pub(super) hook: u16,
    /// Whether creations in an index directory are reported: only where renames are not seen.
    pub(super) report_creations: bool,
    pub(super) result: i32,
    /// `struct file`.
    pub(super) file: *const u8,
    /// The inode with the bytes.
    pub(super) inode: *const u8,
    /// That inode's superblock's device.
    pub(super) dev: u32,
    /// Its dentry, or null where its file system's own dentry is not at hand.
    pub(super) dentry: *const u8,
    /// Through an overlay.
    pub(super) backing: bool,
    pub(super) outer: Option<Outer>,
    /// The mounter's credentials (`struct cred`); null where there is none or it is not known.
    pub(super) mounter: *const u8,
}

/// Whether any watched inode is on the device.
#[inline(always)]
pub(super) fn is_watched_device(dev: u32) -> bool {
    DEVICES.get_ptr(&dev).is_some()
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

/// Judges one open file on a watched device.
///
/// # Safety
/// The pointers of `opened` are kernel pointers that `L` can read; `counters` is this processor's value.
#[inline(always)]
pub(super) unsafe fn judge<L: Load>(opened: &Opened, counters: *mut Counters) -> Judged {
    // SAFETY: the caller's.
    unsafe {
        let key = InodeKey::new(opened.dev, L::load(opened.inode, offset!(inode_ino)));
        if let Some(watch) = SENSITIVE.get_ptr(&key) {
            finding::<L>(opened, key, *watch, counters);
            Judged::Done
        } else {
            content::<L>(opened, key, counters)
        }
    }
}

#[inline(always)]
unsafe fn finding<L: Load>(opened: &Opened, key: InodeKey, watch: Watch, counters: *mut Counters) {
    // SAFETY: as for `judge`.
    unsafe {
        if L::load::<u32>(opened.file, offset!(file_mode)) & FMODE_READ == 0 {
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
        emit::emit(&describe::<L>(opened, kind, 0, key, key, watch), counters);
    }
}

#[inline(always)]
unsafe fn content<L: Load>(opened: &Opened, key: InodeKey, counters: *mut Counters) -> Judged {
    // SAFETY: as for `judge`.
    unsafe {
        if opened.dentry.is_null() || L::load::<u16>(opened.inode, offset!(inode_mode)) & S_IFMT != S_IFREG {
            count(&raw mut (*counters).ignored);
            return Judged::Done;
        }
        let (directory, watch, depth) = match walk::to_watched_directory::<L>(opened.dentry, opened.dev) {
            Walk::Met { key, watch, depth } => (key, watch, depth),
            Walk::Root => {
                count(&raw mut (*counters).ignored);
                return Judged::Done;
            }
            Walk::Truncated => {
                count(&raw mut (*counters).walk_truncated);
                count(&raw mut (*counters).ignored);
                return Judged::Truncated;
            }
        };
        let Some(kind) = kind_of_content::<L>(opened, watch, depth) else {
            count(&raw mut (*counters).ignored);
            return Judged::Done;
        };
        count(&raw mut (*counters).matched);
        if emit::is_own() {
            count(&raw mut (*counters).own);
            return Judged::Done;
        }
        let scanned = watch.flags & watch_flags::SCANNED != 0;
        if kind == kinds::OPEN_CONTENT && scanned && (opened.backing || emit::is_repeat(directory)) {
            count(&raw mut (*counters).repeated);
            return Judged::Done;
        }
        emit::emit(
            &describe::<L>(opened, kind, flags::BY_DIRECTORY, key, directory, watch),
            counters,
        );
        Judged::Done
    }
}

/// What an open below a watched directory is, if it is anything.
#[inline(always)]
unsafe fn kind_of_content<L: Load>(opened: &Opened, watch: Watch, depth: usize) -> Option<u16> {
    // SAFETY: as for `judge`.
    unsafe {
        if watch.flags & watch_flags::INDEX != 0 {
            let writes = L::load::<u32>(opened.file, offset!(file_flags)) & O_ACCMODE != 0;
            return (opened.report_creations && depth == 0 && writes).then_some(kinds::INDEX_WRITE);
        }
        let reads = L::load::<u32>(opened.file, offset!(file_mode)) & FMODE_READ != 0;
        reads.then_some(kinds::OPEN_CONTENT)
    }
}

#[inline(always)]
unsafe fn describe<L: Load>(
    opened: &Opened,
    kind: u16,
    extra: u32,
    file: InodeKey,
    key: InodeKey,
    watch: Watch,
) -> Match {
    // SAFETY: as for `judge`.
    let dentry = unsafe {
        if opened.dentry.is_null() {
            L::pointer(opened.file, offset!(file_path_dentry))
        } else {
            opened.dentry
        }
    };
    // SAFETY: as for `judge`.
    let open_flags = unsafe { L::load(opened.file, offset!(file_flags)) };
    let mut outer = None;
    let mut mounter = core::ptr::null();
    let mut bits = extra;
    if opened.backing {
        bits |= flags::BACKING;
        outer = opened.outer.or_else(overlay::take_outer);
        mounter = opened.mounter;
    }
    Match {
        hook: opened.hook,
        kind,
        flags: bits,
        result: opened.result,
        open_flags,
        file,
        inode: opened.inode,
        dentry,
        key,
        watch,
        outer,
        mounter,
    }
}
