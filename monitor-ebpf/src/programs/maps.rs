//! The maps, and the counters that each program keeps.
//!
//! Invariant: the agent fills `FILTER`, `SENSITIVE`, `ROOTS`, `DEVICES`, `UNSCANNED`, `BLOCK_DEVICES`, `SOCKETS`,
//! `OWN` and `ALIVE`; the programs only read them.

use aya_ebpf::helpers::generated::bpf_ktime_get_boot_ns;
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, HashMap, LruHashMap, PerCpuArray, RingBuf};
use layerwatch_ebpf::{
    BLOCK_DEVICES_CAPACITY, Counters, DEVICE_SLOTS, FILTER_BITS, HOOKS, INERT_AFTER_NS, InodeKey, NO_ID,
    PROCESS_RING_BYTES, RING_BYTES, ROOTS_CAPACITY, SENSITIVE_CAPACITY, SOCKETS_CAPACITY, Watch, device_slot,
    inode_bit, number_bit,
};

/// Let a hash map grow with its use instead of taking its whole size at load (`BPF_F_NO_PREALLOC`).
const NO_PREALLOCATION: u32 = 1;

/// Records for the agent.
#[map]
pub(super) static EVENTS: RingBuf = RingBuf::with_byte_size(RING_BYTES, 0);

/// Process records for the agent, apart from the accesses, so that a storm of processes crowds out no access.
#[map]
pub(super) static PROCESSES: RingBuf = RingBuf::with_byte_size(PROCESS_RING_BYTES, 0);

/// Two bits for each inode in `SENSITIVE`, `ROOTS` and `BLOCK_DEVICES`, one of its number and one of number and device:
/// what lacks one is in none of them.
#[map]
static FILTER: Array<u64> = Array::with_max_entries(FILTER_BITS / 64, 0);

/// File inodes with a finding, and the canary.
#[map]
pub(super) static SENSITIVE: HashMap<InodeKey, Watch> =
    HashMap::with_max_entries(SENSITIVE_CAPACITY, NO_PREALLOCATION);

/// Directory inodes of storage roots, layers and indexes.
#[map]
pub(super) static ROOTS: HashMap<InodeKey, Watch> =
    HashMap::with_max_entries(ROOTS_CAPACITY, NO_PREALLOCATION);

/// For each slot whether a watched inode is on a device of the slot: everything elsewhere is left at once. An array, since
/// its look-up is a few instructions and a hash's a hundred.
#[map]
static DEVICES: Array<u32> = Array::with_max_entries(DEVICE_SLOTS, 0);

/// Whether a layer is watched that has not been scanned: 0 or 1.
#[map]
static UNSCANNED: Array<u32> = Array::with_max_entries(1, 0);

/// Block devices (by number, inode 0) and backing files that hold a store.
#[map]
pub(super) static BLOCK_DEVICES: HashMap<InodeKey, Watch> =
    HashMap::with_max_entries(BLOCK_DEVICES_CAPACITY, NO_PREALLOCATION);

/// Sockets of container engines, apart from `SENSITIVE`: opens on their file system are of no interest.
#[map]
pub(super) static SOCKETS: HashMap<InodeKey, Watch> = HashMap::with_max_entries(SOCKETS_CAPACITY, 0);

/// The agent's own processes: thread group id to start in clock ticks since boot, 0 for any.
#[map]
pub(super) static OWN: HashMap<u32, u64> = HashMap::with_max_entries(64, 0);

/// The outer open of an overlay file, by thread, until its backing file is opened.
#[map]
pub(super) static OUTER: LruHashMap<u64, Outer> = LruHashMap::with_max_entries(8192, 0);

/// When ordinary content of a directory was last reported for a process and user.
#[map]
pub(super) static REPEATS: LruHashMap<Repeat, u64> = LruHashMap::with_max_entries(16384, 0);

/// Who has been reported for a file with a finding: the process's start, since numbers of processes are reused.
#[map]
pub(super) static READERS: LruHashMap<Reader, u64> = LruHashMap::with_max_entries(16384, 0);

/// When an agent last called, nanoseconds since boot; see `INERT_AFTER_NS`.
#[map]
static ALIVE: Array<u64> = Array::with_max_entries(1, 0);

