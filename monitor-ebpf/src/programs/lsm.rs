//! Tier A: the kernel's own security hooks.
//!
//! Invariant: every program allows. The kernel asks LSM programs last and one after another, so none sees a refusal of
//! another module, and 0 changes nothing.

use aya_ebpf::macros::lsm;
use aya_ebpf::programs::LsmContext;
use layerwatch_ebpf::{hooks, kinds};

use super::fields::Direct;
use super::places::MAY_READ;
use super::{connect, diagnose, places};

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

/// `unix_stream_connect(struct sock *sock, struct sock *other, struct sock *newsk)`.
#[lsm(hook = "unix_stream_connect")]
fn lsm_connect(context: LsmContext) -> i32 {
    // SAFETY: the hook is called by the task that connects.
    unsafe { connect::connected(context.arg(1), 0) };
    ALLOW
}
