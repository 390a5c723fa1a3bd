//! The on-disk format of containerd and all that embed it (Kubernetes, k3s, Docker 29, nerdctl, BuildKit), snapshotters
//! overlayfs, native and btrfs.
//!
//! Invariant: no lock is taken, no socket asked; what the databases say never leads outside the root. A store is what one
//! namespace has in one snapshotter: each namespace unpacks for itself, and the blobs below are all of theirs. Format:
//! `core/metadata/buckets.go`, `core/snapshots/storage/bolt.go` and `plugins/content/local` of containerd. Called by
//! `catalog::refresh` for each root.

mod builders;
mod content;
#[cfg(any(test, fuzzing))]
pub(super) mod fuzz;
mod images;
mod layers;
mod metadata;
mod namespace;
mod places;
mod snapshots;
mod state;
pub(super) mod values;

use std::path::{Path, PathBuf};

use super::describe::{describe, store_id};
use super::marks::StoreRoot;
use super::mounts::MountTable;
use super::problem::{Problem, ProblemKind, Problems};
use super::reading::{Contents, ImageSet, LayerSet, Reading};
use super::{Catalog, Host};
use crate::model::{Digest, Driver, Engine, Layer, Store, StoreId};
use metadata::Namespace;
use namespace::Part;
use places::Places;
use state::State;

/// Docker's own containerd, below its data root.
pub(super) const DOCKERS_OWN: &str = "containerd/daemon";

/// Reads what is in a root: a store for each namespace and snapshotter.
pub(super) fn read(
    host: &Host,
    root: &StoreRoot,
    mounts: &MountTable,
    previous: &Catalog,
    problems: &mut Vec<Problem>,
) -> Vec<Reading> {
    let seen = host.path(&root.path);
    let builders = builders::homes(host, root);
    let places = Places {
        engine: root.engine,
        root: &seen,
        builders: &builders,
    };
    let mut state = State::read(places);
    let mut store = |driver, namespace: Option<&str>| {
        let described = describe(
            host,
            &StoreRoot {
                driver,
                ..root.clone()
            },
            mounts,
        );
        let store = described.map_err(|problem| problems.push(problem)).ok()?;
        Some(Store {
            id: id(driver, &root.path, namespace),
            namespace: namespace.map(str::to_owned),
            ..store
        })
    };
    let mut readings: Vec<Reading> = Vec::new();
    for namespace in &state.metadata.namespaces {
        let mut parts: Vec<Part<'_>> = Vec::new();
        for (snapshotter, driver) in readable(namespace) {
            if let Some(store) = store(driver, Some(&namespace.name)) {
                parts.push(Part::new(store, namespace, &snapshotter));
            }
        }
        readings.extend(namespace::read(places, &state, namespace, parts));
    }
    keep_lost(&root.path, host, &state, previous, &mut readings);
    if readings.is_empty() && !runs_containers_only(&seen, &state) {
        // Nothing was pulled yet, or nothing can be read: the root is watched all the same.
        let empty = store(Driver::Overlayfs, None);
        readings.extend(empty.map(|store| reading(store, Contents::default(), None)));
    }
    for unread in unread(&state) {
        let operation = "read the store";
        problems.push(Problem::new(
            ProblemKind::UnsupportedStore,
            &root.path,
            operation,
            &unread,
        ));
    }
    if let Some(first) = readings.first_mut() {
        let mut complaints = Problems::of(&first.store.id);
        state.complain(&mut complaints);
        first.problems.extend(complaints.into_list(&seen));
    }
    for reading in &mut readings {
        keep_known(reading, state.incomplete, previous);
    }
    readings
}

/// `<driver>@<root>#<namespace>`.
fn id(driver: Driver, root: &Path, namespace: Option<&str>) -> StoreId {
    let root = store_id(driver, root);
    namespace.map_or_else(
        || root.clone(),
        |namespace| StoreId::new(&format!("{}#{namespace}", root.as_str())),
    )
}

/// Where a blob of a root is.
pub(super) fn blob(engine: Engine, root: &Path, digest: &Digest) -> PathBuf {
    let builders = &[];
    let places = Places {
        engine,
        root,
        builders,
    };
    places.blob(digest)
}

