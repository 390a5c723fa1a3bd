//! A layer that is a file system of its own: on a thin device of a pool, or a dataset of one.
//!
//! Invariant: such a layer has files, and numbers by which they are watched, only while it is mounted where this process sees
//! it; whoever lists layers says of the others that they are not. Made by the catalog's readers of the drivers devicemapper
//! and zfs.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// What carries such a layer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LayerDevice {
    /// A thin device's name for device mapper, below `/dev/mapper` while it is active; a dataset's own, of which the last
    /// part alone is known where nothing tells the rest.
    pub name: String,
    /// What a thin device has besides.
    #[serde(flatten)]
    pub thin: Option<ThinDevice>,
    /// Whether its file system is mounted where this process sees it: else nothing of it can be scanned.
    pub is_mounted: bool,
    /// Marks of the files that came with the layer, sorted, where the store tells them: its own to compare.
    #[serde(skip)]
    pub files: Option<Arc<[u64]>>,
}

/// A thin device in its pool.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ThinDevice {
    /// Its number.
    pub id: u32,
    /// Its size, which is that of the file system and not of the layer.
    pub size_bytes: u64,
}
