//! Tier D: which system calls are of interest.
//!
//! Invariant: every call of every process pays for this look-up, so it is one load from a table of the program's own.

use super::task;

/// Calls of interest by number, those of 64-bit callers in the low four bits and those of 32-bit callers in the high ones
/// (arch/x86/entry/syscalls).
#[unsafe(no_mangle)]
static CALLS: [u8; NUMBERS] = calls();
const NUMBERS: usize = 512;

/// open, creat, openat, `open_by_handle_at`, openat2: the result is the descriptor.
pub(super) const OPENS: u8 = 1;
/// mmap: the descriptor is the fifth argument.
pub(super) const MAPS: u8 = 2;
/// recvmsg, recvmmsg: descriptors may have come.
pub(super) const RECEIVES: u8 = 3;
/// execve, execveat.
pub(super) const EXECUTES: u8 = 4;
/// setuid, setreuid, setresuid, setfsuid.
pub(super) const CHANGES_USER: u8 = 5;
/// `pidfd_getfd`: the result is the descriptor.
pub(super) const TAKES: u8 = 6;
/// connect: the descriptor is the first argument. Of 32-bit callers there is socketcall too, among [`RECEIVES`].
pub(super) const CONNECTS: u8 = 7;
/// socketcall of 32-bit callers.
pub(super) const SOCKETCALL: u64 = 102;

const fn calls() -> [u8; NUMBERS] {
    const NATIVE: [(u8, &[usize]); 7] = [
        (OPENS, &[2, 85, 257, 304, 437]),
        (MAPS, &[9]),
        (RECEIVES, &[47, 299]),
        (EXECUTES, &[59, 322]),
        (CHANGES_USER, &[105, 113, 117, 122]),
        (TAKES, &[438]),
        (CONNECTS, &[42]),
    ];
    const COMPAT: [(u8, &[usize]); 7] = [
        (OPENS, &[5, 8, 295, 342, 437]),
        (MAPS, &[192]),
        (RECEIVES, &[102, 337, 372, 417]),
        (EXECUTES, &[11, 358]),
        (CHANGES_USER, &[23, 70, 138, 164, 203, 208, 213, 215]),
        (TAKES, &[438]),
        (CONNECTS, &[362]),
    ];
    let mut table = [0; NUMBERS];
    let mut row = 0;
    while row < NATIVE.len() {
        let (class, numbers) = NATIVE[row];
        let mut at = 0;
        while at < numbers.len() {
            table[numbers[at]] |= class;
            at += 1;
        }
        let (class, numbers) = COMPAT[row];
        at = 0;
        while at < numbers.len() {
            table[numbers[at]] |= class << 4;
            at += 1;
        }
        row += 1;
    }
    table
}

/// The class of a call, 0 for most.
#[inline(always)]
pub(super) fn class(number: u64) -> u8 {
    if number >= NUMBERS as u64 {
        return 0;
    }
    // SAFETY: the index was held against the table's size; volatile, so that it stays a table.
    let both = unsafe { core::ptr::read_volatile((&raw const CALLS).cast::<u8>().add(number as usize)) };
    if both == 0 {
        return 0;
    }
    if task::is_compat() { both >> 4 } else { both & 15 }
}
