//! The program that a process begins to run: its file and the beginning of its arguments.
//!
//! Invariant: every byte of the record's part is written here, and nothing of the process's environment.

use aya_ebpf::helpers::generated::bpf_probe_read_user;
use layerwatch_ebpf::{ARGUMENTS_LENGTH, InodeKey, PROGRAM_PATH_LENGTH, ProcessExec, process_flags};

use super::fields::{Load, Probe, offset};
use super::{device, program_path};

/// The file that is run: its inode, which nothing else has, and its path.
///
/// # Safety
/// `record` is writable.
#[inline(always)]
pub(super) unsafe fn file(record: *mut ProcessExec, file: *const u8) {
    // SAFETY: the caller's `record`; every load is fault-safe.
    unsafe {
        let inode = Probe::pointer(file, offset!(file_inode));
        let dev = device::device::<Probe>(inode, Probe::pointer(inode, offset!(inode_sb)));
        (*record).program = InodeKey::new(dev, Probe::load(inode, offset!(inode_ino)));
        let words = (&raw mut (*record).path).cast::<u64>();
        for word in 0..PROGRAM_PATH_LENGTH / 8 {
            words.add(word).write_volatile(0);
        }
        let (length, truncated) = program_path::write(file, (&raw mut (*record).path).cast());
        (*record).path_length = length;
        if truncated {
            (*record).head.flags |= process_flags::PATH_TRUNCATED;
        }
    }
}

/// Never reads beyond the arguments: behind them lies the environment, where secrets are.
///
/// # Safety
/// `record` is writable.
#[inline(always)]
pub(super) unsafe fn arguments(record: *mut ProcessExec, mm: *const u8) {
    // SAFETY: the caller's `record`; every load is fault-safe.
    unsafe {
        let words = (&raw mut (*record).arguments).cast::<u64>();
        for word in 0..ARGUMENTS_LENGTH / 8 {
            words.add(word).write_volatile(0);
        }
        let start: u64 = Probe::load(mm, offset!(mm_arg_start));
        let end: u64 = Probe::load(mm, offset!(mm_arg_end));
        let mut length = end.saturating_sub(start);
        if length >= ARGUMENTS_LENGTH as u64 {
            length = ARGUMENTS_LENGTH as u64 - 1;
            (*record).head.flags |= process_flags::ARGUMENTS_TRUNCATED;
        }
        // The mask in plain sight is what the verifier's bound comes from.
        const { assert!(ARGUMENTS_LENGTH == 256) };
        core::arch::asm!("{length} &= 0xff", length = inout(reg) length);
        let to = (&raw mut (*record).arguments).cast();
        if bpf_probe_read_user(to, length as u32, start as *const _) != 0 {
            (*record).head.flags |= process_flags::ARGUMENTS_UNREADABLE;
            length = 0;
        }
        (*record).arguments_length = length as u32;
    }
}
