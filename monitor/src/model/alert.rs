//! The JSON contract: what leaves the agent, one object per line.
//!
//! Invariant: no key is renamed or removed without a new `SCHEMA_VERSION`; docs/schema.md lists them and a test
//! compares whole objects with stored ones.

use serde::{Deserialize, Serialize};

use super::access::{Operation, Via};
use super::assessment::Sanction;
use super::exposed::ExposedReport;
use super::exposure::Exposure;
use super::finding::{Category, Confidence, Fingerprint, RuleId, Severity};
use super::ids::{Digest, ImageId, LayerId, StoreId};
use super::store::{Engine, LayerState};
use super::subject::Container;
use super::trust::{Grade, Provenance};

/// Rises when a key changes its meaning or goes.
pub const SCHEMA_VERSION: u32 = 1;

/// The alerts (design: "Decisions"); a closed set, so that it can be a label.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum AlertKind {
    /// A non-root subject outside containers read a file with a finding.
    SensitiveLayerRead,
    /// A process in a container read a finding that is not part of its own root file system.
    ForeignContainerRead,
    /// A user other than the owner read a rootless store.
    ForeignStoreRead,
    /// A non-root subject read other content of an image from the store; recorded, not alerted, by default.
    LayerContentRead,
    /// A non-root subject opened the block device or image file under a store.
    RawDeviceRead,
    /// A non-root subject reached an engine's socket, and the engine then read a finding.
    CacheApiAccess,
    /// Somebody who is neither a store's owner nor root's equal can read a finding.
    SensitiveLayerExposed,
    /// The agent does not see what it should.
    MonitorBlind,
    /// Events were lost.
    EventsLost,
    /// More is to be watched than the kernel's maps hold.
    CoverageGap,
}

impl AlertKind {
    /// All, for metrics.
    pub const ALL: [Self; 10] = [
        Self::SensitiveLayerRead,
        Self::ForeignContainerRead,
        Self::ForeignStoreRead,
        Self::LayerContentRead,
        Self::RawDeviceRead,
        Self::CacheApiAccess,
        Self::SensitiveLayerExposed,
        Self::MonitorBlind,
        Self::EventsLost,
        Self::CoverageGap,
    ];

    /// The name in output and in labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SensitiveLayerRead => "SensitiveLayerRead",
            Self::ForeignContainerRead => "ForeignContainerRead",
            Self::ForeignStoreRead => "ForeignStoreRead",
            Self::LayerContentRead => "LayerContentRead",
            Self::RawDeviceRead => "RawDeviceRead",
            Self::CacheApiAccess => "CacheApiAccess",
            Self::SensitiveLayerExposed => "SensitiveLayerExposed",
            Self::MonitorBlind => "MonitorBlind",
            Self::EventsLost => "EventsLost",
            Self::CoverageGap => "CoverageGap",
        }
    }
}

/// Who.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SubjectReport {
    /// The user id that counts.
    pub uid: u32,
    /// The host's name for it.
    pub user: Option<String>,
    /// The login user id.
    pub loginuid: Option<u32>,
}

/// Which process.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ProcessReport {
    /// The thread group id.
    pub pid: u32,
    /// The thread's name, escaped: all there is when the process was gone too soon.
    pub comm: String,
    /// The executable's path, escaped.
    pub exe: Option<String>,
    /// The command line, escaped and cut.
    pub cmdline: Option<String>,
    /// The ancestors' executables or names, parent first.
    pub ancestors: Vec<String>,
}

/// Which container.
pub type ContainerReport = Container;

/// What was done.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AccessReport {
    /// Open, map, read, receive.
    pub operation: Operation,
    /// Direct or through an overlay.
    pub via: Via,
    /// The path inside the file's own file system, escaped.
    pub path: String,
    /// The path in the layer, escaped.
    pub path_in_layer: Option<String>,
    /// False when the kernel refused it.
    pub allowed: bool,
}

/// Which layer.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct LayerReport {
    /// The store's format.
    pub engine: Engine,
    /// The store.
    pub store: StoreId,
    /// The layer's id in the store.
    pub id: LayerId,
    /// The uncompressed tar's digest.
    pub diff_id: Option<Digest>,
    /// What it is: of an image, a builder's, left by a pull that failed.
    pub state: LayerState,
}

/// Which image.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct ImageReport {
    /// The full name, escaped; the first where there are several.
    pub name: Option<String>,
    /// The image's id.
    pub id: ImageId,
    /// The manifest's digest.
    pub digest: Option<Digest>,
}

/// What it held.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FindingReport {
    /// The rule.
    pub rule: RuleId,
    /// One line for people.
    pub title: String,
    /// What kind of secret.
    pub category: Category,
    /// How bad.
    pub severity: Severity,
    /// How sure.
    pub confidence: Confidence,
    /// Recognises the same secret elsewhere.
    pub fingerprint: Fingerprint,
    /// The first line of the match.
    pub line: Option<u32>,
    /// A later layer hides the file in each image that contains it.
    pub shadowed: bool,
}

