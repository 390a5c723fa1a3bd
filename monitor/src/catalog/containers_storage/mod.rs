//! The on-disk format of containers/storage (Podman, Buildah, CRI-O, Skopeo), driver overlay.
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

use super::marks::StoreRoot;
use super::mounts::MountTable;
use super::problem::{Problem, Problems};
use super::reading::{Reading, describe};
use super::{Catalog, Host};
use crate::model::{Store, StoreId};

/// Reads one store; from an index that cannot be read whole, what `previous` knew of it stays.
///
/// # Errors
/// The root itself could not be looked at.
pub(super) fn read(
    host: &Host,
    root: &StoreRoot,
    mounts: &MountTable,
    previous: &Catalog,
) -> Result<Reading, Problem> {
    let store = describe(host, root, mounts)?;
    let mut problems = Problems::of(&store.id);
    let place = Place::new(&store);
    let mut layers = layers::read(&place, &mut problems);
    layers.keep_from(previous, &store.id);
    let mut images = images::read(&place, &mut problems);
    images.keep_from(previous, &store.id);
    Ok(Reading {
        layers: layers.found,
        images: images.found,
        problems: problems.into_list(&store.root),
        store,
    })
}

/// Where the parts of a store lie.
#[derive(Debug)]
struct Place<'a> {
    store: &'a StoreId,
    /// `overlay`: the layers' directories.
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
            driver_home: store.root.join(driver),
            layers: index("layers"),
            images: index("images"),
            containers: index("containers"),
        }
    }
}

#[cfg(test)]
mod tests;
