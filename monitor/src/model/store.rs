//! Stores, layers and images as the catalog found them on the disk.
//!
//! Invariant: nothing here was believed without a bound, and nothing holds file content or a configuration value; a
//! configuration that may carry a secret is named by its path and read by `scan` alone.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::build::BuildCache;
use super::ids::{DevIno, Digest, ImageId, KernelDev, LayerId, LayerKey, StoreId};
use super::layer_device::LayerDevice;

/// Whose on-disk format a store has.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Engine {
    /// containers/storage: Podman, Buildah, Skopeo.
    ContainersStorage,
    /// containers/storage at the root that CRI-O is configured or started with.
    CriO,
    /// Docker Engine's graph drivers.
    Docker,
    /// containerd and all that embed it.
    Containerd,
    /// A BuildKit that runs for itself: containerd's formats at places of its own.
    #[serde(rename = "buildkit")]
    BuildKit,
}

impl Engine {
    /// Those that metrics tell apart.
    pub const COUNTED: [Self; 3] = [Self::ContainersStorage, Self::Docker, Self::Containerd];

    /// What it counts as in metrics: the format that its store has.
    #[must_use]
    pub fn counted(self) -> Self {
        match self {
            Self::CriO => Self::ContainersStorage,
            Self::BuildKit => Self::Containerd,
            Self::ContainersStorage | Self::Docker | Self::Containerd => self,
        }
    }

    /// The name in output and in metric labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ContainersStorage => "containers-storage",
            Self::Docker => "docker",
            Self::Containerd => "containerd",
            Self::CriO => "cri-o",
            Self::BuildKit => "buildkit",
        }
    }

    /// Whether its stores have the format of containers/storage.
    pub fn is_containers_storage(self) -> bool {
        match self {
            Self::ContainersStorage | Self::CriO => true,
            Self::Docker | Self::Containerd | Self::BuildKit => false,
        }
    }

    /// Whether its stores have containerd's formats.
    pub fn is_containerd(self) -> bool {
        match self {
            Self::Containerd | Self::BuildKit => true,
            Self::ContainersStorage | Self::CriO | Self::Docker => false,
        }
    }
}

/// How a store keeps its layers on the disk.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Driver {
    /// One directory with the layer's own files, stacked by overlayfs.
    Overlay,
    /// The same as Docker lays it out.
    Overlay2,
    /// A full copy of the tree for each layer.
    Vfs,
    /// A subvolume for each layer.
    Btrfs,
    /// A dataset for each layer, a clone of the one below; files only while it is mounted.
    Zfs,
    /// Like overlay, as containerd lays it out.
    Overlayfs,
    /// Like vfs, as containerd lays it out.
    Native,
    /// Like overlay2, stacked by a program: rootless Docker before Linux 5.11.
    FuseOverlayfs,
    /// A thin device of a pool for each layer, with a file system that holds the whole tree; files only while it is mounted.
    Devicemapper,
}

impl Driver {
    /// Those that metrics tell apart, of those whose stores are read.
    pub const COUNTED: [Self; 5] = [
        Self::Overlay,
        Self::Overlay2,
        Self::Vfs,
        Self::Btrfs,
        Self::Overlayfs,
    ];

    /// What it counts as in metrics: containerd's, devicemapper's and zfs's copies of whole trees as others' copies.
    #[must_use]
    pub fn counted(self) -> Self {
        match self {
            Self::Native | Self::Devicemapper | Self::Zfs => Self::Vfs,
            Self::FuseOverlayfs => Self::Overlay2,
            Self::Overlay | Self::Overlay2 | Self::Vfs | Self::Btrfs | Self::Overlayfs => self,
        }
    }

    /// Whether each layer is a copy of the whole tree up to it, so that most of its files came from below.
    pub fn keeps_copies(self) -> bool {
        match self {
            Self::Overlay | Self::Overlay2 | Self::Overlayfs | Self::FuseOverlayfs => false,
            Self::Vfs | Self::Btrfs | Self::Zfs | Self::Native | Self::Devicemapper => true,
        }
    }

    /// Whether each layer is a file system of its own that is mounted only while somebody uses it.
    pub fn mounts_layers(self) -> bool {
        matches!(self, Self::Devicemapper | Self::Zfs)
    }

    /// The name that its engine uses for it, also a metric label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Overlay => "overlay",
            Self::Overlay2 => "overlay2",
            Self::Vfs => "vfs",
            Self::Btrfs => "btrfs",
            Self::Zfs => "zfs",
            Self::Overlayfs => "overlayfs",
            Self::Native => "native",
            Self::Devicemapper => "devicemapper",
            Self::FuseOverlayfs => "fuse-overlayfs",
        }
    }
}

