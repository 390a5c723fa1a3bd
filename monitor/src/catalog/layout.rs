//! Where a store of each engine and driver keeps its indexes and its layers, below its root.
//!
//! Invariant: a table of what the engines do (storage/store.go of containers/storage, layer/filestore.go and
//! image/store.go of moby, `plugins` of containerd); nothing is looked at here. Used by the readers and by the watch.

use std::path::{Path, PathBuf};

use super::docker::build_cache;
use crate::model::{Driver, Engine};

/// A directory in which a commit of a layer or an image shows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Index {
    /// Below the store's root.
    pub(super) path: String,
    /// Which of its entries matter.
    pub(super) entries: Entries,
}

/// Entries of an index directory whose change changes what a store holds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Entries {
    /// Files of these names, which are replaced by rename.
    Named(&'static [&'static str]),
    /// Entries that are named by a SHA-256, which come by rename and go.
    Digests,
    /// Entries that are named by a number, which come by rename and go.
    Numbers,
    /// Files of these names, which their owner keeps open and writes in place.
    Written(&'static [&'static str]),
    /// Blobs on their way into a store, and directories of such, which come and go.
    Blobs,
    /// Directories of any name, which are made to mount something there.
    MountPoints,
}

impl Entries {
    /// Whether a name is one of them.
    pub(super) fn contain(self, name: &str) -> bool {
        match self {
            Self::Named(names) | Self::Written(names) => names.contains(&name),
            Self::Digests => is_sha256_hex(name),
            Self::Blobs => is_sha256_hex(name) || BLOBS.iter().any(|prefix| name.starts_with(prefix)),
            Self::MountPoints => !name.is_empty() && !name.starts_with('.'),
            Self::Numbers => !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit()),
        }
    }
}

/// What blobs, or directories of them, are called where they are put aside (`catalog/leftovers`).
const BLOBS: [&str; 3] = ["GetImageBlob", "container_images_storage", "storage"];

/// 64 lower-case hex digits.
pub(super) fn is_sha256_hex(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// The index directories of a store.
pub(super) fn indexes(engine: Engine, driver: Driver) -> Vec<Index> {
    let name = driver.as_str();
    let index = |path: String, entries| Index { path, entries };
    match engine {
        Engine::ContainersStorage | Engine::CriO => {
            let mut indexes = vec![
                index(
                    format!("{name}-layers"),
                    Entries::Named(&["layers.json", "volatile-layers.json"]),
                ),
                index(format!("{name}-images"), Entries::Named(&["images.json"])),
            ];
            indexes.extend(mount_points(driver));
            indexes
        }
        Engine::Docker => {
            let mut indexes = vec![
                index(format!("image/{name}"), Entries::Named(&["repositories.json"])),
                index(format!("image/{name}/imagedb/content/sha256"), Entries::Digests),
                index(format!("image/{name}/layerdb/sha256"), Entries::Digests),
                index(
                    build_cache::HOME.to_owned(),
                    Entries::Written(&["snapshots.db", "metadata_v2.db"]),
                ),
            ];
            indexes.extend(mount_points(driver));
            indexes
        }
        Engine::Containerd => vec![
            index(
                "io.containerd.metadata.v1.bolt".to_owned(),
                Entries::Written(&["meta.db"]),
            ),
            index(
                "io.containerd.content.v1.content/blobs/sha256".to_owned(),
                Entries::Digests,
            ),
            // There before the first blob is; who writes there is seen where no rename can be.
            index(
                "io.containerd.content.v1.content/ingest".to_owned(),
                Entries::Blobs,
            ),
            // All snapshotters': the next image may be the first of another one.
            index(home(Driver::Overlayfs).to_owned(), Entries::Numbers),
            index(home(Driver::Native).to_owned(), Entries::Numbers),
            index(CONTAINERD_SUBVOLUMES.to_owned(), Entries::Numbers),
        ],
        Engine::BuildKit => vec![
            index(
                String::new(),
                Entries::Written(&["containerdmeta.db", "metadata_v2.db"]),
            ),
            index("content/blobs/sha256".to_owned(), Entries::Digests),
            index("content/ingest".to_owned(), Entries::Blobs),
            index(BUILDKIT_SNAPSHOTS.to_owned(), Entries::Numbers),
        ],
    }
}

/// Where a layer that is a file system of its own is mounted: it has files from then on.
fn mount_points(driver: Driver) -> Option<Index> {
    driver.mounts_layers().then(|| Index {
        path: home(driver).to_owned(),
        entries: Entries::MountPoints,
    })
}

/// The directories in which new layers may appear.
pub(super) fn homes(engine: Engine, driver: Driver) -> Vec<&'static str> {
    match engine {
        Engine::ContainersStorage | Engine::CriO | Engine::Docker => vec![home(driver)],
        Engine::Containerd => vec![
            home(Driver::Overlayfs),
            home(Driver::Native),
            CONTAINERD_SUBVOLUMES,
            CONTAINERD_WRITABLE,
        ],
        Engine::BuildKit => vec![BUILDKIT_SNAPSHOTS],
    }
}