/// The driver of a snapshotter whose layers are read.
fn driver_of(snapshotter: &str) -> Option<Driver> {
    [Driver::Overlayfs, Driver::Native, Driver::Btrfs]
        .into_iter()
        .find(|driver| driver.as_str() == snapshotter)
}

/// Docker with a graph driver starts a containerd that holds no image.
fn runs_containers_only(root: &Path, state: &State) -> bool {
    let data_root = root.ancestors().nth(2).filter(|_| root.ends_with(DOCKERS_OWN));
    data_root.is_some_and(|data_root| data_root.join("image").is_dir())
        && state.metadata.namespaces.iter().all(is_empty)
}

fn is_empty(namespace: &Namespace) -> bool {
    namespace.images.is_empty() && namespace.snapshots.values().all(Vec::is_empty)
}

/// The snapshotters of a namespace that are read; for images that none has unpacked, the one that would be.
fn readable(namespace: &Namespace) -> Vec<(String, Driver)> {
    let used = namespace.snapshots.iter().filter(|(_, rows)| !rows.is_empty());
    let mut read: Vec<(String, Driver)> = used
        .filter_map(|(snapshotter, _)| Some((snapshotter.clone(), driver_of(snapshotter)?)))
        .collect();
    if read.is_empty() && !namespace.images.is_empty() {
        let driver = Driver::Overlayfs;
        read.push((driver.as_str().to_owned(), driver));
    }
    read
}

/// What is kept in a form that is not read.
fn unread(state: &State) -> Vec<String> {
    let namespaces = state.metadata.namespaces.iter();
    let snapshotters = namespaces.flat_map(|namespace| {
        let used = namespace.snapshots.iter().filter(|(_, rows)| !rows.is_empty());
        used.map(move |(snapshotter, rows)| (&namespace.name, snapshotter, rows.len()))
    });
    let unread = snapshotters.filter(|(_, snapshotter, _)| driver_of(snapshotter).is_none());
    let told = unread.map(|(namespace, snapshotter, count)| {
        let what = match snapshotter.as_str() {
            "devmapper" => "they are thin devices",
            "blockfile" => "they are images of file systems",
            "erofs" => "they are EROFS images",
            "stargz" | "nydus" | "soci" | "overlaybd" | "cvmfs-snapshotter" => {
                "their files are fetched when they are read"
            }
            "zfs" => "they are datasets",
            _ => "it is not known",
        };
        format!(
            "the {count} snapshots of namespace {namespace} in snapshotter {snapshotter} are not read yet ({what}): \
             they are neither scanned nor watched"
        )
    });
    told.collect()
}

fn reading(store: Store, contents: Contents, problems: Option<Problems>) -> Reading {
    Reading {
        layers: contents.layers.found,
        images: contents.images.found,
        problems: problems.map_or_else(Vec::new, |problems| problems.into_list(&store.root)),
        store: Store {
            unlisted: contents.unlisted,
            ..store
        },
    }
}

/// Where not all could be read, the stores that were there before stay.
fn keep_lost(root: &Path, host: &Host, state: &State, previous: &Catalog, readings: &mut Vec<Reading>) {
    if !state.incomplete {
        return;
    }
    let seen = host.path(root);
    let before = previous
        .stores
        .iter()
        .filter(|store| store.engine.is_containerd() && store.root == seen && store.namespace.is_some());
    for store in before {
        if readings.iter().all(|reading| reading.store.id != store.id) {
            readings.push(reading(store.clone(), Contents::default(), None));
        }
    }
}

fn keep_known(reading: &mut Reading, incomplete: bool, previous: &Catalog) {
    let mut layers = LayerSet {
        found: std::mem::take(&mut reading.layers),
        incomplete,
    };
    let mut images = ImageSet {
        found: std::mem::take(&mut reading.images),
        incomplete,
    };
    if incomplete {
        // What was unpacked is not packed again because its database cannot be read.
        let before = |layer: &Layer| previous.layer(&layer.key).is_none_or(Layer::is_packed);
        layers
            .found
            .retain(|_, layer| !layer.is_packed() || before(layer));
    }
    layers.keep_from(previous, &reading.store.id);
    images.keep_from(previous, &reading.store.id);
    reading.layers = layers.found;
    reading.images = images.found;
}

#[cfg(test)]
mod tests;
