//! Who lives: the entry points that see a process begin, change its program, and end.
//!
//! Invariant: one record for each process, none for a thread: `seen = matched + ignored`, where threads are ignored, and
//! `matched = emitted + ring_full`. Tracepoints, so that they work where trampolines are refused too.

use aya_ebpf::bindings::{BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP};
use aya_ebpf::helpers::generated::{bpf_get_current_cgroup_id, bpf_ktime_get_boot_ns};
use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;
use layerwatch_ebpf::{
    COMM_LENGTH, Counters, PROCESS_RING_BYTES, ProcessExec, ProcessHead, WIRE_VERSION, hooks, process_kinds,
};

use super::fields::{Load, Probe, offset};
use super::maps::{PROCESSES, count, counters, nobody_listens};
use super::program;

/// `sched_process_fork(struct task_struct *parent, struct task_struct *child)`.
#[btf_tracepoint(function = "sched_process_fork")]
fn sched_process_fork(context: BtfTracePointContext) -> i32 {
    let child: *const u8 = context.arg(1);
    // SAFETY: fault-safe loads.
    let is_leader = unsafe {
        Probe::load::<u32>(child, offset!(task_pid)) == Probe::load::<u32>(child, offset!(task_tgid))
    };
    report(child, process_kinds::FORK, is_leader)
}

/// `sched_process_exit(struct task_struct *p, …)`: each thread comes by, the last one when no other lives.
#[btf_tracepoint(function = "sched_process_exit")]
fn sched_process_exit(context: BtfTracePointContext) -> i32 {
    let task: *const u8 = context.arg(0);
    // SAFETY: fault-safe loads.
    let is_last =
        unsafe { Probe::load::<i32>(Probe::pointer(task, offset!(task_signal)), offset!(signal_live)) == 0 };
    report(task, process_kinds::EXIT, is_last)
}

/// `sched_process_exec(struct task_struct *p, pid_t old_pid, struct linux_binprm *bprm)`: the new program is in place.
#[btf_tracepoint(function = "sched_process_exec")]
fn sched_process_exec(context: BtfTracePointContext) -> i32 {
    if nobody_listens() {
        return 0;
    }
    let Some(counters) = counters(hooks::PROCESS) else {
        return 0;
    };
    let task: *const u8 = context.arg(0);
    let bprm: *const u8 = context.arg(2);
    // SAFETY: `counters` is this processor's value; the ring gave room for a whole record, and each byte is written.
    unsafe {
        count(&raw mut (*counters).seen);
        count(&raw mut (*counters).matched);
        let Some(mut entry) = PROCESSES.reserve::<ProcessExec>(0) else {
            count(&raw mut (*counters).ring_full);
            return 0;
        };
        let record = entry.as_mut_ptr();
        describe(&raw mut (*record).head, task, process_kinds::EXEC);
        program::file(record, Probe::pointer(bprm, offset!(binprm_file)));
        program::arguments(record, Probe::pointer(task, offset!(task_mm)));
        count(&raw mut (*counters).emitted);
        entry.submit(wake_up());
    }
    0
}

#[inline(always)]
fn report(task: *const u8, kind: u16, is_process: bool) -> i32 {
    if nobody_listens() {
        return 0;
    }
    let Some(counters) = counters(hooks::PROCESS) else {
        return 0;
    };
    // SAFETY: as in `sched_process_exec`.
    unsafe { report_to(counters, task, kind, is_process) };
    0
}

#[inline(always)]
unsafe fn report_to(counters: *mut Counters, task: *const u8, kind: u16, is_process: bool) {
    // SAFETY: as in `sched_process_exec`.
    unsafe {
        count(&raw mut (*counters).seen);
        if !is_process {
            return count(&raw mut (*counters).ignored);
        }
        count(&raw mut (*counters).matched);
        let Some(mut entry) = PROCESSES.reserve::<ProcessHead>(0) else {
            return count(&raw mut (*counters).ring_full);
        };
        describe(entry.as_mut_ptr(), task, kind);
        count(&raw mut (*counters).emitted);
        entry.submit(wake_up());
    }
}

/// Nobody waits for a process record: the agent reads them before each access and from time to time. Woken for each, it
/// would cost more than all the rest; only a ring that fills asks for it.
#[inline(always)]
fn wake_up() -> u64 {
    if PROCESSES.query(u64::from(BPF_RB_AVAIL_DATA)) > u64::from(PROCESS_RING_BYTES / 4) {
        u64::from(BPF_RB_FORCE_WAKEUP)
    } else {
        u64::from(BPF_RB_NO_WAKEUP)
    }
}

/// # Safety
/// `head` is writable.
#[inline(always)]
unsafe fn describe(head: *mut ProcessHead, task: *const u8, kind: u16) {
    // SAFETY: the caller's `head`; every load is fault-safe.
    unsafe {
        let start = |task| {
            let leader = Probe::pointer(task, offset!(task_group_leader));
            Probe::load::<u64>(leader, offset!(task_start_boottime))
        };
        let parent = Probe::pointer(task, offset!(task_real_parent));
        (*head).version = WIRE_VERSION;
        (*head).kind = kind;
        (*head).flags = 0;
        (*head).tgid = Probe::load(task, offset!(task_tgid));
        (*head).parent_tgid = Probe::load(parent, offset!(task_tgid));
        (*head).start_ns = start(task);
        (*head).parent_start_ns = start(parent);
        (*head).time_ns = bpf_ktime_get_boot_ns();
        (*head).cgroup = bpf_get_current_cgroup_id();
        (*head).comm = Probe::load::<[u8; COMM_LENGTH]>(task, offset!(task_comm));
    }
}
