//! The current task: both credential sets, ancestry, namespaces, the root directory's superblock.
//!
//! Both sets, since inside an overlay's backing open `cred` is the mounter's and only `real_cred` is the process's.

use aya_ebpf::helpers::generated::{
    bpf_get_current_cgroup_id, bpf_get_current_task, bpf_get_current_task_btf,
};
use aya_ebpf::helpers::{bpf_get_current_comm, bpf_get_current_pid_tgid};
use layerwatch_ebpf::{CredentialRecord, NO_ID, Offsets, Record, flags};

use super::fields::{Direct, Load, Probe, checked, into, offset};

/// `PF_KTHREAD`, include/linux/sched.h.
const PF_KTHREAD: u32 = 0x0020_0000;
/// `PF_IO_WORKER`, include/linux/sched.h.
const PF_IO_WORKER: u32 = 0x0000_0010;

/// The thread group id.
#[inline(always)]
pub(super) fn current_tgid() -> u32 {
    (bpf_get_current_pid_tgid() >> 32) as u32
}

/// The user id that file permissions are checked with now.
#[inline(always)]
pub(super) fn current_fsuid() -> u32 {
    // SAFETY: fault-safe loads.
    unsafe { Probe::load(Probe::pointer(current(), offset!(task_cred)), offset!(cred_fsuid)) }
}

/// The user id of the process itself, also where it works with somebody else's rights for a moment.
#[inline(always)]
pub(super) fn current_real_fsuid() -> u32 {
    // SAFETY: fault-safe loads.
    unsafe {
        Probe::load(
            Probe::pointer(current(), offset!(task_real_cred)),
            offset!(cred_fsuid),
        )
    }
}

/// When the thread group's leader started, nanoseconds since boot.
#[inline(always)]
pub(super) fn current_process_start() -> u64 {
    // SAFETY: fault-safe loads.
    unsafe {
        Probe::load(
            Probe::pointer(current(), offset!(task_group_leader)),
            offset!(task_start_boottime),
        )
    }
}

/// Whether the task works with rights that are not its own: io_uring for a personality, the kernel for a mounter.
#[inline(always)]
pub(super) fn has_borrowed_rights() -> bool {
    // SAFETY: the typed task's fields may be loaded, and a program for a kernel without it is verified without the branch.
    unsafe {
        if offset!(typed_task) == 1 {
            let task = bpf_get_current_task_btf().cast_const().cast();
            Direct::load::<u64>(task, offset!(task_cred))
                != Direct::load::<u64>(task, offset!(task_real_cred))
        } else {
            let task = current();
            Probe::load::<u64>(task, offset!(task_cred)) != Probe::load::<u64>(task, offset!(task_real_cred))
        }
    }
}

#[inline(always)]
pub(super) fn current() -> *const u8 {
    // SAFETY: no argument, no precondition.
    unsafe { bpf_get_current_task() as *const u8 }
}

/// The credentials whose rights the kernel uses now (`task->cred`).
#[inline(always)]
pub(super) fn current_credentials() -> *const u8 {
    // SAFETY: a fault-safe load.
    unsafe { Probe::pointer(current(), offset!(task_cred)) }
}

/// Fills in all that the record says of the current task; `mounter` are the credentials that an overlay opens its
/// backing files with, or null: they are the effective ones of a backing open, also where the hook ran outside it.
/// What could not be read is 0 and flagged, for a 0 must not pass for root.
///
/// # Safety
/// `record` is writable.
#[inline(always)]
pub(super) unsafe fn describe(record: *mut Record, mounter: *const u8) {
    let task = current();
    let mut failed = 0_u64;
    // SAFETY: the caller's `record`; every load is fault-safe.
    unsafe {
        (*record).tgid = current_tgid();
        (*record).tid = bpf_get_current_pid_tgid() as u32;
        let leader = checked::<u64>(task, offset!(task_group_leader), &mut failed) as *const u8;
        into(
            &raw mut (*record).process_start_ns,
            leader,
            offset!(task_start_boottime),
            &mut failed,
        );
        (*record).cgroup = bpf_get_current_cgroup_id();
        (*record).comm = bpf_get_current_comm().unwrap_or_default();
        let parent = Probe::pointer(task, offset!(task_real_parent));
        into(
            &raw mut (*record).parent_tgid,
            parent,
            offset!(task_tgid),
            &mut failed,
        );
        (*record).loginuid = if offset!(task_loginuid) == Offsets::ABSENT {
            NO_ID
        } else {
            Probe::load(task, offset!(task_loginuid))
        };
        if checked::<u32>(task, offset!(task_flags), &mut failed) & (PF_KTHREAD | PF_IO_WORKER) != 0 {
            (*record).flags |= flags::KERNEL_THREAD;
        }
        if is_compat() {
            (*record).flags |= flags::COMPAT;
        }
        namespaces(record, task, &mut failed);
        let real = checked::<u64>(task, offset!(task_real_cred), &mut failed) as *const u8;
        credentials(real, &raw mut (*record).real, &mut failed);
        if mounter.is_null() {
            credentials(current_credentials(), &raw mut (*record).effective, &mut failed);
            (*record).mounter_uid = NO_ID;
        } else {
            credentials(mounter, &raw mut (*record).effective, &mut failed);
            (*record).mounter_uid = (*record).effective.uid;
        }
        if failed != 0 {
            (*record).flags |= flags::INCOMPLETE;
        }
    }
}

