//! Two programs at one hook, of which one does the work: whichever runs first for an open.
//!
//! Invariant: an open that either program sees is looked at. It is looked at twice if the task was interrupted between the
//! two and another opened a file on the processor meanwhile: a record too many, never one too few.

use aya_ebpf::helpers::bpf_get_current_pid_tgid;

use super::maps::FIRST;

/// Whether the other program has just done this open; if not, notes that this one does.
///
/// A note that the second program did not fetch, since it was left out, makes the first one of the thread's next open
/// think so; then the second does it.
#[inline(always)]
pub(super) fn is_done() -> bool {
    let Some(note) = FIRST.get_ptr_mut(0) else {
        return false;
    };
    let thread = bpf_get_current_pid_tgid();
    // SAFETY: this processor's value; a plain integer.
    unsafe {
        let is_done = *note == thread;
        *note = if is_done { 0 } else { thread };
        is_done
    }
}
