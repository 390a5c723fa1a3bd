//! From a match to a record in the ring.
//!
//! Invariant: a match ends in exactly one of the counters `emitted`, `repeated`, `own` and `ring_full`.

use aya_ebpf::helpers::generated::{bpf_get_smp_processor_id, bpf_ktime_get_boot_ns};
use layerwatch_ebpf::{
    Counters, InodeKey, NO_ID, PATH_LENGTH, REPEAT_WINDOW_NS, Record, TICK_NS, WIRE_VERSION, Watch, flags,
};

use super::fields::{Load, Probe, offset};
use super::maps::{
    EVENTS, OWN, Outer, READERS, REPEATS, Reader, Repeat, count, next_sequence, nobody_listens,
};
use super::{path, task};

/// What a hook found out before it decided to report.
pub(super) struct Match {
    pub(super) hook: u16,
    pub(super) kind: u16,
    /// Bits of `flags`.
    pub(super) flags: u32,
    pub(super) result: i32,
    pub(super) open_flags: u32,
    pub(super) file: InodeKey,
    /// The file's inode.
    pub(super) inode: *const u8,
    /// Where the path starts.
    pub(super) dentry: *const u8,
    /// The watched inode.
    pub(super) key: InodeKey,
    pub(super) watch: Watch,
    pub(super) outer: Outer,
    /// The mounter's credentials (`struct cred`), or null.
    pub(super) mounter: *const u8,
}

/// Whether the current process is the agent or one of its children, or no agent is there to be told.
#[inline(always)]
pub(super) fn is_own() -> bool {
    if nobody_listens() {
        return true;
    }
    let Some(start) = OWN.get_ptr(&task::current_tgid()) else {
        return false;
    };
    // SAFETY: a map value of plain integers.
    let start = unsafe { *start };
    start == 0 || start == task::current_process_start() / TICK_NS
}

/// Whether this directory's content was reported for this process and user within the window; remembers that it is now.
#[inline(always)]
pub(super) fn is_repeat(directory: InodeKey) -> bool {
    let key = Repeat {
        directory,
        tgid: task::current_tgid(),
        uid: task::current_fsuid(),
    };
    // SAFETY: no argument, no precondition.
    let now = unsafe { bpf_ktime_get_boot_ns() };
    if let Some(last) = REPEATS.get_ptr(&key) {
        // SAFETY: a map value of plain integers.
        if now.wrapping_sub(unsafe { *last }) < REPEAT_WINDOW_NS {
            return true;
        }
    }
    let _ = REPEATS.insert(&key, &now, 0);
    false
}

/// The user that a use counts for, as `judge` has it: the task's own through an overlay, where it works with the mounter's
/// rights, and where it borrows root's.
#[inline(always)]
fn reader(file: InodeKey, backing: bool) -> Reader {
    let borrowed = task::current_fsuid();
    Reader {
        file,
        tgid: task::current_tgid(),
        uid: if backing || borrowed == 0 {
            task::current_real_fsuid()
        } else {
            borrowed
        },
    }
}

/// Whether this process and user has been reported for this file.
#[inline(always)]
pub(super) fn is_known_reader(file: InodeKey, backing: bool) -> bool {
    let Some(start) = READERS.get_ptr(&reader(file, backing)) else {
        return false;
    };
    // SAFETY: a map value of plain integers.
    unsafe { *start == task::current_process_start() }
}

/// Remembers that this process and user has been reported for this file.
#[inline(always)]
pub(super) fn remember_reader(file: InodeKey, backing: bool) {
    let _ = READERS.insert(&reader(file, backing), &task::current_process_start(), 0);
}

/// Puts a record into the ring, or counts that there was no room; whether it went in.
///
/// What is read for the record is read into it, since the stack is small.
///
/// # Safety
/// The pointers of `found` are kernel pointers; `counters` is this processor's value.
#[inline(always)]
pub(super) unsafe fn emit(found: &Match, counters: *mut Counters) -> u32 {
    let sequence = next_sequence();
    let Some(mut entry) = EVENTS.reserve::<Record>(0) else {
        // SAFETY: the caller's `counters`.
        unsafe { count(&raw mut (*counters).ring_full) };
        return 0;
    };
    let record = entry.as_mut_ptr();
    // SAFETY: the ring gave room for a whole record; each field and each path byte is written below.
    unsafe {
        let words = (&raw mut (*record).path).cast::<u64>();
        for word in 0..PATH_LENGTH / 8 {
            words.add(word).write_volatile(0);
        }
        (*record).version = WIRE_VERSION;
        (*record).kind = found.kind;
        (*record).hook = found.hook;
        (*record).flags = found.flags;
        (*record).cpu = bpf_get_smp_processor_id();
        (*record).sequence = sequence;
        (*record).time_ns = bpf_ktime_get_boot_ns();
        (*record).file = found.file;
        (*record).watch = found.key;
        (*record).watch_flags = found.watch.flags;
        (*record).result = found.result;
        (*record).open_flags = found.open_flags;
        (*record).outer_ino = found.outer.ino;
        (*record).outer_dev = found.outer.dev;
        (*record).outer_fsuid = found.outer.fsuid;
        if found.outer.fsuid != NO_ID {
            (*record).flags |= flags::OUTER_CARRIED;
        }
        let generation = Probe::load::<u32>(found.inode, offset!(inode_generation));
        (*record).generation = generation;
        if found.watch.generation != 0 && found.watch.generation != generation {
            (*record).flags |= flags::GENERATION_DIFFERS;
        }
        (*record).mode = u32::from(Probe::load::<u16>(found.inode, offset!(inode_mode)));
        task::describe(record, found.mounter);
        let (length, truncated) = path::write(found.dentry, (&raw mut (*record).path).cast());
        (*record).path_length = length;
        if truncated {
            (*record).flags |= flags::PATH_TRUNCATED;
        }
        count(&raw mut (*counters).emitted);
    }
    entry.submit(0);
    1
}
