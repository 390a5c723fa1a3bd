//! What carries a layer that is a file system of its own: a thin device (devicemapper) or a dataset (zfs).
//!
//! Invariant: reads the driver's own records and looks at mount points; no device is opened and none is activated. Which are
//! not mounted is told by `mount_points`; datasets are the same as another engine's (`datasets`). Format of the records:
//! `daemon/graphdriver/devmapper/deviceset.go` of moby up to 24.0. Used by the reader of layers.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::super::datasets::Datasets;
use super::super::mount_points::{self, MountPoints};
use super::super::problem::{ProblemKind, Problems};
use super::Place;
use crate::bounded;
use crate::model::{Driver, KernelDev, LayerDevice, ThinDevice};

/// The records, each named by what the driver calls the layer, below the root.
pub(super) const RECORDS: &str = "devicemapper/metadata";

/// The files among the records that are no layer's (`deviceset.go`).
const OTHERS: [&str; 3] = ["base", "deviceset-metadata", "transaction-metadata"];

/// Five numbers and flags.
const RECORD_LIMIT: u64 = 4096;

/// One device's record.
#[derive(Deserialize)]
struct Record {
    device_id: u32,
    size: u64,
}

/// What carries the layers of a store that have each a file system of their own.
pub(super) enum Devices {
    /// A thin device each.
    Thin(ThinDevices),
    /// A dataset each.
    Datasets(Datasets),
}

/// The thin devices of one store.
pub(super) struct ThinDevices {
    points: MountPoints,
    records: PathBuf,
    /// What the names of its devices begin with; absent where the driver has no directory.
    prefix: Option<String>,
}

/// What device mapper calls the devices of the store at `root`: the pool `<prefix>-pool`, a layer's `<prefix>-<id>`.
pub(in crate::catalog) fn prefix(root: &Path) -> Option<String> {
    let metadata = root.join("devicemapper").symlink_metadata().ok()?;
    let device = KernelDev::from_stat(metadata.dev());
    let (major, minor) = (device.major(), device.minor());
    Some(format!("docker-{major}:{minor}-{}", metadata.ino()))
}

/// Whether an entry of [`listing`] may be a layer's: not where it is another record, or a mount point without a mount.
pub(super) fn is_layers(place: &Place, name: &str) -> bool {
    !OTHERS.contains(&name) && (place.driver != Driver::Zfs || mount_points::is_mounted(&place.home, name))
}

impl Devices {
    /// Those of a store whose layers are file systems of their own.
    pub(super) fn of(place: &Place) -> Option<Self> {
        place.driver.mounts_layers().then(|| {
            if place.driver == Driver::Zfs {
                Self::Datasets(Datasets::of(place.dataset.as_deref(), &place.home))
            } else {
                Self::Thin(ThinDevices::of(place))
            }
        })
    }

    /// What carries the layer that the driver calls `cache_id`.
    pub(super) fn device(&mut self, cache_id: &str, problems: &mut Problems) -> Option<LayerDevice> {
        match self {
            Self::Thin(devices) => devices.device(cache_id, problems),
            Self::Datasets(datasets) => Some(datasets.device(cache_id)),
        }
    }

    /// Says how many layers have no files here.
    pub(super) fn finish(self, problems: &mut Problems) {
        match self {
            Self::Thin(devices) => {
                let (what, whom) = ("on thin devices", "open the pool or its devices");
                devices.points.finish(what, whom, problems);
            }
            Self::Datasets(datasets) => datasets.finish(problems),
        }
    }
}

impl ThinDevices {
    fn of(place: &Place) -> Self {
        Self {
            points: MountPoints::in_directory(place.home.clone()),
            records: place.root.join(RECORDS),
            prefix: prefix(&place.root),
        }
    }

    fn device(&mut self, cache_id: &str, problems: &mut Problems) -> Option<LayerDevice> {
        let file = self.records.join(cache_id);
        let operation = "read a device's record";
        let text = match bounded::read_text(&file, RECORD_LIMIT) {
            Ok(text) => text,
            Err(error) if error.is_not_found() => {
                let cause = "the layer has no device";
                problems.add(ProblemKind::MissingContent, &file, operation, cause);
                return None;
            }
            Err(error) => {
                super::files::unreadable(&error, &file, problems);
                return None;
            }
        };
        let record: Record = serde_json::from_str(&text)
            .map_err(|error| problems.add(ProblemKind::Malformed, &file, operation, &error.to_string()))
            .ok()?;
        Some(LayerDevice {
            name: format!("{}-{cache_id}", self.prefix.as_deref().unwrap_or("docker")),
            thin: Some(ThinDevice {
                id: record.device_id,
                size_bytes: record.size,
            }),
            is_mounted: self.points.has(cache_id),
            files: None,
        })
    }
}

/// The files or devices that the pool is made of, where they are files: loop devices lie on them.
pub(in crate::catalog) fn loop_files(root: &Path) -> [PathBuf; 2] {
    ["data", "metadata"].map(|name| root.join("devicemapper/devicemapper").join(name))
}

/// The directory with an entry for each of the driver's layers, or with a mount point for each dataset that is in use.
pub(super) fn listing(place: &Place) -> PathBuf {
    if place.driver == Driver::Devicemapper {
        place.root.join(RECORDS)
    } else {
        place.home.clone()
    }
}
