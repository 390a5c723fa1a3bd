//! What is behind a match, gathered and put into the ring; and the first use of an open file by a process and user.
//!
//! Invariant: everything here is read fault-safe, since it runs after a match only. It is one function that takes numbers
//! and has a name of its own, which makes it global to the verifier: that follows it once per program, not once per call
//! and path that leads there, and this keeps the programs within the limits of 5.10, of its stack too.

use layerwatch_ebpf::{Counters, InodeKey, Watch, flags, hooks, kinds, watch_flags};

use super::emit::{self, Match};
use super::fields::{Load, Probe, offset};
use super::maps::{Outer, SENSITIVE, count, counters, may_be_watched};
use super::open::{self, FMODE_READ};
use super::{device, overlay, task};

/// A match: place and kind, in a register.
#[derive(Clone, Copy)]
pub(super) struct What {
    pub(super) place: u16,
    pub(super) kind: u16,
    /// Bits of `flags` that are known already.
    pub(super) flags: u32,
}

impl What {
    #[inline(always)]
    fn packed(self) -> u64 {
        u64::from(self.place) | u64::from(self.kind) << 16 | u64::from(self.flags) << 32
    }

    #[inline(always)]
    fn unpacked(packed: u64) -> Self {
        Self {
            place: packed as u16,
            kind: (packed >> 16) as u16,
            flags: (packed >> 32) as u32,
        }
    }
}

/// Reports an open file; whether the record went into the ring. `directory` is the inode number of the watched directory
/// above it, 0 where the file itself is watched.
#[inline(always)]
pub(super) fn report(file: u64, what: What, directory: u64, watch: Watch, result: i32) -> bool {
    let watch = u64::from(watch.flags) | u64::from(watch.generation) << 32;
    layerwatch_report(file, what.packed(), directory, watch, result as u32) != 0
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn layerwatch_report(file: u64, what: u64, directory: u64, watch: u64, result: u32) -> u32 {
    let what = What::unpacked(what);
    let file = file as *const u8;
    let Some(counters) = counters(what.place) else {
        return 0;
    };
    // SAFETY: every load is fault-safe; `counters` is this processor's value.
    unsafe {
        let mut found = located(file, what);
        found.result = result as i32;
        found.watch = Watch {
            flags: watch as u32,
            generation: (watch >> 32) as u32,
        };
        let backing = found.flags & flags::BACKING != 0;
        if what.flags & USE != 0 {
            if !admits(file, &mut found, backing, counters) {
                return 0;
            }
        } else if what.flags & flags::BY_DIRECTORY != 0 {
            found.key.ino = directory;
        } else if what.kind == kinds::OPEN_DEVICE
            && open::is_block_device(Probe::load(found.inode, offset!(inode_mode)))
        {
            found.key = open::block_device::<Probe>(found.inode);
        }
        if backing && found.outer.present == 0 {
            let sb = Probe::pointer(found.inode, offset!(inode_sb));
            overlay::outer_of(file, sb, &mut found.outer, u32::from(what.place == hooks::OPEN));
        }
        if found.dentry.is_null() {
            found.dentry = overlay::alias(found.inode);
        }
        if found.dentry.is_null() {
            found.dentry = Probe::pointer(file, offset!(file_path_dentry));
        }
        let emitted = emit::emit(&found, counters);
        if emitted != 0 && what.flags & USE != 0 {
            emit::remember_reader(found.file, backing);
        }
        emitted
    }
}

/// The inode that a file's bytes are in, and how the file leads there.
#[inline(always)]
unsafe fn located(file: *const u8, what: What) -> Match {
    // SAFETY: every load is fault-safe.
    unsafe {
        let mut found = Match {
            hook: what.place,
            kind: what.kind,
            flags: what.flags & !USE,
            result: 0,
            open_flags: Probe::load(file, offset!(file_flags)),
            file: InodeKey::new(0, 0),
            inode: Probe::pointer(file, offset!(file_inode)),
            dentry: Probe::pointer(file, offset!(file_path_dentry)),
            key: InodeKey::new(0, 0),
            watch: Watch {
                flags: 0,
                generation: 0,
            },
            outer: Outer::NONE,
            mounter: core::ptr::null(),
        };
        let mut sb = Probe::pointer(found.inode, offset!(inode_sb));
        if overlay::is_backing::<Probe>(file, sb, found.dentry) {
            found.flags |= flags::BACKING;
            // Inside a backing open or read the task runs with the mounter's credentials.
            found.mounter = task::current_credentials();
            if Probe::load::<u64>(found.dentry, offset!(dentry_sb)) != sb as u64 {
                found.dentry = core::ptr::null();
            }
        } else if Probe::load::<u64>(sb, offset!(sb_magic)) == overlay::MAGIC {
            found.flags |= flags::BACKING;
            found.mounter = overlay::mounter(sb);
            found.outer = Outer {
                ino: Probe::load(found.inode, offset!(inode_ino)),
                dev: Probe::load(sb, offset!(sb_dev)),
                fsuid: task::current_fsuid(),
                present: 1,
                reserved: 0,
            };
            let real = overlay::real(found.inode);
            found.inode = real.inode;
            found.dentry = real.dentry;
            sb = Probe::pointer(found.inode, offset!(inode_sb));
        }
        found.file = InodeKey::new(
            device::device::<Probe>(found.inode, sb),
            Probe::load(found.inode, offset!(inode_ino)),
        );
        found.key = found.file;
        found
    }
}

/// In `What::flags` only: the open file is used. Not a bit of the record.
const USE: u32 = 1 << 31;

/// An open file is used in a way that an open does not show: the first time by a process and user that has not been
/// reported for it goes into the ring. The file's inode passed the filter, or is an overlay's.
#[inline(always)]
pub(super) fn used(file: u64, place: u16, kind: u16) {
    let what = What {
        place,
        kind,
        flags: USE,
    };
    layerwatch_report(file, what.packed(), 0, 0, 0);
}

/// Whether a use is to be reported; counted if not.
#[inline(always)]
unsafe fn admits(file: *const u8, found: &mut Match, backing: bool, counters: *mut Counters) -> bool {
    if !may_be_watched(found.file) {
        return false;
    }
    // SAFETY: every load is fault-safe; `counters` is this processor's value.
    unsafe {
        count(&raw mut (*counters).seen);
        let readable = Probe::load::<u32>(file, offset!(file_mode)) & FMODE_READ != 0;
        let Some(watch) = SENSITIVE.get_ptr(&found.file) else {
            count(&raw mut (*counters).ignored);
            return false;
        };
        found.watch = *watch;
        if !readable || found.watch.flags & watch_flags::CANARY != 0 {
            count(&raw mut (*counters).ignored);
            return false;
        }
        count(&raw mut (*counters).matched);
        if emit::is_own() {
            count(&raw mut (*counters).own);
            return false;
        }
        if emit::is_known_reader(found.file, backing) {
            count(&raw mut (*counters).repeated);
            return false;
        }
    }
    true
}