/// Whether the image deserved trust.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TrustReport {
    /// A trusted source?
    pub provenance: Provenance,
    /// A trusted thing?
    pub quality: Grade,
}

/// An access that matters; as `kind: "alert"` when it is one, as `kind: "access"` when it is only recorded.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Alert {
    /// Which alert.
    pub alert: AlertKind,
    /// The event's stable id.
    pub id: String,
    /// How bad.
    pub severity: Severity,
    /// When it happened.
    pub time: jiff::Timestamp,
    /// Who.
    pub subject: SubjectReport,
    /// Which process.
    pub process: ProcessReport,
    /// Which container.
    pub container: Option<ContainerReport>,
    /// What was done.
    pub access: AccessReport,
    /// Which layer; absent when it stayed unknown.
    pub layer: Option<LayerReport>,
    /// Which images contain the layer.
    pub images: Vec<ImageReport>,
    /// What the file holds, worst first; absent for ordinary content.
    pub finding: Option<FindingReport>,
    /// Who else could read it.
    pub exposure: Option<Exposure>,
    /// Whether the image deserved trust.
    pub trust: TrustReport,
    /// Why it is sanctioned; absent on an alert.
    pub sanction: Option<Sanction>,
    /// How often so far in the present window.
    pub count: u64,
    /// One sentence: why it matters.
    pub why: String,
    /// What to do.
    pub remedy: String,
}

/// Who asked an engine.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AskedReport {
    /// The engine's socket, escaped.
    pub socket: String,
    /// The client.
    pub process: ProcessReport,
    /// Its user.
    pub subject: SubjectReport,
    /// Its container; absent on the host.
    pub container: Option<ContainerReport>,
    /// How many others may have asked as well.
    pub others: u64,
}

/// How an image or a name came into a store, as far as the store tells.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ArrivalKind {
    /// From a registry: it came with the registry's digest.
    Pulled,
    /// From an archive; where the store does not tell them apart, built or imported too.
    Loaded,
    /// Built here.
    Built,
    /// Made of a tree of files.
    Imported,
    /// The image was there and got another name.
    Tagged,
    /// It did not: a pull that began brought no image, and its blobs are gone or lie about.
    Failed,
    /// The store does not tell.
    Unknown,
}

/// Content that arrived in a store.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PullReport {
    /// When the new index was read.
    pub time: jiff::Timestamp,
    /// How it arrived, as far as the store tells.
    pub arrival: ArrivalKind,
    /// The store.
    pub store: StoreId,
    /// The image that appeared or got a name; none of a pull that failed.
    pub image: Option<ImageReport>,
    /// All names the image has now, escaped.
    pub names: Vec<String>,
    /// Its layers, base first.
    pub layers: Vec<LayerReport>,
    /// How many of them were not in the store before.
    pub new_layers: u64,
    /// How many bytes of content those have, as far as the store tells.
    #[serde(default)]
    pub new_bytes: Option<u64>,
    /// The registry that a pulled image is named after, escaped.
    #[serde(default)]
    pub registry: Option<String>,
    /// From the first sign of it in the store's index to the last, milliseconds, if the kernel reported one.
    #[serde(default)]
    pub took_ms: Option<u64>,
    /// The process that committed it, if the kernel reported one.
    pub process: Option<ProcessReport>,
    /// Its user.
    pub subject: Option<SubjectReport>,
    /// Its container; absent on the host.
    #[serde(default)]
    pub container: Option<ContainerReport>,
    /// Who asked the engine for it at its socket, as far as it shows.
    #[serde(default)]
    pub asked_by: Option<AskedReport>,
    /// The trust verdict of the name.
    pub trust: TrustReport,
}

/// A state that began or ended: the agent's own, or an exposure.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StateReport {
    /// When.
    pub time: jiff::Timestamp,
    /// Which state alert.
    pub alert: AlertKind,
    /// Whether it began or ended.
    pub active: bool,
    /// What is wrong.
    pub detail: String,
    /// What is open, with `SensitiveLayerExposed`.
    #[serde(default)]
    pub exposed: Option<ExposedReport>,
}

/// What kind of line it is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum RecordKind {
    /// Something to act on.
    Alert(Alert),
    /// An access that is only recorded (`--verbose`).
    Access(Alert),
    /// Content arrived.
    Pull(PullReport),
    /// The agent's own state.
    State(StateReport),
}

/// One line of output.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Record {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The line itself.
    #[serde(flatten)]
    pub body: RecordKind,
}

impl Record {
    /// A line in the present version.
    pub fn new(body: RecordKind) -> Self {
        Self {
            schema_version: SCHEMA_VERSION,
            body,
        }
    }
}
