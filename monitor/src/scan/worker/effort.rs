//! How hard the worker works: what it leaves to the others on the host.
//!
//! In the agent it runs when nobody else wants the processor (`SCHED_IDLE`, sched(7)) or the disk (the idle class,
//! `ioprio_set(2)`), and within a budget. Invariant: lowering is all that happens here, which needs no right. A host that
//! is never idle would never be scanned, so a worker that missed a deadline is followed by one that is only nice.

use rustix::io::Errno;
use serde::{Deserialize, Serialize};

/// See the module.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Effort {
    /// Whether it waits until nobody else wants processor or disk; else it has low priority only.
    pub idle: bool,
    /// Bytes a second from the disk; 0 for no limit.
    pub bytes_per_second: u64,
}

impl Effort {
    /// For a command that somebody waits for.
    pub const FOREGROUND: Self = Self {
        idle: false,
        bytes_per_second: 0,
    };
}

/// Makes this process idle.
#[expect(unsafe_code, reason = "no library wraps these calls")]
pub(super) fn be_idle() -> Result<(), Errno> {
    use nix::libc;
    const WHO_PROCESS: libc::c_int = 1;
    const CLASS_IDLE: libc::c_int = 3 << 13;
    let parameter = libc::sched_param { sched_priority: 0 };
    // SAFETY: the pointer is to a parameter that lives until the call returns; 0 is this thread, the only one.
    let scheduled = unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const parameter) };
    // SAFETY: the call takes three integers; 0 is this thread, the only one.
    let queued = unsafe { libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, 0, CLASS_IDLE) };
    if scheduled == 0 && queued == 0 {
        Ok(())
    } else {
        Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::INVAL))
    }
}