/// A place on this host where an engine keeps layers.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Store {
    /// `<driver>@<root>`, with `#<namespace>` where there is one.
    pub id: StoreId,
    /// Whose format it is.
    pub engine: Engine,
    /// How layers lie in it.
    pub driver: Driver,
    /// Of containerd's, whose namespaces each have images and layers of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The graph root, as this process sees it.
    #[serde(with = "super::path")]
    pub root: PathBuf,
    /// The graph root's inode.
    pub root_key: DevIno,
    /// Who owns the graph root: 0 for a rootful store, else the user of a rootless one.
    pub owner_uid: u32,
    /// The backing file system's name from the mount table, or `unknown`.
    pub filesystem: String,
    /// The dataset below which those of the layers are, of driver zfs and as far as this host tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset: Option<String>,
    /// Directories in which a commit of a layer or an image shows (`overlay-layers`, `image/overlay2`).
    #[serde(with = "super::path::keyed")]
    pub index_directories: Vec<(PathBuf, DevIno)>,
    /// Directories in which new layers appear (`overlay`, `overlay2`): what is read there before the index names it is held.
    #[serde(with = "super::path::keyed", default)]
    pub layer_directories: Vec<(PathBuf, DevIno)>,
    /// Layers' directories that no index names: build caches, layers being written, leftovers of failed pulls.
    #[serde(default)]
    pub unlisted: u64,
    /// What pulls that failed, or are not over, have left.
    #[serde(default)]
    pub leftovers: Leftovers,
}

/// Blobs and directories on their way into a store, or left behind on it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Leftovers {
    /// How many, layers that the index calls incomplete among them.
    pub count: u64,
    /// Their bytes; of directories, those of the first 20,000 files below.
    pub bytes: u64,
    /// When the one that has not changed for longest changed last.
    pub oldest: Option<jiff::Timestamp>,
    /// When the one that changed last did.
    pub newest: Option<jiff::Timestamp>,
    /// Each as it was at this look.
    #[serde(skip)]
    pub seen: Vec<LayerId>,
    /// The blobs among them, which a pull puts aside until their layers are made.
    #[serde(skip)]
    pub blobs: Vec<LeftBlob>,
}

/// A blob that a pull has put aside.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LeftBlob {
    /// What the blobs of one pull have in common, where the engine keeps pulls apart; of containerd the namespace.
    pub pull: String,
    /// Its inode.
    pub key: DevIno,
    /// How much of it is there.
    pub bytes: u64,
    /// When it last changed.
    pub changed: jiff::Timestamp,
    /// Where it lies once it is whole, if that is known.
    pub lands: Option<PathBuf>,
}

impl Store {
    /// The device that the store's files are on.
    pub fn device(&self) -> KernelDev {
        self.root_key.dev
    }
}

/// What a device or image file under a store is known by.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RawKey {
    /// A block device, by its number.
    Device(KernelDev),
    /// The file behind a loop device, by its inode.
    File(DevIno),
}

/// A device or image file that holds a store's file system: who opens it reads every layer, past all modes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RawDevice {
    /// What the kernel matches.
    pub key: RawKey,
    /// Its name on the host, for people.
    #[serde(with = "super::path")]
    pub path: PathBuf,
    /// The store above it.
    pub store: StoreId,
}

/// A socket that a container engine serves: who may write to it has the engine read for them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct EngineSocket {
    /// The socket's inode.
    pub key: DevIno,
    /// Its name on the host.
    #[serde(with = "super::path")]
    pub path: PathBuf,
    /// Whose it is: the user that the engine serves, besides root.
    pub owner_uid: u32,
    /// The processes that do what is asked there; none where that is not known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub served_by: Vec<u32>,
}

/// Which programs read images for those who ask at a socket of this name; Docker has containerd do it.
const SERVED_BY: [(&str, &[&str]); 5] = [
    ("docker.sock", &["dockerd", "containerd", "docker-containerd"]),
    ("podman.sock", &["podman"]),
    (
        "containerd.sock",
        &["containerd", "docker-containerd", "k3s", "rke2"],
    ),
    ("crio.sock", &["crio"]),
    ("buildkitd.sock", &["buildkitd", "containerd"]),
];

