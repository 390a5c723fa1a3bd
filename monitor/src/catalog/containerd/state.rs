//! Both kinds of databases of a root at one moment: containerd's own and those of its snapshotters.
//!
//! Invariant: each is the state of one transaction, and together they agree, or what they disagree in is what the disk
//! says. What cannot be read is a complaint, and the state says that it is not whole. Called by the reader of a root.

use std::collections::BTreeMap;
use std::path::Path;

use super::driver_of;
use super::metadata::{self, Metadata};
use super::places::Places;
use super::snapshots::{self, Snapshots};
use crate::catalog::bolt::{self, Database};
use crate::catalog::buildkit::{Complaint, Records};
use crate::catalog::problem::{ProblemKind, Problems, chain};

/// A snapshot that was removed between two readings is gone at the next.
const TRIES: usize = 3;

const OPERATION: &str = "read containerd's metadata";

/// What the databases of a root say.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) metadata: Metadata,
    /// By snapshotter, for those whose layers are read.
    pub(super) snapshots: BTreeMap<String, Snapshots>,
    /// What builders say of their snapshots among these.
    pub(super) records: Records,
    /// Something could not be read; there may be more.
    pub(super) incomplete: bool,
    complaints: Vec<Complaint>,
}

impl State {
    /// Reads until the databases agree.
    pub(super) fn read(root: Places<'_>) -> Self {
        let mut state = Self::once(root);
        for _ in 1..TRIES {
            if state.agrees() {
                break;
            }
            state = Self::once(root);
        }
        state
    }

    /// Hands over what could not be read or believed.
    pub(super) fn complain(&mut self, problems: &mut Problems) {
        for (kind, file, cause) in std::mem::take(&mut self.complaints) {
            problems.add(kind, &file, OPERATION, &cause);
        }
    }

    fn once(root: Places<'_>) -> Self {
        let mut state = Self::default();
        let file = root.database();
        if let Some(database) = state.open(&file) {
            state.metadata = metadata::read(&database);
            state.damage(&database, &file);
        }
        for home in root.builders {
            state.records.read(home, &mut state.complaints);
        }
        for bad in &state.metadata.bad {
            state
                .complaints
                .push((ProblemKind::BadRecord, file.clone(), bad.clone()));
        }
        let used = state.metadata.namespaces.iter();
        let used: Vec<String> = used
            .flat_map(|namespace| &namespace.snapshots)
            .filter(|(snapshotter, rows)| !rows.is_empty() && driver_of(snapshotter).is_some())
            .map(|(snapshotter, _)| snapshotter.clone())
            .collect();
        for snapshotter in used {
            if !state.snapshots.contains_key(&snapshotter) {
                let snapshots = state.snapshotter(root, &snapshotter);
                state.snapshots.insert(snapshotter, snapshots);
            }
        }
        state
    }

    fn snapshotter(&mut self, root: Places<'_>, name: &str) -> Snapshots {
        let file = root.snapshots(name);
        let Some(database) = self.open(&file) else {
            return Snapshots::default();
        };
        let (snapshots, bad) = snapshots::read(&database);
        self.damage(&database, &file);
        if bad > 0 {
            let cause = format!("{bad} snapshots make no sense");
            self.complaints.push((ProblemKind::BadRecord, file, cause));
        }
        snapshots
    }

    fn open(&mut self, file: &Path) -> Option<Database> {
        match bolt::read(file) {
            Ok(database) => Some(database),
            // There is none before the first start is over.
            Err(error)
                if error.is_not_found() && self.snapshots.is_empty() && !file.ends_with("metadata.db") =>
            {
                None
            }
            Err(error) => {
                self.complaints
                    .push((error.problem(), file.to_owned(), chain(&error)));
                self.incomplete = true;
                None
            }
        }
    }

    fn damage(&mut self, database: &Database, file: &Path) {
        let damage = database.damage();
        self.incomplete |= !damage.is_empty();
        let damage = damage.into_iter();
        self.complaints
            .extend(damage.map(|what| (ProblemKind::Malformed, file.to_owned(), what)));
    }

    /// Whether each snapshot that containerd speaks of is one that its snapshotter knows.
    fn agrees(&self) -> bool {
        let namespaces = self.metadata.namespaces.iter();
        let mut rows = namespaces.flat_map(|namespace| &namespace.snapshots);
        rows.all(|(snapshotter, rows)| {
            let known = self.snapshots.get(snapshotter);
            known.is_none_or(|known| rows.iter().all(|row| known.contains_key(&row.name)))
        })
    }
}
