//! Where containerd's databases and blobs lie below a root: its own, or that of a BuildKit that embeds its libraries.
//!
//! Invariant: pure; names from a database are checked by who joins them. Used by the readers of a root.

use std::path::{Path, PathBuf};

use super::super::layout;
use super::snapshots::{Kind, Snapshot};
use crate::model::{Digest, Driver, Engine};

/// The content store below containerd's root.
const CONTENT: &str = "io.containerd.content.v1.content/blobs";

/// A root, and whose it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Places<'a> {
    pub(super) engine: Engine,
    pub(super) root: &'a Path,
    /// Where builders have their records that keep snapshots here.
    pub(super) builders: &'a [PathBuf],
}

impl Places<'_> {
    fn is_buildkit(self) -> bool {
        self.engine == Engine::BuildKit
    }

    /// The database that knows the namespaces (`worker/runc/runc.go` of BuildKit).
    pub(super) fn database(self) -> PathBuf {
        let below = if self.is_buildkit() {
            "containerdmeta.db"
        } else {
            "io.containerd.metadata.v1.bolt/meta.db"
        };
        self.root.join(below)
    }

    /// A snapshotter's own database.
    pub(super) fn snapshots(self, snapshotter: &str) -> PathBuf {
        let below = if self.is_buildkit() {
            "snapshots".to_owned()
        } else {
            format!("io.containerd.snapshotter.v1.{snapshotter}")
        };
        self.root.join(below).join("metadata.db")
    }

    /// The directory of snapshots.
    pub(super) fn home(self, driver: Driver) -> PathBuf {
        self.root.join(layout::home_of(self.engine, driver))
    }

    /// The directory of a snapshot: the btrfs snapshotter has one place for each kind.
    pub(super) fn snapshot(self, driver: Driver, snapshot: Snapshot) -> PathBuf {
        let is_btrfs = driver == Driver::Btrfs && !self.is_buildkit();
        let home = match snapshot.kind {
            Kind::View if is_btrfs => self.root.join(layout::CONTAINERD_VIEWS),
            Kind::Active if is_btrfs => self.root.join(layout::CONTAINERD_WRITABLE),
            Kind::View | Kind::Active | Kind::Committed => self.home(driver),
        };
        home.join(snapshot.number.to_string())
    }

    /// Where a blob is.
    pub(super) fn blob(self, digest: &Digest) -> PathBuf {
        let (algorithm, hex) = digest.as_str().split_once(':').unwrap_or_default();
        let below = if self.is_buildkit() {
            "content/blobs"
        } else {
            CONTENT
        };
        self.root.join(below).join(algorithm).join(hex)
    }
}
