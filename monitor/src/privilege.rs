//! Giving up what the agent does not need any more.
//!
//! Invariant: capabilities only shrink, and before the first thread is started, since the kernel keeps them per thread.
//! Called by `app` between the attach and the runtime; `doctor` prints `effective`.

use std::collections::BTreeSet;
use std::fmt;

use caps::{CapSet, Capability};

/// What loading and attaching needs (capabilities(7)): on kernels before 5.8 these were part of `CAP_SYS_ADMIN`.
pub const TO_ATTACH: [Capability; 2] = [Capability::CAP_BPF, Capability::CAP_PERFMON];

/// What watching needs: reading stores that modes close, and `/proc/PID` of other users' processes.
pub const TO_WATCH: [Capability; 2] = [Capability::CAP_DAC_READ_SEARCH, Capability::CAP_SYS_PTRACE];

/// What the scan worker needs: reading layers that modes close.
pub const TO_SCAN: [Capability; 1] = [Capability::CAP_DAC_READ_SEARCH];

/// Why privileges could not be given up.
#[derive(Debug, thiserror::Error)]
pub enum PrivilegeError {
    /// One capability set could not be read or changed.
    #[error("{operation} the {set:?} capabilities")]
    Set {
        /// `read`, `reduce` or `set`.
        operation: &'static str,
        /// Which set.
        set: CapSet,
        /// What the system said.
        #[source]
        source: caps::errors::CapsError,
    },
    /// The promise not to gain privileges was refused.
    #[error("promise not to gain privileges (PR_SET_NO_NEW_PRIVS)")]
    NoNewPrivileges(#[source] rustix::io::Errno),
    /// Core dumps could not be switched off.
    #[error("switch off core dumps (PR_SET_DUMPABLE)")]
    Dumpable(#[source] rustix::io::Errno),
}

/// The capabilities in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effective(BTreeSet<String>);

impl fmt::Display for Effective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("none");
        }
        for (index, name) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(" ")?;
            }
            f.write_str(name)?;
        }
        Ok(())
    }
}

/// The capabilities in force for this thread.
pub fn effective() -> Result<Effective, PrivilegeError> {
    let set = caps::read(None, CapSet::Effective).map_err(failed("read", CapSet::Effective))?;
    Ok(Effective(set.iter().map(ToString::to_string).collect()))
}

/// Which of `wanted` are not in force.
pub fn missing(wanted: &[Capability]) -> Result<Vec<Capability>, PrivilegeError> {
    let set = caps::read(None, CapSet::Effective).map_err(failed("read", CapSet::Effective))?;
    Ok(wanted
        .iter()
        .filter(|capability| !set.contains(capability))
        .copied()
        .collect())
}

/// No core dump may hold what the agent read, and no child may gain rights.
pub fn harden() -> Result<(), PrivilegeError> {
    rustix::thread::set_no_new_privs(true).map_err(PrivilegeError::NoNewPrivileges)?;
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
        .map_err(PrivilegeError::Dumpable)
}

/// Takes capabilities out of force without giving them up, to see whether the agent works without them.
pub fn suspend(capabilities: &[Capability]) -> Result<(), PrivilegeError> {
    for capability in capabilities {
        caps::drop(None, CapSet::Effective, *capability).map_err(failed("reduce", CapSet::Effective))?;
    }
    Ok(())
}

/// Puts suspended capabilities into force again.
pub fn resume(capabilities: &[Capability]) -> Result<(), PrivilegeError> {
    for capability in capabilities {
        caps::raise(None, CapSet::Effective, *capability).map_err(failed("reduce", CapSet::Effective))?;
    }
    Ok(())
}

/// Gives up everything but those of `keep` that are there, for this thread and all that it starts; the programs it runs
/// get those of `hand_on`, which for a user other than root takes the ambient set.
pub fn keep_only(keep: &[Capability], hand_on: &[Capability]) -> Result<(), PrivilegeError> {
    // The bounding set first: it takes CAP_SETPCAP, which the rest gives up. Without it, no_new_privs must do.
    if caps::has_cap(None, CapSet::Effective, Capability::CAP_SETPCAP)
        .map_err(failed("read", CapSet::Effective))?
    {
        let bounding = caps::read(None, CapSet::Bounding).map_err(failed("read", CapSet::Bounding))?;
        for capability in bounding.iter().filter(|capability| !keep.contains(capability)) {
            caps::drop(None, CapSet::Bounding, *capability).map_err(failed("reduce", CapSet::Bounding))?;
        }
    }
    caps::clear(None, CapSet::Ambient).map_err(failed("reduce", CapSet::Ambient))?;
    let permitted = caps::read(None, CapSet::Permitted).map_err(failed("read", CapSet::Permitted))?;
    let kept: caps::CapsHashSet = permitted
        .iter()
        .filter(|capability| keep.contains(capability))
        .copied()
        .collect();
    caps::clear(None, CapSet::Inheritable).map_err(failed("reduce", CapSet::Inheritable))?;
    for set in [CapSet::Effective, CapSet::Permitted] {
        caps::set(None, set, &kept).map_err(failed("reduce", set))?;
    }
    let handed_on = hand_on
        .iter()
        .filter(|capability| kept.contains(capability))
        .copied()
        .collect();
    for set in [CapSet::Inheritable, CapSet::Ambient] {
        caps::set(None, set, &handed_on).map_err(failed("set", set))?;
    }
    Ok(())
}

fn failed(operation: &'static str, set: CapSet) -> impl FnOnce(caps::errors::CapsError) -> PrivilegeError {
    move |source| PrivilegeError::Set {
        operation,
        set,
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Capabilities belong to a thread, so each row runs in one of its own.
    fn in_a_thread<T: Send + 'static>(act: impl FnOnce() -> T + Send + 'static) -> T {
        std::thread::spawn(act).join().unwrap()
    }

    #[test]
    fn only_what_is_kept_stays_in_force() {
        let kept = in_a_thread(|| {
            let before = caps::read(None, CapSet::Permitted).unwrap();
            keep_only(&TO_WATCH, &TO_SCAN).unwrap();
            let sets = [
                CapSet::Effective,
                CapSet::Permitted,
                CapSet::Inheritable,
                CapSet::Ambient,
            ];
            (before, sets.map(|set| caps::read(None, set).unwrap()))
        });
        let (before, [effective, permitted, inheritable, ambient]) = kept;
        let expected: caps::CapsHashSet = TO_WATCH.into_iter().filter(|c| before.contains(c)).collect();
        assert_eq!(effective, expected);
        assert_eq!(permitted, expected);
        let handed_on: caps::CapsHashSet = TO_SCAN.into_iter().filter(|c| before.contains(c)).collect();
        assert_eq!((inheritable, ambient), (handed_on.clone(), handed_on));
    }

    #[test]
    fn what_was_suspended_can_be_resumed_and_what_was_given_up_cannot() {
        let (suspended, resumed, regained) = in_a_thread(|| {
            let held: Vec<_> = caps::read(None, CapSet::Permitted).unwrap().into_iter().collect();
            suspend(&held).unwrap();
            let suspended = missing(&held).unwrap().len() == held.len();
            resume(&held).unwrap();
            let resumed = missing(&held).unwrap().is_empty();
            keep_only(&[], &[]).unwrap();
            let regained = held
                .first()
                .is_some_and(|first| resume(std::slice::from_ref(first)).is_ok());
            (suspended, resumed, regained)
        });
        assert!(suspended && resumed && !regained);
    }
}
