//! What an access means: which layer and images the bytes belong to, and whether it is sanctioned.
//!
//! Invariant: made by pure functions of an access, an actor and one knowledge snapshot, so a replay gives the same.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::access::Access;
use super::alert::{ImageReport, LayerReport};
use super::exposure::Exposure;
use super::finding::{Finding, Severity};
use super::ids::LayerKey;
use super::subject::{Actor, Subject};
use super::trust::{Grade, Provenance};

/// Why an access that looks bad is not.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sanction {
    /// Root of the host, outside containers.
    HostRoot,
    /// A container reading its own root file system.
    OwnRootFileSystem,
    /// A container engine pulling, building, unpacking or cleaning up.
    EngineAtWork,
    /// The owner of a rootless store, or a process in a user namespace of theirs.
    OwnStore,
    /// The agent itself.
    Agent,
}

impl Sanction {
    /// All, for metrics.
    pub const ALL: [Self; 5] = [
        Self::HostRoot,
        Self::OwnRootFileSystem,
        Self::EngineAtWork,
        Self::OwnStore,
        Self::Agent,
    ];

    /// The name in output and in metric labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::HostRoot => "host-root",
            Self::OwnRootFileSystem => "own-root-file-system",
            Self::EngineAtWork => "engine-at-work",
            Self::OwnStore => "own-store",
            Self::Agent => "agent",
        }
    }
}

/// What the accessed inode is, by one knowledge snapshot.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Attribution {
    /// The layer; absent for an image's configuration.
    pub layer: Option<LayerKey>,
    /// The layer for the report.
    pub report: Option<LayerReport>,
    /// The images that contain the layer.
    pub images: Vec<ImageReport>,
    /// The path in the layer, raw bytes, if the scan or the kernel's walk knows it.
    pub path: Option<Vec<u8>>,
    /// The findings in the file; empty for ordinary content.
    pub findings: Vec<Finding>,
    /// Whether a later layer of each image that contains it hides the file.
    pub shadowed: bool,
    /// Who could read the file when the snapshot was made.
    pub exposure: Option<Exposure>,
    /// The worst provenance of the images that expose it.
    pub provenance: Provenance,
    /// The worst quality of the images that expose it.
    pub quality: Grade,
    /// The layer has been scanned.
    pub scanned: bool,
    /// Who owns the store.
    pub store_owner_uid: u32,
}

/// An access with all that is known about it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Sighting {
    /// What the kernel saw.
    pub access: Access,
    /// Who did it.
    pub actor: Actor,
    /// Who it counts for.
    pub subject: Subject,
}

/// Somebody who asked an engine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Asker {
    /// The connection.
    pub sighting: Sighting,
    /// The socket's name on the host.
    pub socket: PathBuf,
    /// How many others asked there in the same time.
    pub others: usize,
}

/// A judged access.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Assessment {
    /// The access.
    pub sighting: Sighting,
    /// What it touched; absent when it stayed unknown until the deadline.
    pub attribution: Option<Attribution>,
    /// Why it is fine, if it is.
    pub sanction: Option<Sanction>,
    /// The worst severity of the findings touched.
    pub severity: Severity,
}
