//! The on-disk format of containers/storage (Podman, Buildah, CRI-O, Skopeo), drivers overlay, vfs, btrfs and zfs.
//!
//! Invariant: what the indexes say never leads outside the store's root, and one broken index takes nothing of the
//! other. Format: storage/layers.go, images.go, containers.go of containers/storage; the indexes are replaced by
//! rename, so a file that was opened is whole or damaged, never half-written. Called by `catalog::refresh` for each
//! store; chains of layers, which may cross stores, are followed when all stores are known.

mod big_data;
mod images;
mod layers;
mod records;

use std::path::PathBuf;

use super::problem::Problems;
use super::reading::Contents;
use super::{Catalog, layout};
use crate::model::{Driver, Store, StoreId};

/// Reads what is in a store; what came with a layer that `previous` knew is not read again.
pub(super) fn contents(store: &Store, previous: &Catalog, problems: &mut Problems) -> Contents {
    let place = Place::new(store);
    Contents {
        layers: layers::read(&place, previous, problems),
        images: images::read(&place, problems),
        unlisted: 0,
    }
}

/// Where the parts of a store lie.
#[derive(Debug)]
struct Place<'a> {
    store: &'a StoreId,
    driver: Driver,
    /// Of driver zfs: what the layers' datasets are below.
    dataset: Option<&'a str>,
    /// `overlay`, `vfs/dir`, `btrfs/subvolumes` or `zfs/graph`: the layers' directories.
    driver_home: PathBuf,
    layers: PathBuf,
    images: PathBuf,
    containers: PathBuf,
}

impl<'a> Place<'a> {
    fn new(store: &'a Store) -> Self {
        let driver = store.driver.as_str();
        let index = |what: &str| store.root.join(format!("{driver}-{what}"));
        Self {
            store: &store.id,
            driver: store.driver,
            dataset: store.dataset.as_deref(),
            driver_home: store.root.join(layout::home(store.driver)),
            layers: index("layers"),
            images: index("images"),
            containers: index("containers"),
        }
    }
}

#[cfg(test)]
mod tests;
