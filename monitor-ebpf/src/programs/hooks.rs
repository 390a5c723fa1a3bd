//! The entry points: what each hook hands over, brought into one form.
//!
//! `security_file_open` sees every open that mode bits let through, refusals of security modules included;
//! `security_inode_rename` sees each rename before it is done; `sys_exit` is for kernels that refuse trampolines.

use aya_ebpf::EbpfContext;
use aya_ebpf::macros::{btf_tracepoint, fexit};
use aya_ebpf::programs::{BtfTracePointContext, FExitContext};
use aya_log_ebpf::debug;
use layerwatch_ebpf::{Counters, InodeKey, flags, hooks, kinds, watch_flags};

use super::emit::{self, Match};
use super::fields::{Direct, Load, Probe, offset};
use super::maps::{Outer, ROOTS, count, counters};
use super::open::{self, Judged, Opened};
use super::{overlay, task};

/// `security_file_open(struct file *file)`.
#[fexit(function = "security_file_open")]
fn fexit_file_open(context: FExitContext) -> u32 {
    let Some(counters) = counters(hooks::FEXIT_FILE_OPEN) else {
        return 0;
    };
    let file: *const u8 = context.arg(0);
    // SAFETY: the hook's argument and what hangs off it have types that the verifier knows.
    unsafe {
        count(&raw mut (*counters).seen);
        let inode = Direct::pointer(file, offset!(file_inode));
        let sb = Direct::pointer(inode, offset!(inode_sb));
        let dev: u32 = Direct::load(sb, offset!(sb_dev));
        if Direct::load::<u64>(sb, offset!(sb_magic)) == overlay::MAGIC {
            overlay::remember_outer(dev, Direct::load(inode, offset!(inode_ino)));
        }
        if !open::is_watched_device(dev) {
            count(&raw mut (*counters).ignored);
            return 0;
        }
        let dentry = Direct::pointer(file, offset!(file_path_dentry));
        let backing = overlay::is_backing::<Direct>(file, sb, dentry);
        let own_dentry = Direct::load::<u64>(dentry, offset!(dentry_sb)) == sb as u64;
        let opened = Opened {
            hook: hooks::FEXIT_FILE_OPEN,
            report_creations: false,
            result: context.arg(1),
            file,
            inode,
            dev,
            dentry: if own_dentry { dentry } else { core::ptr::null() },
            backing,
            outer: None,
            // Inside a backing open the task runs with the mounter's credentials.
            mounter: if backing {
                task::current_credentials()
            } else {
                core::ptr::null()
            },
        };
        diagnose(&context, open::judge::<Direct>(&opened, counters));
    }
    0
}

/// `security_inode_rename(struct inode *old_dir, struct dentry *old_dentry, struct inode *new_dir,
/// struct dentry *new_dentry, unsigned int flags)`.
#[fexit(function = "security_inode_rename")]
fn fexit_rename(context: FExitContext) -> u32 {
    let Some(counters) = counters(hooks::FEXIT_RENAME) else {
        return 0;
    };
    let directory: *const u8 = context.arg(2);
    // SAFETY: as in `fexit_file_open`.
    unsafe {
        count(&raw mut (*counters).seen);
        let dev: u32 = Direct::load(Direct::pointer(directory, offset!(inode_sb)), offset!(sb_dev));
        let key = InodeKey::new(dev, Direct::load(directory, offset!(inode_ino)));
        let Some(watch) = ROOTS.get_ptr(&key) else {
            count(&raw mut (*counters).ignored);
            return 0;
        };
        let watch = *watch;
        if watch.flags & watch_flags::INDEX == 0 {
            count(&raw mut (*counters).ignored);
            return 0;
        }
        count(&raw mut (*counters).matched);
        let old_dentry: *const u8 = context.arg(1);
        let new_dentry: *const u8 = context.arg(3);
        let inode = Direct::pointer(old_dentry, offset!(dentry_inode));
        let found = Match {
            hook: hooks::FEXIT_RENAME,
            kind: kinds::INDEX_RENAME,
            flags: flags::BY_DIRECTORY,
            result: context.arg(5),
            open_flags: 0,
            file: InodeKey::new(dev, Direct::load(inode, offset!(inode_ino))),
            inode,
            dentry: new_dentry,
            key,
            watch,
            outer: None,
            mounter: core::ptr::null(),
        };
        emit::emit(&found, counters);
    }
    0
}

