//! A snapshotter's `metadata.db`: which directory each snapshot has (`core/snapshots/storage/bolt.go` of containerd).
//!
//! Invariant: a directory is a number, so that nothing in the database leads out of the snapshotter's own. Called by the
//! reader of a root, and by a fuzz target.

use std::collections::BTreeMap;

use super::values::{parts, size, unsigned};
use crate::catalog::bolt::Database;

/// Snapshots of all namespaces.
const MAX_SNAPSHOTS: usize = 200_000;

/// What a snapshot is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// Mounted by somebody to be read.
    View,
    /// Mounted by somebody to be written.
    Active,
    /// A layer.
    Committed,
}

/// A snapshot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Snapshot {
    /// The name of its directory.
    pub(super) number: u64,
    pub(super) kind: Kind,
    /// What it takes on the disk.
    pub(super) size_bytes: Option<u64>,
}

/// By the name that `meta.db` gives: `<namespace>/<number>/<key>`.
pub(super) type Snapshots = BTreeMap<String, Snapshot>;

/// Reads the snapshots of a database, with how many rows make no sense.
pub(super) fn read(database: &Database) -> (Snapshots, usize) {
    let version = database.root().bucket("v1");
    let rows = version.and_then(|version| version.bucket("snapshots"));
    let rows = rows.map(|rows| rows.buckets()).unwrap_or_default();
    let mut bad = rows.len().saturating_sub(MAX_SNAPSHOTS);
    let mut snapshots = Snapshots::new();
    for (name, row) in rows.into_iter().take(MAX_SNAPSHOTS) {
        let (fields, _) = parts(&row);
        let field = |name: &str| fields.get(name.as_bytes()).copied();
        let kind = match field("kind") {
            Some([1]) => Some(Kind::View),
            Some([2]) => Some(Kind::Active),
            Some([3]) => Some(Kind::Committed),
            Some(_) | None => None,
        };
        let snapshot = kind.zip(field("id").and_then(unsigned));
        match (std::str::from_utf8(name), snapshot) {
            (Ok(name), Some((kind, number))) => {
                let snapshot = Snapshot {
                    number,
                    kind,
                    size_bytes: field("size").and_then(size),
                };
                snapshots.entry(name.to_owned()).or_insert(snapshot);
            }
            (Err(_), _) | (_, None) => bad += 1,
        }
    }
    (snapshots, bad)
}
