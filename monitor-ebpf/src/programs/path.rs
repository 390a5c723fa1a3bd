//! The path inside the file system, for people: components leaf first, each ended by a zero byte.
//!
//! Gathered after the match and never matched on. What does not fit is cut at the beginning and flagged.

use aya_ebpf::helpers::generated::bpf_probe_read_kernel_str;
use layerwatch_ebpf::{COMPONENT_LENGTH, PATH_LENGTH};

use super::fields::{Load, Probe, offset};

/// Most components.
const LIMIT: usize = 20;

/// Writes the components above and including `leaf`; gives the bytes used and whether the beginning is missing.
///
/// # Safety
/// `buffer` has `PATH_LENGTH` writable bytes.
#[inline(always)]
pub(super) unsafe fn write(leaf: *const u8, buffer: *mut u8) -> (u16, bool) {
    let mut dentry = leaf;
    let mut used: u64 = 0;
    for _ in 0..LIMIT {
        // SAFETY: fault-safe loads.
        let (parent, name) = unsafe {
            (
                Probe::pointer(dentry, offset!(dentry_parent)),
                Probe::pointer(dentry, offset!(dentry_name)),
            )
        };
        if parent.is_null() || parent == dentry {
            return (used as u16, false);
        }
        if used >= (PATH_LENGTH - COMPONENT_LENGTH) as u64 {
            return (used as u16, true);
        }
        let mut at = used;
        // SAFETY: no memory is touched; the mask in plain sight is what the verifier's bound comes from.
        unsafe { core::arch::asm!("{at} &= 0xff", at = inout(reg) at) };
        // SAFETY: `at` is at most 255, and a component takes at most COMPONENT_LENGTH bytes after it.
        let length = unsafe {
            bpf_probe_read_kernel_str(
                buffer.add(at as usize).cast(),
                COMPONENT_LENGTH as u32,
                name.cast(),
            )
        };
        if length <= 0 {
            return (used as u16, true);
        }
        if length as usize == COMPONENT_LENGTH {
            return ((used + COMPONENT_LENGTH as u64) as u16, true);
        }
        used += length as u64;
        dentry = parent;
    }
    (used as u16, true)
}
