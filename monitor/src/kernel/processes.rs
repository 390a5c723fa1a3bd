//! Following processes: three tracepoints beside whatever tier is in use.
//!
//! Invariant: not part of a tier: where they cannot be attached the tier stands, and the reason goes to the log, a metric
//! and `doctor`. All three or none. Called by `tiers`.

use aya::Btf;

use super::attach::Tracer;
use super::error::KernelError;
use super::places::Attachment;

pub(super) const PROGRAMS: [&str; 3] = ["sched_process_fork", "sched_process_exec", "sched_process_exit"];

/// The kernel fields that only these programs read.
pub(super) const FIELDS: [&str; 11] = [
    "task_struct.pid",
    "task_struct.comm",
    "task_struct.signal",
    "task_struct.mm",
    "signal_struct.live",
    "mm_struct.arg_start",
    "mm_struct.arg_end",
    "linux_binprm.file",
    "vfsmount.mnt_root",
    "mount.mnt_parent",
    "mount.mnt_mountpoint",
];

impl Tracer {
    /// Loads and attaches the programs.
    pub(super) fn attach_processes(&mut self) -> Result<(), KernelError> {
        if let Some(field) = FIELDS.iter().find(|field| self.absent_fields().contains(field)) {
            return Err(KernelError::NoField(field));
        }
        if PROGRAMS.iter().all(|program| self.has(program)) {
            // They were taken over.
            return Ok(());
        }
        let btf = match self.btf.take() {
            Some(btf) => btf,
            None => Btf::from_sys_fs().map_err(KernelError::Btf)?,
        };
        for program in PROGRAMS {
            if let Err(error) = self.attach_one(program, Attachment::Tracepoint, &btf) {
                self.detach_processes();
                return Err(error);
            }
        }
        Ok(())
    }

    fn detach_processes(&mut self) {
        for name in PROGRAMS {
            if let Err(error) = self.detach_one(name) {
                tracing::debug!(%error, name, "not detached");
            }
        }
    }
}
