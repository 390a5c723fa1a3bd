//! The on-disk format of Docker's own image store (dockerd with a graph driver): overlay2, vfs, btrfs, devicemapper.
//!
//! Invariant: what the metadata says never leads outside the store's root, and one broken file takes nothing of the
//! others. Format: layer/filestore.go, image/fs.go, reference/store.go of moby; every file is replaced by rename or
//! comes with its directory by rename, so a file that was opened is whole or damaged, never half-written. Called by
//! `catalog::refresh` for each store.

pub(super) mod build_cache;
pub(super) mod devices;
mod fields;
mod files;
mod images;
mod layers;
mod references;
pub(super) mod tar_split;

use std::path::{Path, PathBuf};

use super::problem::Problems;
use super::reading::Contents;
use super::{Catalog, layout};
use crate::model::{Driver, Store, StoreId};

/// Reads what is in a store; of a single layer or image that is damaged, what `previous` knew stays.
pub(super) fn contents(store: &Store, previous: &Catalog, problems: &mut Problems) -> Contents {
    let place = Place::new(store);
    let (layers, used) = layers::read(&place, previous, problems);
    Contents {
        layers,
        images: images::read(&place, previous, problems),
        unlisted: layers::unlisted(&place, &used, problems),
    }
}

/// Where the parts of a store lie.
#[derive(Debug)]
struct Place {
    store: StoreId,
    driver: Driver,
    root: PathBuf,
    /// `overlay2`, `vfs/dir` or `btrfs/subvolumes`: the layers' directories.
    home: PathBuf,
    /// `image/overlay2`: what they are.
    metadata: PathBuf,
}

impl Place {
    fn new(store: &Store) -> Self {
        Self {
            store: store.id.clone(),
            driver: store.driver,
            root: store.root.clone(),
            home: store.root.join(layout::home(store.driver)),
            metadata: store.root.join("image").join(store.driver.as_str()),
        }
    }

    /// Where the driver keeps the content of what it calls by this id.
    fn content(&self, cache_id: &str) -> (PathBuf, PathBuf) {
        let directory = self.home.join(cache_id);
        let content = layout::content(self.driver, &directory);
        (directory, content)
    }

    /// What the driver calls the layer with this content.
    fn cache_id_of(&self, content: &Path) -> Option<String> {
        let below = content.strip_prefix(&self.home).ok()?;
        Some(below.iter().next()?.to_str()?.to_owned())
    }

    fn metadata(&self, below: impl AsRef<Path>) -> PathBuf {
        self.metadata.join(below)
    }
}

#[cfg(test)]
mod tests;