/// Where a BuildKit has its snapshots, whatever its snapshotter.
pub(super) const BUILDKIT_SNAPSHOTS: &str = "snapshots/snapshots";

/// Where containerd's btrfs snapshotter has the subvolumes of layers (`plugins/snapshots/btrfs/btrfs.go`).
pub(super) const CONTAINERD_SUBVOLUMES: &str = "io.containerd.snapshotter.v1.btrfs/snapshots";
/// Where it has those that are written, a layer's until it is committed.
pub(super) const CONTAINERD_WRITABLE: &str = "io.containerd.snapshotter.v1.btrfs/active";
/// Where it has those that are mounted to be read.
pub(super) const CONTAINERD_VIEWS: &str = "io.containerd.snapshotter.v1.btrfs/view";

/// The directory in which the layers' own directories lie, of an engine that may have places of its own.
pub(super) fn home_of(engine: Engine, driver: Driver) -> &'static str {
    match engine {
        Engine::BuildKit => BUILDKIT_SNAPSHOTS,
        Engine::Containerd if driver == Driver::Btrfs => CONTAINERD_SUBVOLUMES,
        Engine::ContainersStorage | Engine::CriO | Engine::Docker | Engine::Containerd => home(driver),
    }
}

/// The directory in which the layers' own directories lie.
pub(super) fn home(driver: Driver) -> &'static str {
    match driver {
        Driver::Vfs => "vfs/dir",
        Driver::Btrfs => "btrfs/subvolumes",
        Driver::Overlayfs => "io.containerd.snapshotter.v1.overlayfs/snapshots",
        Driver::Native => "io.containerd.snapshotter.v1.native/snapshots",
        // Where devices and datasets are mounted, each while it is in use.
        Driver::Devicemapper => "devicemapper/mnt",
        Driver::Zfs => "zfs/graph",
        Driver::Overlay | Driver::Overlay2 | Driver::FuseOverlayfs => driver.as_str(),
    }
}

/// Where a layer's content lies in its own directory.
pub(super) fn content(driver: Driver, directory: &Path) -> PathBuf {
    match driver {
        Driver::Overlay | Driver::Overlay2 | Driver::FuseOverlayfs => directory.join("diff"),
        Driver::Overlayfs => directory.join("fs"),
        Driver::Devicemapper => directory.join("rootfs"),
        Driver::Vfs | Driver::Btrfs | Driver::Zfs | Driver::Native => directory.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_point_is_noticed_where_layers_are_mounted() {
        for (engine, driver, noticed) in [
            (Engine::ContainersStorage, Driver::Zfs, Some("zfs/graph")),
            (Engine::CriO, Driver::Zfs, Some("zfs/graph")),
            (Engine::Docker, Driver::Zfs, Some("zfs/graph")),
            (Engine::Docker, Driver::Devicemapper, Some("devicemapper/mnt")),
            (Engine::Docker, Driver::Btrfs, None),
            (Engine::ContainersStorage, Driver::Overlay, None),
        ] {
            let indexes = indexes(engine, driver);
            let mut points = indexes
                .iter()
                .filter(|index| index.entries == Entries::MountPoints);
            let found = points.next().map(|index| index.path.as_str());
            assert_eq!(found, noticed, "{engine:?} {driver:?}");
        }
    }

    #[test]
    fn only_what_commits_counts() {
        let digest = "ab".repeat(32);
        for (entries, name, counts) in [
            (Entries::Named(&["repositories.json"]), "repositories.json", true),
            (
                Entries::Named(&["repositories.json"]),
                ".tmp-repositories.json1",
                false,
            ),
            (Entries::Digests, digest.as_str(), true),
            (Entries::Digests, &format!(".tmp-{digest}1"), false),
            (Entries::Digests, &format!("{digest}-1-removing"), false),
            (Entries::Digests, &digest.to_uppercase(), false),
            (Entries::Numbers, "12", true),
            (Entries::Numbers, "new-12", false),
            (Entries::Numbers, "", false),
            (Entries::MountPoints, &format!("{digest}-init"), true),
            (Entries::MountPoints, ".tmp", false),
            (Entries::Blobs, "GetImageBlob12", true),
            (Entries::Blobs, "tmp12", false),
            (Entries::Written(&["meta.db"]), "meta.db", true),
            (Entries::Written(&["meta.db"]), "meta.db.lock", false),
        ] {
            assert_eq!(entries.contain(name), counts, "{name}");
        }
    }
}
