//! Tier B: the exits of the security functions, where the answer is known; of reads the entry, which costs half as much.
//!
//! `security_file_open` sees every open that mode bits let through, refusals of security modules included.

use aya_ebpf::macros::{fentry, fexit};
use aya_ebpf::programs::{FEntryContext, FExitContext};
use layerwatch_ebpf::{hooks, kinds};

use super::fields::Direct;
use super::places::MAY_READ;
use super::{connect, diagnose, places};

/// `security_file_open(struct file *file)`.
#[fexit(function = "security_file_open")]
fn fexit_file_open(context: FExitContext) -> u32 {
    // SAFETY: the function's argument and what hangs off it have types that the verifier knows.
    let judged = unsafe { places::opened::<Direct>(context.arg(0), context.arg(1)) };
    diagnose(&context, judged);
    0
}

/// `security_inode_rename(struct inode *old_dir, struct dentry *old_dentry, struct inode *new_dir,
/// struct dentry *new_dentry, unsigned int flags)`; tier A uses it too, since the LSM hook's arguments changed.
#[fexit(function = "security_inode_rename")]
fn fexit_rename(context: FExitContext) -> u32 {
    // SAFETY: as in `fexit_file_open`.
    unsafe { places::renamed::<Direct>(context.arg(1), context.arg(2), context.arg(3), context.arg(5)) };
    0
}

/// `security_mmap_file(struct file *file, unsigned long prot, unsigned long flags)`.
#[fexit(function = "security_mmap_file")]
fn fexit_mmap_file(context: FExitContext) -> u32 {
    if context.arg::<i32>(3) == 0 {
        // SAFETY: as in `fexit_file_open`; the file is null for anonymous memory.
        unsafe { places::used::<Direct>(hooks::MAP, kinds::MAP_FINDING, context.arg(0), true) };
    }
    0
}

/// `security_file_permission(struct file *file, int mask)`.
#[fentry(function = "security_file_permission")]
fn fentry_file_permission(context: FEntryContext) -> u32 {
    if context.arg::<i32>(1) & MAY_READ != 0 {
        // SAFETY: as in `fexit_file_open`.
        unsafe { places::used::<Direct>(hooks::READ, kinds::READ_FINDING, context.arg(0), false) };
    }
    0
}

/// `security_file_receive(struct file *file)`.
#[fexit(function = "security_file_receive")]
fn fexit_file_receive(context: FExitContext) -> u32 {
    if context.arg::<i32>(1) == 0 {
        // SAFETY: as in `fexit_file_open`.
        unsafe { places::used::<Direct>(hooks::RECEIVE, kinds::RECEIVE_FINDING, context.arg(0), true) };
    }
    0
}

/// `security_unix_stream_connect(struct sock *sock, struct sock *other, struct sock *newsk)`.
#[fexit(function = "security_unix_stream_connect")]
fn fexit_connect(context: FExitContext) -> u32 {
    // SAFETY: the function is called by the task that connects.
    unsafe { connect::connected(context.arg(1), context.arg(3)) };
    0
}
