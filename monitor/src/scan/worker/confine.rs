//! What the worker gives up before it reads its first byte of a layer.
//!
//! Invariant: afterwards the process has the descriptors 0, 1 and 2, at most the capability to read what modes forbid,
//! cannot gain any, cannot write a file, dump core or be attached to. A step that fails ends the worker; only the
//! bounding set may stay, where the agent was started without `CAP_SETPCAP`. Called once, by `child`.

use caps::{CapSet, Capability, CapsHashSet};
use rustix::process::{DumpableBehavior, Resource, Rlimit};

use crate::scan::engine::MAX_OPEN_FILES;

/// Address space, bytes: automata, buffers and the executable.
const MEMORY_BYTES: u64 = 1 << 30;
const NICE: i32 = 10;

/// Which step failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConfineError {
    /// The list of descriptors could not be read.
    #[error("list open descriptors")]
    ListDescriptors(#[source] std::io::Error),
    /// A descriptor could not be closed.
    #[error("close a descriptor")]
    Close(#[source] nix::errno::Errno),
    /// Descriptors stayed open.
    #[error("{0} descriptors stay open")]
    Descriptors(usize),
    /// A limit could not be set.
    #[error("set a resource limit")]
    Limit(#[source] rustix::io::Errno),
    /// A process attribute could not be set.
    #[error("set a process attribute")]
    Process(#[source] rustix::io::Errno),
    /// Capabilities could not be dropped.
    #[error("drop capabilities")]
    Capabilities(#[source] caps::errors::CapsError),
}

/// Gives everything up.
pub(super) fn confine() -> Result<(), ConfineError> {
    close_descriptors()?;
    limit(Resource::Core, 0)?;
    limit(Resource::Fsize, 0)?;
    limit(Resource::As, MEMORY_BYTES)?;
    limit(Resource::Nofile, MAX_OPEN_FILES)?;
    rustix::process::nice(NICE).map_err(ConfineError::Process)?;
    rustix::thread::set_no_new_privs(true).map_err(ConfineError::Process)?;
    drop_capabilities().map_err(ConfineError::Capabilities)?;
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(ConfineError::Process)
}

/// Lets the process use that many more seconds of processor time; the kernel ends it after that.
pub(super) fn allow_cpu(seconds: u64) -> Result<(), ConfineError> {
    let used = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime).tv_sec;
    let used = u64::try_from(used).unwrap_or(0);
    let limit = Rlimit {
        current: Some(used.saturating_add(seconds).saturating_add(1)),
        maximum: rustix::process::getrlimit(Resource::Cpu).maximum,
    };
    rustix::process::setrlimit(Resource::Cpu, limit).map_err(ConfineError::Limit)
}

fn limit(resource: Resource, value: u64) -> Result<(), ConfineError> {
    let present = rustix::process::getrlimit(resource).maximum;
    let value = Some(present.map_or(value, |present| present.min(value)));
    let limit = Rlimit {
        current: value,
        maximum: value,
    };
    rustix::process::setrlimit(resource, limit).map_err(ConfineError::Limit)
}

/// Closes what the agent's parents left open without close-on-exec, then looks again.
fn close_descriptors() -> Result<(), ConfineError> {
    for descriptor in inherited()? {
        // The one that listed the directory is closed by now.
        if let Err(errno) = nix::unistd::close(descriptor)
            && errno != nix::errno::Errno::EBADF
        {
            return Err(ConfineError::Close(errno));
        }
    }
    let left = inherited()?
        .into_iter()
        .filter(|fd| std::fs::read_link(format!("/proc/self/fd/{fd}")).is_ok())
        .count();
    if left == 0 {
        Ok(())
    } else {
        Err(ConfineError::Descriptors(left))
    }
}

/// The descriptors above standard error, with the one that lists them.
fn inherited() -> Result<Vec<i32>, ConfineError> {
    let entries = std::fs::read_dir("/proc/self/fd").map_err(ConfineError::ListDescriptors)?;
    let numbers = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    Ok(numbers.filter(|fd| *fd > 2).collect())
}

fn drop_capabilities() -> Result<(), caps::errors::CapsError> {
    let permitted = caps::read(None, CapSet::Permitted)?;
    let kept: CapsHashSet = permitted
        .iter()
        .copied()
        .filter(|c| *c == Capability::CAP_DAC_READ_SEARCH)
        .collect();
    if caps::has_cap(None, CapSet::Effective, Capability::CAP_SETPCAP)? {
        for capability in caps::read(None, CapSet::Bounding)?.difference(&kept) {
            caps::drop(None, CapSet::Bounding, *capability)?;
        }
    }
    caps::clear(None, CapSet::Ambient)?;
    caps::set(None, CapSet::Effective, &kept)?;
    caps::set(None, CapSet::Permitted, &kept)?;
    caps::clear(None, CapSet::Inheritable)
}
