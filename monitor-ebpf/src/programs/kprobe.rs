//! Tier C: probes at the entries of the security functions, for kernels that refuse trampolines.
//!
//! At the entry, since a probe on the return is lost when many threads are inside at once; the answer is not known there.

use aya_ebpf::macros::kprobe;
use aya_ebpf::programs::ProbeContext;
use layerwatch_ebpf::{hooks, kinds};

use super::fields::Probe;
use super::places::MAY_READ;
use super::{connect, diagnose, places};

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

/// `security_unix_stream_connect`, at its entry.
#[kprobe]
fn kprobe_connect(context: ProbeContext) -> u32 {
    if let Some(listener) = context.arg(1) {
        // SAFETY: the function is called by the task that connects.
        unsafe { connect::connected(listener, 0) };
    }
    0
}
