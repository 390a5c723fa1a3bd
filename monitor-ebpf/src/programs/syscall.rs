//! Tier D: the end of every system call, for kernels that refuse trampolines.
//!
//! Invariant: a call that is none of the few below costs one look-up in a table of the program's own. What a descriptor
//! leads to is looked at as the call returns, so a descriptor that another thread closes in between is missed.

use aya_ebpf::helpers::generated::bpf_probe_read_user;
use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;
use layerwatch_ebpf::{Counters, InodeKey, Offsets, hooks, kinds};

use super::fields::{Direct, Load, Probe, offset};
use super::maps::{count, counters, may_be_watched};
use super::open::{self, Judged, Opened};
use super::{diagnose, overlay, places, report, task};

/// Calls of interest by number, those of 64-bit callers in the low four bits and those of 32-bit callers in the high ones
/// (arch/x86/entry/syscalls).
#[unsafe(no_mangle)]
static CALLS: [u8; NUMBERS] = calls();
const NUMBERS: usize = 512;

/// open, creat, openat, `open_by_handle_at`, openat2: the result is the descriptor.
const OPENS: u8 = 1;
/// mmap: the descriptor is the fifth argument.
const MAPS: u8 = 2;
/// recvmsg, recvmmsg: descriptors may have come.
const RECEIVES: u8 = 3;
/// execve, execveat.
const EXECUTES: u8 = 4;
/// setuid, setreuid, setresuid, setfsuid.
const CHANGES_USER: u8 = 5;
/// `pidfd_getfd`: the result is the descriptor.
const TAKES: u8 = 6;

const fn calls() -> [u8; NUMBERS] {
    const NATIVE: [(u8, &[usize]); 6] = [
        (OPENS, &[2, 85, 257, 304, 437]),
        (MAPS, &[9]),
        (RECEIVES, &[47, 299]),
        (EXECUTES, &[59, 322]),
        (CHANGES_USER, &[105, 113, 117, 122]),
        (TAKES, &[438]),
    ];
    const COMPAT: [(u8, &[usize]); 6] = [
        (OPENS, &[5, 8, 295, 342, 437]),
        (MAPS, &[192]),
        (RECEIVES, &[102, 337, 372, 417]),
        (EXECUTES, &[11, 358]),
        (CHANGES_USER, &[23, 70, 138, 164, 203, 208, 213, 215]),
        (TAKES, &[438]),
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
fn class(number: u64) -> u8 {
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

/// `sys_exit(struct pt_regs *regs, long ret)`.
///
/// Sees no backing open, so an overlay's inode is resolved to the layer's; sees no rename, so the creation of an
/// index's temporary file stands for it.
#[btf_tracepoint(function = "sys_exit")]
fn sys_exit(context: BtfTracePointContext) -> i32 {
    let regs: *const u8 = context.arg(0);
    let returned: i64 = context.arg(1);
    // SAFETY: the tracepoint's argument has a type that the verifier knows.
    let number: u64 = unsafe { Direct::load(regs, offset!(pt_regs_orig_ax)) };
    let class = class(number);
    // An address that mmap gives is no error number either way.
    if class == 0 || (returned < 0 && returned > -4096) {
        return 0;
    }
    // SAFETY: every load is fault-safe.
    unsafe {
        let descriptor = match class {
            OPENS => {
                diagnose(&context, opened(returned as u64, hooks::OPEN));
                return 0;
            }
            MAPS if number == MMAP => u64::from(Direct::load::<u32>(regs, offset!(pt_regs_r8))),
            MAPS => u64::from(Direct::load::<u32>(regs, offset!(pt_regs_di))),
            TAKES => returned as u64,
            RECEIVES if !brought_control_data(regs, number) => return 0,
            _ => {
                all_descriptors(class);
                return 0;
            }
        };
        let (place, kind) = if class == MAPS {
            (hooks::MAP, kinds::MAP_FINDING)
        } else {
            (hooks::DESCRIPTORS, kinds::HOLD_FINDING)
        };
        if let Some(file) = task::file_of(descriptor) {
            places::used::<Probe>(place, kind, file, true);
        }
    }
    0
}

/// mmap of 64-bit callers.
const MMAP: u64 = 9;

/// Whether a message came with control data, which is what descriptors travel in; several messages are taken to have.
#[inline(always)]
unsafe fn brought_control_data(regs: *const u8, number: u64) -> bool {
    /// `msghdr.msg_controllen`: after name, name's length, vector, vector's length and control.
    const NATIVE: u64 = 40;
    const COMPAT: u64 = 20;
    // SAFETY: the registers are typed; user memory is read fault-safe.
    unsafe {
        let (message, place) = match number {
            47 => (Direct::load::<u64>(regs, offset!(pt_regs_si)), NATIVE),
            372 => (u64::from(Direct::load::<u32>(regs, offset!(pt_regs_cx))), COMPAT),
            // socketcall: SYS_RECVMSG, SYS_RECVMMSG.
            102 => return matches!(Direct::load::<u32>(regs, offset!(pt_regs_bx)), 17 | 19),
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

/// A file was opened and is behind this descriptor.
///
/// # Safety
/// To be called by the task that has the descriptor.
#[inline(always)]
pub(super) unsafe fn opened(descriptor: u64, place: u16) -> Judged {
    let Some(counters) = counters(place) else {
        return Judged::Done;
    };
    // SAFETY: every load is fault-safe; `counters` is this processor's value.
    unsafe {
        count(&raw mut (*counters).seen);
        let Some(file) = task::file_of(descriptor) else {
            return unreadable(counters);
        };
        let inode = Probe::pointer(file, offset!(file_inode));
        let sb = Probe::pointer(inode, offset!(inode_sb));
        let mut opened = Opened {
            place,
            report_creations: true,
            backing: false,
            result: 0,
            file,
            inode,
            dev: Probe::load(sb, offset!(sb_dev)),
            dentry: Probe::pointer(file, offset!(file_path_dentry)),
        };
        if Probe::load::<u64>(sb, offset!(sb_magic)) == overlay::MAGIC {
            let real = overlay::real(inode);
            if real.inode.is_null() {
                return unreadable(counters);
            }
            opened.report_creations = false;
            opened.backing = true;
            opened.inode = real.inode;
            opened.dentry = real.dentry;
            opened.dev = Probe::load(Probe::pointer(real.inode, offset!(inode_sb)), offset!(sb_dev));
        }
        let raw = open::block_device::<Probe>(opened.inode);
        if raw.is_none() && !open::is_watched_device(opened.dev) {
            count(&raw mut (*counters).ignored);
            return Judged::Done;
        }
        open::judge::<Probe>(&opened, raw, counters)
    }
}

#[inline(always)]
unsafe fn unreadable(counters: *mut Counters) -> Judged {
    // SAFETY: the caller's.
    unsafe {
        count(&raw mut (*counters).ignored);
        count(&raw mut (*counters).read_error);
    }
    Judged::Unreadable
}

/// Most descriptors that are looked at.
const DESCRIPTORS: u32 = 256;

/// Looks at all descriptors of the current task; that there are more than the limit counts as a walk that was cut.
#[inline(always)]
unsafe fn all_descriptors(class: u8) {
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
        let sb = Probe::pointer(inode, offset!(inode_sb));
        let key = InodeKey::new(
            Probe::load(sb, offset!(sb_dev)),
            Probe::load(inode, offset!(inode_ino)),
        );
        may_be_watched(key) || Probe::load::<u64>(sb, offset!(sb_magic)) == overlay::MAGIC
    }
}
