//! Any bytes read as containerd's database, and as a snapshotter's.
//!
//! Invariant: as of the readers themselves. Called by the catalog's fuzz target.

use super::{metadata, snapshots};
use crate::catalog::bolt::Database;

/// Reads a file as either; each has its own count of what may be looked at.
pub(in crate::catalog) fn databases(bytes: &[u8]) {
    let open = || Database::parse(bytes.to_vec()).ok();
    drop(open().map(|database| metadata::read(&database)));
    drop(open().map(|database| snapshots::read(&database)));
}