/// Whether no agent has called for so long that nobody will read what is reported.
#[inline(always)]
pub(super) fn nobody_listens() -> bool {
    let Some(last) = ALIVE.get_ptr(0) else {
        return false;
    };
    // SAFETY: no argument, no precondition; a map value of plain integers.
    unsafe { bpf_ktime_get_boot_ns().wrapping_sub(*last) > INERT_AFTER_NS }
}

#[map]
static COUNTERS: PerCpuArray<Counters> = PerCpuArray::with_max_entries(HOOKS, 0);

#[map]
static SEQUENCE: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

/// The outer file of an overlay. Plain integers, since a half-filled `Option` is not copied the way the verifier wants.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Outer {
    /// The outer file's inode number.
    pub(super) ino: u64,
    /// The overlay superblock's device.
    pub(super) dev: u32,
    /// The opener's `fsuid`; [`NO_ID`] where it is not known.
    pub(super) fsuid: u32,
    /// Whether there is one: 0 or 1.
    pub(super) present: u32,
    /// Always 0.
    pub(super) reserved: u32,
}

impl Outer {
    /// There is none.
    pub(super) const NONE: Self = Self {
        ino: 0,
        dev: 0,
        fsuid: NO_ID,
        present: 0,
        reserved: 0,
    };
}

/// Key of `READERS`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Reader {
    pub(super) file: InodeKey,
    pub(super) tgid: u32,
    pub(super) uid: u32,
}

/// Key of `REPEATS`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Repeat {
    pub(super) directory: InodeKey,
    pub(super) tgid: u32,
    pub(super) uid: u32,
}

/// Whether an inode of this number may be in `SENSITIVE`, `ROOTS` or `BLOCK_DEVICES`; if not, it is in none of them.
#[inline(always)]
pub(super) fn may_be_watched_number(ino: u64) -> bool {
    is_set(number_bit(ino))
}

/// The same of an inode whose device is known.
#[inline(always)]
pub(super) fn may_be_watched(key: InodeKey) -> bool {
    is_set(inode_bit(key))
}

#[inline(always)]
fn is_set(bit: u32) -> bool {
    let Some(word) = FILTER.get_ptr(bit >> 6) else {
        return true;
    };
    // SAFETY: a map value of plain integers.
    unsafe { *word >> (bit & 63) & 1 != 0 }
}

/// Whether a watched inode may be on the device; if not, none is.
#[inline(always)]
pub(super) fn may_be_watched_device(dev: u32) -> bool {
    let Some(slot) = DEVICES.get_ptr(device_slot(dev)) else {
        return true;
    };
    // SAFETY: a map value of plain integers.
    unsafe { *slot != 0 }
}

/// Whether a layer is watched that has not been scanned, so that all of its content is of interest.
#[inline(always)]
pub(super) fn is_some_layer_unscanned() -> bool {
    let Some(unscanned) = UNSCANNED.get_ptr(0) else {
        return true;
    };
    // SAFETY: a map value of plain integers.
    unsafe { *unscanned != 0 }
}

/// This processor's counters of a hook.
#[inline(always)]
pub(super) fn counters(hook: u16) -> Option<*mut Counters> {
    COUNTERS.get_ptr_mut(u32::from(hook))
}

/// Adds one to a counter. Atomic, since a program can be preempted by another run of itself on the same processor.
///
/// # Safety
/// `counter` points into a value that [`counters`] gave.
#[inline(always)]
pub(super) unsafe fn count(counter: *mut u64) {
    // SAFETY: aligned (the structure holds only u64) and valid while the program runs. Rust's own atomics do not
    // exist on this target, since it lacks compare-and-swap before instruction set version 3.
    unsafe {
        core::arch::asm!("lock *(u64 *)({counter} + 0) += {one}", counter = in(reg) counter, one = in(reg) 1_u64)
    };
}

/// The next number on this processor.
#[inline(always)]
pub(super) fn next_sequence() -> u64 {
    let Some(next) = SEQUENCE.get_ptr_mut(0) else {
        return 0;
    };
    // SAFETY: a value of a per-processor array, valid while the program runs.
    unsafe {
        let number = *next;
        *next = number.wrapping_add(1);
        number
    }
}
