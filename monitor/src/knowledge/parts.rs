//! What a knowledge snapshot is made of: plain lists, as the catalog, the scan, the exposure check and the trust
//! verdicts hand them over.
//!
//! Invariant: lists only, no struct as a key, so that the same type is the constructor's input and a line of a
//! recording. Made by the task that builds snapshots, and by `recording`.

use serde::{Deserialize, Serialize};

use crate::model::{
    DevIno, EngineSocket, Exposure, Finding, Image, ImageId, KernelDev, Layer, LayerKey, RawDevice, Store,
    StoreId, Verdict, Visibility,
};

/// One finding with what depends on where it lies.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct KnownFinding {
    /// The finding.
    pub finding: Finding,
    /// Whether each image that contains the layer still shows the file; an image that is not listed shows it.
    pub visibility: Vec<(ImageId, Visibility)>,
    /// Who could read the file when the snapshot was made; absent when it was not looked at.
    pub exposure: Option<Exposure>,
}

/// The findings in an image's configuration file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct KnownConfig {
    /// The file.
    pub key: DevIno,
    /// The image's store.
    pub store: StoreId,
    /// The image.
    pub image: ImageId,
    /// What was found in it.
    pub findings: Vec<Finding>,
    /// Who could read the file when the snapshot was made.
    pub exposure: Option<Exposure>,
}

/// A blob in a content store whose layer has findings: who reads it has all of them, whatever modes they have inside.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct KnownBlob {
    /// The file.
    pub key: DevIno,
    /// The layer that was unpacked from it.
    pub layer: LayerKey,
    /// Who could read the file when the snapshot was made.
    pub exposure: Option<Exposure>,
}

/// The verdict on one image under one of its names.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct KnownVerdict {
    /// The image's store.
    pub store: StoreId,
    /// The image.
    pub image: ImageId,
    /// The verdict.
    pub verdict: Verdict,
}

/// The running agent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AgentProcess {
    /// Its process id in the host's namespace.
    pub pid: u32,
    /// Its executable's inode.
    pub exe: DevIno,
}

/// Facts of the host that tell it from a container.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct HostFacts {
    /// Device of the host's root file system: on a host that itself runs on an overlay, reading through it proves
    /// nothing about containers.
    pub root_device: Option<KernelDev>,
    /// Inode number of the host's mount namespace.
    pub mount_namespace: Option<u32>,
    /// The running agent.
    pub agent: Option<AgentProcess>,
}

/// Everything a snapshot holds.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct KnowledgeParts {
    /// Rises with each snapshot.
    pub generation: u64,
    /// When the state it describes was read.
    pub built: jiff::Timestamp,
    /// The host.
    pub host: HostFacts,
    /// The stores.
    pub stores: Vec<Store>,
    /// Their layers.
    pub layers: Vec<Layer>,
    /// Their images.
    pub images: Vec<Image>,
    /// The layers whose content has been scanned.
    pub scanned: Vec<LayerKey>,
    /// What the scan found.
    pub findings: Vec<KnownFinding>,
    /// What the scan found in image configurations.
    #[serde(default)]
    pub configs: Vec<KnownConfig>,
    /// The blobs of layers with findings.
    #[serde(default)]
    pub blobs: Vec<KnownBlob>,
    /// The verdicts, one for each name of an image.
    pub verdicts: Vec<KnownVerdict>,
    /// The devices and image files that hold the stores.
    #[serde(default)]
    pub raw_devices: Vec<RawDevice>,
    /// The sockets at which engines serve.
    #[serde(default)]
    pub engine_sockets: Vec<EngineSocket>,
    /// Executable inodes of the container engines of this host.
    pub engine_executables: Vec<DevIno>,
}
