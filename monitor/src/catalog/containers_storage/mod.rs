//! The on-disk format of containers/storage (Podman, Buildah, CRI-O, Skopeo), driver overlay.
//!
//! Invariant: what the indexes say never leads outside the store's root, and one broken index takes nothing of the
//! other. Format: storage/layers.go, images.go, containers.go of containers/storage; the indexes are replaced by
//! rename, so a file that was opened is whole or damaged, never half-written. Called by `catalog::read`, in two steps:
//! `read` for each store, then `link` when all stores are known, because a chain of layers may cross stores.

mod images;
mod index;
mod layers;
mod link;
mod names;
mod records;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub(super) use link::link;

use super::marks::StoreRoot;
use super::mounts::MountTable;
use super::problem::{Problem, ProblemKind, Problems};
use super::{Catalog, Host};
use crate::model::{DevIno, Engine, Image, ImageId, Layer, LayerId, LayerKey, Store, StoreId};

/// A store as far as it can be told without the others.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) store: Store,
    pub(super) layers: BTreeMap<LayerKey, Layer>,
    pub(super) images: Vec<Unlinked>,
    pub(super) problems: Vec<Problem>,
}

/// An image whose chains of layers have not been followed yet.
#[derive(Debug)]
pub(super) struct Unlinked {
    /// The image; its `layers` are filled by `link`.
    pub(super) image: Image,
    /// The top layer; absent in an artifact without layers.
    pub(super) top: Option<LayerId>,
    /// The top layers of copies for user namespaces.
    pub(super) mapped_tops: Vec<LayerId>,
}

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
    if layers.incomplete {
        for layer in previous
            .layers
            .values()
            .filter(|layer| layer.key.store == store.id)
        {
            layers
                .found
                .entry(layer.key.clone())
                .or_insert_with(|| layer.clone());
        }
    }
    let mut images = images::read(&place, &mut problems);
    if images.incomplete {
        images.keep_from(previous, &store.id);
    }
    Ok(Reading {
        layers: layers.found,
        images: images.found,
        problems: problems.into_list(&store.root),
        store,
    })
}

/// The id of the store with driver overlay at a host path.
pub(super) fn store_id(driver: crate::model::Driver, root: &Path) -> StoreId {
    StoreId::new(&format!("{}@{}", driver.as_str(), root.display()))
}

fn describe(host: &Host, root: &StoreRoot, mounts: &MountTable) -> Result<Store, Problem> {
    use std::os::unix::fs::MetadataExt;
    let fail = |kind, cause: &str| Problem::new(kind, &root.path, "look at the store's root", cause);
    if root.path.to_str().is_none() {
        return Err(fail(
            ProblemKind::UnsupportedStore,
            "the root's path is not UTF-8",
        ));
    }
    let seen = host.path(&root.path);
    let metadata = seen
        .symlink_metadata()
        .map_err(|error| fail(ProblemKind::Unreadable, &error.to_string()))?;
    let driver = root.driver.as_str();
    let keyed = |directory: PathBuf| {
        let key = DevIno::of(&directory.symlink_metadata().ok()?);
        Some((directory, key))
    };
    let index_directories = ["layers", "images"].map(|what| seen.join(format!("{driver}-{what}")));
    Ok(Store {
        id: store_id(root.driver, &root.path),
        engine: Engine::ContainersStorage,
        driver: root.driver,
        root_key: DevIno::of(&metadata),
        owner_uid: metadata.uid(),
        filesystem: mounts.filesystem_of(&seen).to_owned(),
        index_directories: index_directories.into_iter().filter_map(keyed).collect(),
        layer_directories: keyed(seen.join(driver)).into_iter().collect(),
        root: seen,
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

/// The images of one store, and whether its index could not be read whole.
#[derive(Debug, Default)]
struct ImageSet {
    found: Vec<Unlinked>,
    incomplete: bool,
}

impl ImageSet {
    fn keep_from(&mut self, previous: &Catalog, store: &StoreId) {
        let have: std::collections::BTreeSet<ImageId> = self
            .found
            .iter()
            .map(|unlinked| unlinked.image.id.clone())
            .collect();
        let lost = previous
            .images
            .iter()
            .filter(|image| image.store == *store && !have.contains(&image.id));
        self.found.extend(lost.map(|image| Unlinked {
            top: image.layers.last().cloned(),
            mapped_tops: image.mapped_layers.clone(),
            image: image.clone(),
        }));
    }
}

#[cfg(test)]
mod tests;