/// System calls that return the descriptor of a file they opened, x86-64 (arch/x86/entry/syscalls/syscall_64.tbl).
fn opens_file(number: u64) -> bool {
    // open, creat, openat, open_by_handle_at, openat2
    matches!(number, 2 | 85 | 257 | 304 | 437)
}

/// The same for 32-bit callers (arch/x86/entry/syscalls/syscall_32.tbl).
fn opens_file_compat(number: u64) -> bool {
    // open, creat, openat, open_by_handle_at, openat2
    matches!(number, 5 | 8 | 295 | 342 | 437)
}

/// `sys_exit(struct pt_regs *regs, long ret)`: the file behind the returned descriptor.
///
/// Sees no backing open, so an overlay's inode is resolved to the layer's; sees no rename, so the creation of an
/// index's temporary file stands for it.
#[btf_tracepoint(function = "sys_exit")]
fn sys_exit(context: BtfTracePointContext) -> i32 {
    let regs: *const u8 = context.arg(0);
    let descriptor: i64 = context.arg(1);
    // SAFETY: the tracepoint's argument has a type that the verifier knows.
    let number: u64 = unsafe { Direct::load(regs, offset!(pt_regs_orig_ax)) };
    if descriptor < 0 || !(opens_file(number) || opens_file_compat(number)) {
        return 0;
    }
    if task::is_compat() != opens_file_compat(number) && number != 437 {
        return 0;
    }
    let Some(counters) = counters(hooks::SYS_EXIT) else {
        return 0;
    };
    // SAFETY: every load is fault-safe; `counters` is this processor's value.
    unsafe {
        count(&raw mut (*counters).seen);
        let Some(file) = task::file_of(descriptor as u64) else {
            diagnose(&context, unreadable(counters));
            return 0;
        };
        let inode = Probe::pointer(file, offset!(file_inode));
        let sb = Probe::pointer(inode, offset!(inode_sb));
        if Probe::load::<u64>(sb, offset!(sb_magic)) == overlay::MAGIC {
            diagnose(&context, through_overlay(file, inode, sb, counters));
        } else {
            diagnose(&context, directly(file, inode, sb, counters));
        }
    }
    0
}

/// What a developer wants to know when a counter rises; off unless the agent's own log is at debug.
#[inline(always)]
fn diagnose(context: &impl EbpfContext, judged: Judged) {
    match judged {
        Judged::Done => {}
        Judged::Unreadable => debug!(
            context,
            "process {}: an open file could not be read",
            task::current_tgid()
        ),
        Judged::Truncated => debug!(
            context,
            "process {}: a file lies too deep to be judged",
            task::current_tgid()
        ),
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

#[inline(always)]
unsafe fn directly(file: *const u8, inode: *const u8, sb: *const u8, counters: *mut Counters) -> Judged {
    // SAFETY: fault-safe loads.
    unsafe {
        let dev: u32 = Probe::load(sb, offset!(sb_dev));
        if !open::is_watched_device(dev) {
            count(&raw mut (*counters).ignored);
            return Judged::Done;
        }
        let opened = Opened {
            hook: hooks::SYS_EXIT,
            report_creations: true,
            result: 0,
            file,
            inode,
            dev,
            dentry: Probe::pointer(file, offset!(file_path_dentry)),
            backing: false,
            outer: None,
            mounter: core::ptr::null(),
        };
        open::judge::<Probe>(&opened, counters)
    }
}

#[inline(always)]
unsafe fn through_overlay(
    file: *const u8,
    outer_inode: *const u8,
    outer_sb: *const u8,
    counters: *mut Counters,
) -> Judged {
    // SAFETY: fault-safe loads.
    unsafe {
        let Some(dentry) = overlay::real_dentry(outer_inode) else {
            return unreadable(counters);
        };
        let inode = Probe::pointer(dentry, offset!(dentry_inode));
        let dev: u32 = Probe::load(Probe::pointer(inode, offset!(inode_sb)), offset!(sb_dev));
        if !open::is_watched_device(dev) {
            count(&raw mut (*counters).ignored);
            return Judged::Done;
        }
        let outer = Outer {
            ino: Probe::load(outer_inode, offset!(inode_ino)),
            dev: Probe::load(outer_sb, offset!(sb_dev)),
            fsuid: task::current_fsuid(),
        };
        let opened = Opened {
            hook: hooks::SYS_EXIT,
            report_creations: false,
            result: 0,
            file,
            inode,
            dev,
            dentry,
            backing: true,
            outer: Some(outer),
            mounter: overlay::mounter(outer_sb),
        };
        open::judge::<Probe>(&opened, counters)
    }
}