/// # Safety
/// `record` is writable.
#[inline(always)]
unsafe fn namespaces(record: *mut Record, task: *const u8, failed: &mut u64) {
    // SAFETY: the caller's `record`; every load is fault-safe.
    unsafe {
        let nsproxy = checked::<u64>(task, offset!(task_nsproxy), failed) as *const u8;
        let namespace = checked::<u64>(nsproxy, offset!(nsproxy_mnt_ns), failed) as *const u8;
        into(
            &raw mut (*record).mount_namespace,
            namespace,
            offset!(mnt_namespace_inum),
            failed,
        );
        let fs = checked::<u64>(task, offset!(task_fs), failed) as *const u8;
        let root = checked::<u64>(fs, offset!(fs_root_mnt), failed) as *const u8;
        let sb = checked::<u64>(root, offset!(vfsmount_sb), failed) as *const u8;
        into(&raw mut (*record).root_dev, sb, offset!(sb_dev), failed);
    }
}

/// # Safety
/// `out` is writable.
#[inline(always)]
unsafe fn credentials(cred: *const u8, out: *mut CredentialRecord, failed: &mut u64) {
    // SAFETY: the caller's `out`; every load is fault-safe, a null pointer among them.
    unsafe {
        into(&raw mut (*out).uid, cred, offset!(cred_uid), failed);
        into(&raw mut (*out).gid, cred, offset!(cred_gid), failed);
        into(&raw mut (*out).euid, cred, offset!(cred_euid), failed);
        into(&raw mut (*out).egid, cred, offset!(cred_egid), failed);
        into(&raw mut (*out).fsuid, cred, offset!(cred_fsuid), failed);
        into(&raw mut (*out).fsgid, cred, offset!(cred_fsgid), failed);
        let user_namespace = checked::<u64>(cred, offset!(cred_user_ns), failed) as *const u8;
        into(
            &raw mut (*out).user_namespace,
            user_namespace,
            offset!(user_ns_inum),
            failed,
        );
        into(
            &raw mut (*out).user_namespace_level,
            user_namespace,
            offset!(user_ns_level),
            failed,
        );
        into(
            &raw mut (*out).user_namespace_owner,
            user_namespace,
            offset!(user_ns_owner),
            failed,
        );
    }
}

/// `TS_COMPAT`, arch/x86/include/asm/thread_info.h: a 32-bit system call is being served.
const TS_COMPAT: u32 = 2;

/// Whether the current system call is a 32-bit one.
#[inline(always)]
pub(super) fn is_compat() -> bool {
    if offset!(task_thread_info_status) == Offsets::ABSENT {
        return false;
    }
    // SAFETY: a fault-safe load.
    unsafe { Probe::load::<u32>(current(), offset!(task_thread_info_status)) & TS_COMPAT != 0 }
}

/// The open file behind a descriptor of the current task.
#[inline(always)]
pub(super) fn file_of(descriptor: u64) -> Option<*const u8> {
    // SAFETY: fault-safe loads, or loads through the typed task; the descriptor is held against the table's size first.
    unsafe {
        let (size, files) = if offset!(typed_task) == 1 {
            table::<Direct>(bpf_get_current_task_btf().cast_const().cast())
        } else {
            table::<Probe>(current())
        };
        if descriptor >= u64::from(size) {
            return None;
        }
        let file = Probe::pointer(files.wrapping_add(descriptor as usize * size_of::<u64>()), 0);
        (!file.is_null()).then_some(file)
    }
}

/// How many descriptors a task's table has room for, and where the files stand.
///
/// # Safety
/// `task` is a task that `L` can read.
#[inline(always)]
unsafe fn table<L: Load>(task: *const u8) -> (u32, *const u8) {
    // SAFETY: the caller's.
    unsafe {
        let table = L::pointer(L::pointer(task, offset!(task_files)), offset!(files_fdt));
        (
            L::load(table, offset!(fdtable_max_fds)),
            L::pointer(table, offset!(fdtable_fd)),
        )
    }
}
