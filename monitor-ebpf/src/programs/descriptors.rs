//! Tier D: what descriptors a process holds, at the moments when that may be news.
//!
//! Invariant: bounded; what lies beyond the bound is counted.

use aya_ebpf::helpers::generated::bpf_probe_read_user;
use layerwatch_ebpf::{InodeKey, Offsets, hooks, kinds};

use super::calls::{EXECUTES, RECEIVES, SOCKETCALL};
use super::fields::{Direct, Load, Probe, offset};
use super::maps::{count, counters, may_be_watched};
use super::stretch::Fields;
use super::{device, overlay, places, report, task};

/// Most descriptors that are looked at.
const DESCRIPTORS: u32 = 256;

/// Looks at all descriptors of the current task; that there are more than the limit counts as a walk that was cut.
#[inline(always)]
pub(super) unsafe fn look_at_all(class: u8) {
    let (place, kind) = if class == RECEIVES {
        (hooks::RECEIVE, kinds::RECEIVE_FINDING)
    } else {
        (hooks::DESCRIPTORS, kinds::HOLD_FINDING)
    };
    // SAFETY: every load is fault-safe.
    unsafe {
        if class == EXECUTES {
            executed();
        }
        let table = Probe::pointer(
            Probe::pointer(task::current(), offset!(task_files)),
            offset!(files_fdt),
        );
        let size: u32 = Probe::load(table, offset!(fdtable_max_fds));
        let files = Probe::pointer(table, offset!(fdtable_fd));
        for descriptor in 0..DESCRIPTORS {
            if descriptor >= size {
                return;
            }
            let file = Probe::pointer(files, descriptor * size_of::<u64>() as u32);
            if !file.is_null() && may_be_of_interest(file) {
                report::used(file as u64, place, kind);
            }
        }
        if size > DESCRIPTORS
            && let Some(counters) = counters(place)
        {
            count(&raw mut (*counters).walk_truncated);
        }
    }
}

#[inline(always)]
unsafe fn may_be_of_interest(file: *const u8) -> bool {
    // SAFETY: every load is fault-safe.
    unsafe {
        let inode = Probe::pointer(file, offset!(file_inode));
        let (ino, sb) = Probe::fields(inode, offset!(inode_sb), |inode| {
            (inode.get(offset!(inode_ino)), inode.pointer(offset!(inode_sb)))
        });
        let (magic, dev) = device::kind_and_device::<Probe>(inode, sb);
        magic == overlay::MAGIC || may_be_watched(InodeKey::new(dev, ino))
    }
}

/// The program that a process executes is mapped without any call that shows it.
#[inline(always)]
unsafe fn executed() {
    if offset!(mm_exe_file) == Offsets::ABSENT {
        return;
    }
    // SAFETY: fault-safe loads.
    unsafe {
        let memory = Probe::pointer(task::current(), offset!(task_mm));
        let file = Probe::pointer(memory, offset!(mm_exe_file));
        places::used::<Probe>(hooks::MAP, kinds::MAP_FINDING, file, true);
    }
}

/// Whether a message came with control data, which is what descriptors travel in; several messages are taken to have.
#[inline(always)]
pub(super) unsafe fn brought_control_data(regs: *const u8, number: u64) -> bool {
    /// `msghdr.msg_controllen`: after name, name's length, vector, vector's length and control.
    const NATIVE: u64 = 40;
    const COMPAT: u64 = 20;
    // SAFETY: the registers are typed; user memory is read fault-safe.
    unsafe {
        let (message, place) = match number {
            47 => (Direct::load::<u64>(regs, offset!(pt_regs_si)), NATIVE),
            372 => (u64::from(Direct::load::<u32>(regs, offset!(pt_regs_cx))), COMPAT),
            // socketcall: SYS_RECVMSG, SYS_RECVMMSG.
            SOCKETCALL => return matches!(Direct::load::<u32>(regs, offset!(pt_regs_bx)), 17 | 19),
            _ => return true,
        };
        let mut length = 0_u32;
        let status = bpf_probe_read_user(
            (&raw mut length).cast(),
            size_of::<u32>() as u32,
            (message + place) as *const _,
        );
        // What cannot be read now could be read by the kernel a moment ago.
        status != 0 || length != 0
    }
}

/// Whether a call that may receive connects: socketcall with `SYS_CONNECT` (include/uapi/linux/net.h).
#[inline(always)]
pub(super) unsafe fn connects(regs: *const u8, number: u64) -> bool {
    const SYS_CONNECT: u32 = 3;
    // SAFETY: the registers are typed.
    number == SOCKETCALL && unsafe { Direct::load::<u32>(regs, offset!(pt_regs_bx)) } == SYS_CONNECT
}

/// The descriptor that a call connected; of socketcall it is the first of the arguments in the user's memory.
#[inline(always)]
pub(super) unsafe fn connected(regs: *const u8, number: u64) -> u64 {
    /// connect of 64-bit callers, and of 32-bit ones.
    const NATIVE: u64 = 42;
    // SAFETY: the registers are typed; user memory is read fault-safe.
    unsafe {
        if number == NATIVE {
            return u64::from(Direct::load::<u32>(regs, offset!(pt_regs_di)));
        }
        if number != SOCKETCALL {
            return u64::from(Direct::load::<u32>(regs, offset!(pt_regs_bx)));
        }
        let arguments = u64::from(Direct::load::<u32>(regs, offset!(pt_regs_cx)));
        let mut descriptor = u32::MAX;
        bpf_probe_read_user(
            (&raw mut descriptor).cast(),
            size_of::<u32>() as u32,
            arguments as *const _,
        );
        u64::from(descriptor)
    }
}
