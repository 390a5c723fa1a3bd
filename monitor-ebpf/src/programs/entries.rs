//! The entry points of tiers A, B and C: the same places, reached as LSM program, function exit or probe.
//!
//! `security_file_open` sees every open that mode bits let through, refusals of security modules included where it is
//! looked at on its way out. A probe is at the function's entry, since a probe on the return is lost when many threads
//! are inside at once; it does not know the answer.

use aya_ebpf::macros::{fexit, kprobe, lsm};
use aya_ebpf::programs::{FExitContext, LsmContext, ProbeContext};
use layerwatch_ebpf::{hooks, kinds};

use super::fields::{Direct, Probe};
use super::{diagnose, places};

/// `MAY_READ`, include/linux/fs.h.
const MAY_READ: i32 = 4;

/// What an LSM program answers: the kernel asks the next one only after this, so 0 changes nothing.
const ALLOW: i32 = 0;

/// `file_open(struct file *file)`.
#[lsm(hook = "file_open")]
fn lsm_file_open(context: LsmContext) -> i32 {
    // SAFETY: the hook's argument and what hangs off it have types that the verifier knows.
    let judged = unsafe { places::opened::<Direct>(context.arg(0), 0) };
    diagnose(&context, judged);
    ALLOW
}

/// `mmap_file(struct file *file, unsigned long reqprot, unsigned long prot, unsigned long flags)`.
#[lsm(hook = "mmap_file")]
fn lsm_mmap_file(context: LsmContext) -> i32 {
    // SAFETY: as in `lsm_file_open`; the file is null for anonymous memory.
    unsafe { places::used::<Direct>(hooks::MAP, kinds::MAP_FINDING, context.arg(0), true) };
    ALLOW
}

/// `file_permission(struct file *file, int mask)`.
#[lsm(hook = "file_permission")]
fn lsm_file_permission(context: LsmContext) -> i32 {
    if context.arg::<i32>(1) & MAY_READ != 0 {
        // SAFETY: as in `lsm_file_open`.
        unsafe { places::used::<Direct>(hooks::READ, kinds::READ_FINDING, context.arg(0), false) };
    }
    ALLOW
}

/// `file_receive(struct file *file)`.
#[lsm(hook = "file_receive")]
fn lsm_file_receive(context: LsmContext) -> i32 {
    // SAFETY: as in `lsm_file_open`.
    unsafe { places::used::<Direct>(hooks::RECEIVE, kinds::RECEIVE_FINDING, context.arg(0), true) };
    ALLOW
}

/// `security_file_open(struct file *file)`.
#[fexit(function = "security_file_open")]
fn fexit_file_open(context: FExitContext) -> u32 {
    // SAFETY: as in `lsm_file_open`.
    let judged = unsafe { places::opened::<Direct>(context.arg(0), context.arg(1)) };
    diagnose(&context, judged);
    0
}

/// `security_inode_rename(struct inode *old_dir, struct dentry *old_dentry, struct inode *new_dir,
/// struct dentry *new_dentry, unsigned int flags)`; tier A uses it too, since the LSM hook's arguments changed.
#[fexit(function = "security_inode_rename")]
fn fexit_rename(context: FExitContext) -> u32 {
    // SAFETY: as in `lsm_file_open`.
    unsafe { places::renamed::<Direct>(context.arg(1), context.arg(2), context.arg(3), context.arg(5)) };
    0
}

/// `security_mmap_file(struct file *file, unsigned long prot, unsigned long flags)`.
#[fexit(function = "security_mmap_file")]
fn fexit_mmap_file(context: FExitContext) -> u32 {
    if context.arg::<i32>(3) == 0 {
        // SAFETY: as in `lsm_mmap_file`.
        unsafe { places::used::<Direct>(hooks::MAP, kinds::MAP_FINDING, context.arg(0), true) };
    }
    0
}

/// `security_file_permission(struct file *file, int mask)`.
#[fexit(function = "security_file_permission")]
fn fexit_file_permission(context: FExitContext) -> u32 {
    if context.arg::<i32>(1) & MAY_READ != 0 && context.arg::<i32>(2) == 0 {
        // SAFETY: as in `lsm_file_open`.
        unsafe { places::used::<Direct>(hooks::READ, kinds::READ_FINDING, context.arg(0), false) };
    }
    0
}

/// `security_file_receive(struct file *file)`.
#[fexit(function = "security_file_receive")]
fn fexit_file_receive(context: FExitContext) -> u32 {
    if context.arg::<i32>(1) == 0 {
        // SAFETY: as in `lsm_file_open`.
        unsafe { places::used::<Direct>(hooks::RECEIVE, kinds::RECEIVE_FINDING, context.arg(0), true) };
    }
    0
}

/// `security_file_open`, at its entry.
#[kprobe]
fn kprobe_file_open(context: ProbeContext) -> u32 {
    if let Some(file) = context.arg::<*const u8>(0) {
        // SAFETY: every load is fault-safe.
        let judged = unsafe { places::opened::<Probe>(file, 0) };
        diagnose(&context, judged);
    }
    0
}

/// `security_inode_rename`, at its entry.
#[kprobe]
fn kprobe_rename(context: ProbeContext) -> u32 {
    let (old, directory, new) = (context.arg(1), context.arg(2), context.arg(3));
    if let (Some(old), Some(directory), Some(new)) = (old, directory, new) {
        // SAFETY: every load is fault-safe.
        unsafe { places::renamed::<Probe>(old, directory, new, 0) };
    }
    0
}

/// `security_mmap_file`, at its entry.
#[kprobe]
fn kprobe_mmap_file(context: ProbeContext) -> u32 {
    if let Some(file) = context.arg(0) {
        // SAFETY: every load is fault-safe.
        unsafe { places::used::<Probe>(hooks::MAP, kinds::MAP_FINDING, file, true) };
    }
    0
}

/// `security_file_permission`, at its entry.
#[kprobe]
fn kprobe_file_permission(context: ProbeContext) -> u32 {
    if let (Some(file), Some(mask)) = (context.arg(0), context.arg::<i32>(1))
        && mask & MAY_READ != 0
    {
        // SAFETY: every load is fault-safe.
        unsafe { places::used::<Probe>(hooks::READ, kinds::READ_FINDING, file, false) };
    }
    0
}

/// `security_file_receive`, at its entry.
#[kprobe]
fn kprobe_file_receive(context: ProbeContext) -> u32 {
    if let Some(file) = context.arg(0) {
        // SAFETY: every load is fault-safe.
        unsafe { places::used::<Probe>(hooks::RECEIVE, kinds::RECEIVE_FINDING, file, true) };
    }
    0
}
