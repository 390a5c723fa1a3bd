//! The driver devicemapper: which thin device carries which layer, and whether it is mounted.
//!
//! Invariant: reads the driver's own records and looks at mount points; no device is opened and none is activated. A layer
//! whose device is not mounted here has no file that could be scanned or watched, and that is said once for the store.
//! Format: `daemon/graphdriver/devmapper/deviceset.go` of moby up to 24.0. Used by the reader of layers.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::super::layout;
use super::super::problem::{ProblemKind, Problems};
use super::Place;
use crate::bounded;
use crate::model::{Driver, KernelDev, LayerDevice};

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

/// The devices of one store.
pub(super) struct Devices {
    home: PathBuf,
    records: PathBuf,
    /// What the names of its devices begin with; absent where the driver has no directory.
    prefix: Option<String>,
    unmounted: u64,
}

/// What device mapper calls the devices of the store at `root`: the pool `<prefix>-pool`, a layer's `<prefix>-<id>`.
pub(in crate::catalog) fn prefix(root: &Path) -> Option<String> {
    let metadata = root.join("devicemapper").symlink_metadata().ok()?;
    let device = KernelDev::from_stat(metadata.dev());
    let (major, minor) = (device.major(), device.minor());
    Some(format!("docker-{major}:{minor}-{}", metadata.ino()))
}

/// Whether a name among the records may be a layer's.
pub(super) fn is_layers(name: &str) -> bool {
    !OTHERS.contains(&name)
}

impl Devices {
    /// Those of a store whose layers are on devices.
    pub(super) fn of(place: &Place) -> Option<Self> {
        (place.driver == Driver::Devicemapper).then(|| Self {
            home: place.home.clone(),
            records: place.root.join(RECORDS),
            prefix: prefix(&place.root),
            unmounted: 0,
        })
    }

    /// The device of the layer that the driver calls `cache_id`.
    pub(super) fn device(&mut self, cache_id: &str, problems: &mut Problems) -> Option<LayerDevice> {
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
        let is_mounted = self.is_mounted(cache_id);
        self.unmounted += u64::from(!is_mounted);
        Some(LayerDevice {
            name: format!("{}-{cache_id}", self.prefix.as_deref().unwrap_or("docker")),
            id: record.device_id,
            size_bytes: record.size,
            is_mounted,
            files: None,
        })
    }

    /// A file system of its own begins at its mount point.
    fn is_mounted(&self, cache_id: &str) -> bool {
        let device = |path: &Path| Some(path.symlink_metadata().ok()?.dev());
        let point = device(&self.home.join(cache_id));
        point.is_some() && point != device(&self.home)
    }

    /// Says how many layers have no files here.
    pub(super) fn finish(self, problems: &mut Problems) {
        if self.unmounted == 0 {
            return;
        }
        let cause = format!(
            "{} layers are on thin devices that are not mounted here: they are neither scanned nor watched, and whoever \
             can open the pool or its devices reads them",
            self.unmounted
        );
        problems.add(ProblemKind::NotMounted, &self.home, "look at the layers", &cause);
    }
}

/// The files or devices that the pool is made of, where they are files: loop devices lie on them.
pub(in crate::catalog) fn loop_files(root: &Path) -> [PathBuf; 2] {
    ["data", "metadata"].map(|name| root.join("devicemapper/devicemapper").join(name))
}

/// The directory with an entry for each of the driver's layers.
pub(super) fn listing(place: &Place) -> PathBuf {
    if place.driver == Driver::Devicemapper {
        place.root.join(RECORDS)
    } else {
        place.root.join(layout::home(place.driver))
    }
}
