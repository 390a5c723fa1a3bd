//! What kind of store lies in a root, told by a directory that only this kind has.
//!
//! Invariant: a root may hold several stores (an engine that changed its driver leaves the old one behind); each is
//! either read or reported as not read yet. A new engine is a line here and a module. Called by `discover`.

use std::path::{Path, PathBuf};

use self::Mark::{NotYet, Read};
use super::Host;
use super::problem::{Problem, ProblemKind};
use crate::model::Engine::{BuildKit, Containerd, ContainersStorage, Docker};
use crate::model::{Driver, Engine};

/// The directories that tell, below the root.
const MARKS: &[(&str, Mark)] = &[
    ("overlay-layers", Read(ContainersStorage, Driver::Overlay)),
    ("overlay-images", Read(ContainersStorage, Driver::Overlay)),
    ("vfs-layers", Read(ContainersStorage, Driver::Vfs)),
    ("vfs-images", Read(ContainersStorage, Driver::Vfs)),
    ("btrfs-layers", Read(ContainersStorage, Driver::Btrfs)),
    ("btrfs-images", Read(ContainersStorage, Driver::Btrfs)),
    ("zfs-layers", Read(ContainersStorage, Driver::Zfs)),
    ("zfs-images", Read(ContainersStorage, Driver::Zfs)),
    ("aufs-layers", NotYet("containers/storage with driver aufs")),
    ("image/overlay2", Read(Docker, Driver::Overlay2)),
    ("image/vfs", Read(Docker, Driver::Vfs)),
    ("image/btrfs", Read(Docker, Driver::Btrfs)),
    ("image/zfs", Read(Docker, Driver::Zfs)),
    ("image/fuse-overlayfs", Read(Docker, Driver::FuseOverlayfs)),
    ("image/devicemapper", Read(Docker, Driver::Devicemapper)),
    ("image/aufs", NotYet("Docker with driver aufs")),
    ("image/overlay", NotYet("Docker with driver overlay")),
    // Which snapshotters and namespaces there are is told by what lies in it.
    (
        "io.containerd.metadata.v1.bolt",
        Read(Containerd, Driver::Overlayfs),
    ),
    // Below BuildKit's root, one directory for each worker.
    ("snapshots/snapshots", Read(BuildKit, Driver::Overlayfs)),
];

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mark {
    Read(Engine, Driver),
    NotYet(&'static str),
}

/// A root that is a store, by its host path without links.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct StoreRoot {
    /// The host path, without links.
    pub(super) path: PathBuf,
    /// Whose format it has.
    pub(super) engine: Engine,
    /// How its layers lie.
    pub(super) driver: Driver,
}

/// What is in a root: the readable stores in it.
pub(super) fn recognise(
    host: &Host,
    root: &Path,
    must_exist: bool,
    problems: &mut Vec<Problem>,
) -> Vec<StoreRoot> {
    let mut found: Vec<StoreRoot> = Vec::new();
    let before = problems.len();
    for (directory, mark) in MARKS {
        let directory = host.path(root.join(directory));
        match (directory.symlink_metadata(), mark) {
            (Ok(metadata), Read(engine, driver)) if metadata.is_dir() => {
                let store = StoreRoot {
                    path: root.to_owned(),
                    engine: *engine,
                    driver: *driver,
                };
                if !found.contains(&store) {
                    found.push(store);
                }
            }
            (Ok(metadata), NotYet(what)) if metadata.is_dir() => {
                let cause = format!("{what} is not read yet: its layers are neither scanned nor watched");
                problems.push(Problem::new(
                    ProblemKind::UnsupportedStore,
                    root,
                    "read the store",
                    &cause,
                ));
            }
            (Ok(_), _) => {}
            (Err(error), _) if is_absent(&error) => {}
            (Err(error), _) => {
                let cause = error.to_string();
                problems.push(Problem::new(
                    ProblemKind::Unreadable,
                    root,
                    "look for a store",
                    &cause,
                ));
                return found;
            }
        }
    }
    if must_exist && problems.len() == before && found.is_empty() {
        let cause = "the directory holds no store";
        problems.push(Problem::new(
            ProblemKind::MissingStore,
            root,
            "find the store",
            cause,
        ));
    }
    found
}

fn is_absent(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
    )
}
