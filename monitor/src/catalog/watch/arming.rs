//! Which directories are watched, and why.
//!
//! Invariant: after `arm`, each index directory is watched, or waited for in the nearest directory above it, or
//! reported as a loss, once. Used by the watch.

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use inotify::{WatchDescriptor, WatchMask, Watches};

use super::{StoreEvent, Target, UnwatchedReason};
use crate::catalog::{Entries, Host};
use crate::model::StoreId;

/// A path that changes under each look is given up for this time.
const TRIES: usize = 64;

/// What a watched directory is there for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Role {
    /// It is an index directory of the store, and these entries of it matter.
    Index(StoreId, Entries),
    /// An entry of this name leads on to an index directory.
    Waiting(OsString),
    /// Its mode, and that of the entry (of every entry where none is named), decides who can read the store.
    Gate(StoreId, Option<OsString>),
}

/// What `arm` changed.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Stores with a directory that was not watched before.
    pub(super) begun: BTreeSet<StoreId>,
    /// What cannot be watched and could before, or was never tried.
    pub(super) losses: Vec<StoreEvent>,
}

#[derive(Debug)]
pub(super) struct Armed {
    host: Host,
    targets: Vec<Target>,
    roles: HashMap<WatchDescriptor, Vec<Role>>,
    lost: BTreeSet<(StoreId, PathBuf)>,
}

impl Armed {
    pub(super) fn new(host: Host) -> Self {
        Self {
            host,
            targets: Vec::new(),
            roles: HashMap::new(),
            lost: BTreeSet::new(),
        }
    }

    pub(super) fn stores(&self) -> Vec<StoreId> {
        self.targets.iter().map(|target| target.store.clone()).collect()
    }

    pub(super) fn roles(&self, watch: &WatchDescriptor) -> &[Role] {
        self.roles.get(watch).map_or(&[], Vec::as_slice)
    }

    /// Watches what is there now, for new targets or for those it has.
    pub(super) fn arm(&mut self, targets: Option<Vec<Target>>, watches: &mut Watches) -> Outcome {
        self.targets = targets.unwrap_or_else(|| std::mem::take(&mut self.targets));
        let mut outcome = Outcome::default();
        let mut roles: HashMap<WatchDescriptor, Vec<Role>> = HashMap::new();
        let mut lost = BTreeSet::new();
        for target in &self.targets {
            for (directory, entries) in &target.directories {
                let index = Role::Index(target.store.clone(), *entries);
                match watch_nearest(&self.host, directory, &index, watches) {
                    Ok((watch, role)) => {
                        if matches!(role, Role::Index(..)) && !self.roles(&watch).contains(&role) {
                            outcome.begun.insert(target.store.clone());
                        }
                        roles.entry(watch).or_default().push(role);
                    }
                    Err(error) => {
                        let key = (target.store.clone(), directory.clone());
                        if !self.lost.contains(&key) {
                            outcome.losses.push(loss(target, directory, &error));
                        }
                        lost.insert(key);
                    }
                }
            }
        }
        for target in &self.targets {
            for gate in &target.gates {
                // A gate that cannot be watched is judged again from time to time all the same.
                let Ok(resolved) = self.host.resolve(&gate.directory) else {
                    continue;
                };
                let Ok(watch) = watches.add(self.host.path(resolved), gate_mask()) else {
                    continue;
                };
                let role = Role::Gate(target.store.clone(), gate.next.clone());
                roles.entry(watch).or_default().push(role);
            }
        }
        for stale in self.roles.keys().filter(|watch| !roles.contains_key(*watch)) {
            // The kernel removes the watch of a deleted directory by itself.
            drop(watches.remove(stale.clone()));
        }
        self.roles = roles;
        self.lost = lost;
        outcome
    }
}

pub(super) fn loss(target: &Target, directory: &Path, error: &std::io::Error) -> StoreEvent {
    let reason = if error.kind() == std::io::ErrorKind::StorageFull {
        UnwatchedReason::Limit
    } else if error.kind() == std::io::ErrorKind::PermissionDenied {
        UnwatchedReason::Denied
    } else {
        UnwatchedReason::Failed
    };
    StoreEvent::Unwatched {
        store: target.store.clone(),
        directory: directory.to_owned(),
        reason,
    }
}

/// Watches the directory as `index` says, or waits for it in the nearest one above it that exists.
fn watch_nearest(
    host: &Host,
    directory: &Path,
    index: &Role,
    watches: &mut Watches,
) -> std::io::Result<(WatchDescriptor, Role)> {
    for _ in 0..TRIES {
        let mut next = None;
        let mut here = directory;
        let resolved = loop {
            match host.resolve(here) {
                Ok(resolved) => break resolved,
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(std::io::Error::other(error)),
            }
            next = here.file_name();
            here = here.parent().ok_or(std::io::ErrorKind::NotFound)?;
        };
        let (mask, role) = match next {
            None => (index_mask(index), index.clone()),
            Some(name) => (waiting_mask(), Role::Waiting(name.to_owned())),
        };
        match watches.add(host.path(resolved), mask) {
            // What it waits for may have come before the watch did.
            Ok(_) if next.is_some_and(|name| host.resolve(&here.join(name)).is_ok()) => {}
            Ok(watch) => return Ok((watch, role)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Err(std::io::ErrorKind::TimedOut.into())
}

fn index_mask(index: &Role) -> WatchMask {
    let written = match index {
        // It is never closed: each write of a commit counts, the last one too.
        Role::Index(_, Entries::Written(_)) => WatchMask::MODIFY,
        Role::Index(_, Entries::MountPoints | Entries::Blobs) => WatchMask::CREATE,
        Role::Index(..) | Role::Waiting(_) | Role::Gate(..) => WatchMask::CLOSE_WRITE,
    };
    // What is removed, or renamed on its way out, is a change only where entries come and go one by one.
    WatchMask::MOVED_TO | WatchMask::MOVED_FROM | WatchMask::DELETE | written | self_mask()
}

fn waiting_mask() -> WatchMask {
    WatchMask::MOVED_TO | WatchMask::CREATE | self_mask()
}

fn gate_mask() -> WatchMask {
    WatchMask::ATTRIB | WatchMask::ONLYDIR | WatchMask::MASK_ADD
}

/// One directory may be waited in for several stores: masks add up.
fn self_mask() -> WatchMask {
    WatchMask::DELETE_SELF | WatchMask::MOVE_SELF | WatchMask::ONLYDIR | WatchMask::MASK_ADD
}
