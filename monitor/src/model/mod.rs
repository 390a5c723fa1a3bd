//! Plain data that travels between the stages: no I/O, no clock, no channel.
//!
//! Invariant: a type here owns its values, compares by them, and serialises to the documented JSON contract. No type
//! here can hold a secret: `scan` hands out redacted findings only. Used by every module.

mod access;
mod alert;
mod assessment;
mod build;
mod exposed;
mod exposure;
mod finding;
mod ids;
mod layer_device;
mod path;
mod process;
mod store;
mod subject;
pub mod text;
mod trust;

pub use access::{Access, Credentials, Operation, Via, WatchMatch};
pub use alert::{
    AccessReport, Alert, AlertKind, ArrivalKind, AskedReport, ContainerReport, FindingReport, ImageReport,
    LayerReport, ProcessReport, PullReport, Record, RecordKind, SCHEMA_VERSION, StateReport, SubjectReport,
    TrustReport,
};
pub use assessment::{Asker, Assessment, Attribution, Sanction, Sighting};
pub use build::{BuildCache, BuildWork};
pub use exposed::ExposedReport;
pub use exposure::{Bypass, Cause, Exposure, Gate, Means, Reader};
pub use finding::{
    Category, Confidence, Finding, Fingerprint, LoweredBy, Place, RuleId, Severity, Visibility,
};
pub use ids::{DevIno, Digest, ImageId, KernelDev, LayerId, LayerKey, StoreId, Tgid};
pub use layer_device::{LayerDevice, ThinDevice};
pub use process::{ProcessChange, ProcessEvent, Program};
pub use store::{
    Driver, Engine, EngineSocket, Image, ImageLayer, Layer, LayerState, LeftBlob, Leftovers, RawDevice,
    RawKey, Store,
};
pub use subject::{Actor, Container, Process, ProcessKey, Subject};
pub use trust::{Decision, Evidence, Grade, Provenance, Reason, Verdict};
