//! How each engine keeps the directories above its layers, release by release, and what a looser mode comes from.
//!
//! Invariant: data. The modes are those of storage/store.go and drivers/* of containers/storage (every release), of
//! `daemon/daemon_unix.go` and daemon/graphdriver of moby since 20.10.9, and of containerd's fixed releases. Used by
//! `gates`.

use std::ffi::OsStr;
use std::path::Path;

use super::causes::{containerd, docker, podman, unknown};
use super::way::{Component, Way};
use crate::catalog::Host;
use crate::model::Cause;

/// Why a gate is open, by its place below the root and its state.
type Why = fn(usize, &Component) -> Option<Cause>;

/// A layout of a store below its root.
#[derive(Clone, Copy)]
struct Layout {
    /// What the directory below the store's root is called, or how its name begins where it ends with a dot.
    home: &'static str,
    /// What a directory so many levels below it is called, if that tells the layout.
    below: Option<(usize, &'static str)>,
    /// What else the root has, if that tells the layout.
    beside: Option<&'static str>,
    /// The modes of the root, of the home and of what is below.
    modes: &'static [u32],
    cause: Why,
}

/// The gates of a way.
pub(super) struct Gatekeeping {
    /// The component that is the store's root.
    pub(super) first: usize,
    /// The modes from there on.
    pub(super) modes: &'static [u32],
    pub(super) cause: Why,
}

/// containers/storage.
const SHUT: &[u32] = &[0o700, 0o700, 0o700];
/// Docker: its group is root's, or that of the remapped root.
const DOCKER: &[u32] = &[0o710, 0o710, 0o710];
/// Docker's metadata.
const DOCKERS_OWN: &[u32] = &[0o710, 0o700, 0o700];
/// Docker's mounted devices; below them the layers' own modes count.
const DEVICES: &[u32] = &[0o710, 0o700];
/// containerd: its content store is open below the root.
const CONTAINERD: &[u32] = &[0o700];
/// containerd's subvolumes: what is below is open, and a layer as open as its image's top.
const SUBVOLUMES: &[u32] = &[0o700, 0o700];
/// containerd's snapshots.
const SNAPSHOTS: &[u32] = &[0o700, 0o700, 0o700];

const fn layout(home: &'static str, modes: &'static [u32], cause: Why) -> Layout {
    Layout {
        home,
        below: None,
        beside: None,
        modes,
        cause,
    }
}

const fn below(levels: usize, name: &'static str, layout: Layout) -> Layout {
    Layout {
        below: Some((levels, name)),
        ..layout
    }
}

const fn beside(name: &'static str, layout: Layout) -> Layout {
    Layout {
        beside: Some(name),
        ..layout
    }
}

/// The first that fits counts.
const LAYOUTS: &[Layout] = &[
    below(2, "diff", layout("overlay", SHUT, podman)),
    below(2, "diff", layout("overlay2", DOCKER, docker)),
    below(2, "diff", layout("fuse-overlayfs", DOCKER, docker)),
    below(1, "dir", beside("vfs-layers", layout("vfs", SHUT, podman))),
    below(1, "dir", layout("vfs", DOCKER, docker)),
    below(
        1,
        "subvolumes",
        beside("btrfs-layers", layout("btrfs", SHUT, podman)),
    ),
    below(1, "subvolumes", layout("btrfs", DOCKER, docker)),
    below(1, "mnt", layout("devicemapper", DEVICES, docker)),
    layout("overlay-images", SHUT, podman),
    layout("overlay-layers", SHUT, podman),
    layout("vfs-images", SHUT, podman),
    layout("vfs-layers", SHUT, podman),
    layout("btrfs-images", SHUT, podman),
    layout("btrfs-layers", SHUT, podman),
    below(2, "imagedb", layout("image", DOCKERS_OWN, unknown)),
    below(2, "layerdb", layout("image", DOCKERS_OWN, unknown)),
    layout("io.containerd.snapshotter.v1.btrfs", SUBVOLUMES, containerd),
    layout("io.containerd.snapshotter.v1.", SNAPSHOTS, containerd),
    layout("io.containerd.content.v1.content", CONTAINERD, containerd),
    layout("io.containerd.metadata.v1.bolt", CONTAINERD, containerd),
];

/// The layout that the way's names tell.
pub(super) fn of(host: &Host, way: &Way) -> Option<Gatekeeping> {
    let name = |index: usize| way.components.get(index).and_then(|one| one.path.file_name());
    let fits = |layout: &Layout, home: usize| {
        let root = way.components.get(home - 1).map(|root| root.path.as_path());
        is_called(name(home), layout.home)
            && layout
                .below
                .is_none_or(|(levels, below)| name(home + levels) == Some(OsStr::new(below)))
            && layout.beside.is_none_or(|beside| has(host, root, beside))
    };
    LAYOUTS.iter().find_map(|layout| {
        let home = (2..way.components.len()).find(|home| fits(layout, *home))?;
        Some(Gatekeeping {
            first: home - 1,
            modes: layout.modes,
            cause: layout.cause,
        })
    })
}

fn is_called(name: Option<&OsStr>, wanted: &str) -> bool {
    let Some(name) = name else { return false };
    let begins = wanted.ends_with('.') && name.as_encoded_bytes().starts_with(wanted.as_bytes());
    begins || name == wanted
}

fn has(host: &Host, root: Option<&Path>, name: &str) -> bool {
    root.is_some_and(|root| host.path(root.join(name)).is_dir())
}