impl EngineSocket {
    /// Whether an engine's process does what is asked at this socket: one that is known to, else one of such a name.
    pub fn is_served_by(&self, pid: u32, exe: &Path) -> bool {
        if !self.served_by.is_empty() {
            return self.served_by.contains(&pid);
        }
        let served = SERVED_BY
            .iter()
            .find(|(socket, _)| self.path.file_name().is_some_and(|name| name == *socket));
        served.is_none_or(|(_, programs)| {
            programs
                .iter()
                .any(|program| exe.file_name().is_some_and(|name| name == *program))
        })
    }
}

/// What a layer is at the moment.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LayerState {
    /// Committed, part of at least one image.
    Image,
    /// Committed, part of no image.
    Dangling,
    /// A container's writable layer.
    Container,
    /// Being written, or left behind by a failed pull.
    Incomplete,
    /// What a builder keeps of its work, part of no image: a context that a client sent, a step's result, a cache.
    BuildCache,
    /// No layer at all: a blob or a directory that a pull has left outside the index.
    Leftover,
}

/// A layer of a store.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Layer {
    /// Store and id.
    pub key: LayerKey,
    /// The uncompressed tar's digest, where the store recorded it.
    pub diff_id: Option<Digest>,
    /// The digest of the blob as it was pulled.
    pub blob_digest: Option<Digest>,
    /// The digest of the blob's table of contents, if the layer was put together by one: a partial pull (`zstd:chunked`),
    /// of which only the files that the host lacked were fetched.
    #[serde(default)]
    pub toc_digest: Option<Digest>,
    /// The layer below.
    pub parent: Option<LayerId>,
    /// The directory with the layer's content.
    #[serde(with = "super::path")]
    pub content: PathBuf,
    /// That directory's inode; absent when it cannot be read.
    pub content_key: Option<DevIno>,
    /// The uncompressed size in bytes, where the store recorded it.
    pub size_bytes: Option<u64>,
    /// When the store says it was made.
    pub created: Option<jiff::Timestamp>,
    /// What it is at the moment.
    pub state: LayerState,
    /// What a builder says of it: of what it keeps, and of an image's layer that it made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build_cache: Option<BuildCache>,
    /// The file system that it is, where each layer is one of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<LayerDevice>,
}

impl Layer {
    /// Whether its content is on a device that is not mounted here.
    pub fn is_unmounted(&self) -> bool {
        self.device.as_ref().is_some_and(|device| !device.is_mounted)
    }

    /// Whether it is there as it was pulled and nowhere else: its content is the blob, a file. A dataset may have a blob's name.
    pub fn is_packed(&self) -> bool {
        let name = self.content.file_name().and_then(|name| name.to_str());
        let blob = self.blob_digest.as_ref().map(Digest::hex);
        self.content_key.is_none() && self.device.is_none() && blob.is_some() && name == blob
    }

    /// Whether its content is a file that is packed, whole or not.
    pub fn is_file(&self) -> bool {
        self.is_packed() || (self.state == LayerState::Leftover && self.content_key.is_none())
    }

    /// Whether it holds an image's content and can be scanned: a container's device holds its image's whole tree.
    pub fn is_scannable(&self) -> bool {
        match self.state {
            LayerState::Image | LayerState::Dangling => self.content_key.is_some() || self.is_packed(),
            LayerState::BuildCache => self.content_key.is_some(),
            LayerState::Container => self.device.is_some() && self.content_key.is_some(),
            LayerState::Incomplete => false,
            LayerState::Leftover => true,
        }
    }
}

/// An image of a store.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Image {
    /// The store that holds it.
    pub store: StoreId,
    /// The configuration's digest in hex.
    pub id: ImageId,
    /// The manifest digest the store names first.
    pub digest: Option<Digest>,
    /// All manifest digests known for it.
    pub digests: Vec<Digest>,
    /// Current full names; empty for an untagged image.
    pub names: Vec<String>,
    /// Names it had, newest first.
    pub names_history: Vec<String>,
    /// Its layers, base first.
    pub layers: Vec<LayerId>,
    /// Copies of its layers with owners shifted for a user namespace; the top one stands where the image's top stands.
    #[serde(default)]
    pub mapped_layers: Vec<LayerId>,
    /// When the store says it was made.
    pub created: Option<jiff::Timestamp>,
    /// The configuration file in the store, for `scan`.
    #[serde(with = "super::path::optional", default)]
    pub config: Option<PathBuf>,
}

/// Where a layer stands in an image.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ImageLayer<'a> {
    /// The image.
    pub image: &'a Image,
    /// The layer's place, 1 for the base layer.
    pub position: usize,
}
