//! Who may be at work on a pull still: what `attempts` asks the host.
//!
//! Invariant: bounded; what cannot be looked at is nobody's, and `attempts` then waits longer. Asked only while something lies
//! about. Called by `attempts`, on a thread that may block.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::bounded;
use crate::catalog::Host;
use crate::enrich::{is_open, start_ticks_in};
use crate::model::{DevIno, Store};

/// A process: its id, and when it began.
pub(super) type Worker = (u32, u64);

/// What is asked of a host.
pub(super) trait Witness {
    /// The processes that may be at work on pulls into the store, of engines without a daemon.
    fn workers(&self, store: &Store) -> BTreeSet<Worker>;
    /// Whether a process has one of the files open.
    fn is_open(&self, files: &BTreeSet<DevIno>) -> bool;
    /// Whether there is such a file.
    fn is_there(&self, file: &Path) -> bool;
}

/// The programs that pull into containers/storage, as the kernel names their processes.
const PULLERS: [&str; 5] = ["podman", "buildah", "skopeo", "crio", "crio-pull-image"];
/// Processes that are looked at.
const MAX_PROCESSES: usize = 50_000;

/// The host that this process sees.
#[derive(Debug)]
pub(super) struct Procfs(PathBuf);

impl Procfs {
    pub(super) fn of(host: &Host) -> Self {
        let of_host = host.path("/proc");
        let is_there = of_host.join("1").exists();
        // A host without one is this one, at another place.
        Self(if is_there { of_host } else { PathBuf::from("/proc") })
    }
}

impl Witness for Procfs {
    fn workers(&self, store: &Store) -> BTreeSet<Worker> {
        let entries = std::fs::read_dir(&self.0).into_iter().flatten().flatten();
        let workers = entries.take(MAX_PROCESSES).filter_map(|entry| {
            let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
            let name = bounded::read(&entry.path().join("comm"), 64).ok()?;
            let name = name.trim_ascii_end();
            if !PULLERS.iter().any(|puller| name == puller.as_bytes()) {
                return None;
            }
            let uid = std::fs::metadata(entry.path()).ok()?.uid();
            let is_owners = uid == store.owner_uid || uid == 0;
            is_owners.then_some((pid, start_ticks_in(&self.0, pid)?))
        });
        workers.collect()
    }

    fn is_open(&self, files: &BTreeSet<DevIno>) -> bool {
        is_open(&self.0, files)
    }

    fn is_there(&self, file: &Path) -> bool {
        file.symlink_metadata().is_ok()
    }
}
