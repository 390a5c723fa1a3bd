//! What stores, layers and images exist on this host.
//!
//! Invariant: reading takes no lock, creates nothing and starts nothing; it never fails as a whole. What could not be
//! read is a [`Problem`] with its store, file, operation and cause, and everything else stays. Each engine's on-disk
//! format is a module of its own; `discover` finds the roots, `watch` says when an index changed, `arrivals` names what
//! is new. Called by the knowledge task and by the commands that list the cache.

mod arrivals;
mod backing;
mod bolt;
mod buildkit;
mod chain;
mod containerd;
mod containers_storage;
mod copies;
mod crio;
mod datasets;
mod describe;
mod discover;
mod docker;
mod driver_options;
mod engine_config;
mod find;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod homes;
mod host;
mod image_config;
mod index;
mod layer_list;
mod layout;
mod leftovers;
mod link;
mod lookup;
mod marks;
mod mount_points;
mod mounts;
mod names;
mod problem;
mod reading;
mod running;
mod tar_split;
mod user_config;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use arrivals::{Arrival, arrivals};
pub use find::{EntryKind, Found, Hit, Pattern};
pub use host::{Host, HostError};
pub use layout::Entries;
pub use lookup::Location;
pub use problem::{Problem, ProblemKind};
pub use watch::{StoreEvent, StoreWatch, Target, UnwatchedReason, WatchError, targets};

use self::marks::StoreRoot;
pub(crate) use self::mounts::{Mount, MountTable};
use self::problem::Problems;
use self::reading::{Contents, Reading};
use crate::model::{Engine, Image, Layer, LayerKey, RawDevice, Store};

/// All stores of a host with their layers and images, as they were at one moment.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Catalog {
    /// The stores that could be recognised and are read.
    pub stores: Vec<Store>,
    /// Every layer of every store; a list in JSON.
    #[serde(with = "layer_list")]
    pub layers: BTreeMap<LayerKey, Layer>,
    /// Every image of every store.
    pub images: Vec<Image>,
    /// The devices and image files that hold the stores.
    #[serde(default)]
    pub raw_devices: Vec<RawDevice>,
    /// What could not be read or believed.
    pub problems: Vec<Problem>,
    /// Where pulls put blobs aside outside of stores, as host paths.
    #[serde(skip)]
    pub blob_places: Vec<PathBuf>,
}

/// Reads the stores at the `configured` roots (host paths) or, where none is configured, all that discovery finds.
pub fn read(host: &Host, configured: &[PathBuf]) -> Catalog {
    refresh(&Catalog::default(), host, configured)
}

/// Reads again; where an index cannot be read now, what `previous` knew from it stays, beside the problem.
///
/// So a store that is damaged for a moment does not fall out of the watch set.
pub fn refresh(previous: &Catalog, host: &Host, configured: &[PathBuf]) -> Catalog {
    let mut catalog = Catalog::default();
    let mounts = MountTable::read().unwrap_or_else(|error| {
        let cause = problem::chain(&error);
        let table = Path::new("/proc/self/mountinfo");
        catalog.problems.push(Problem::new(
            ProblemKind::Unreadable,
            table,
            "read the mount table",
            &cause,
        ));
        MountTable::default()
    });
    let mut images = Vec::new();
    let mut inodes = BTreeSet::new();
    for root in discover::stores(host, configured, &mounts, &mut catalog.problems) {
        for reading in read_root(host, &root, &mounts, previous, &mut catalog.problems) {
            let store = &reading.store;
            // A bind mount shows one store at two places; the first one found counts.
            if inodes.insert((store.driver, store.root_key, store.namespace.clone())) {
                catalog.stores.push(reading.store);
                catalog.layers.extend(reading.layers);
                catalog.problems.extend(reading.problems);
                images.extend(reading.images);
            }
        }
    }
    link::link(&mut catalog, images);
    leftovers::add(host, configured.is_empty(), previous, &mut catalog);
    catalog.raw_devices = backing::raw_devices(host, &catalog.stores, &mounts);
    catalog
}

/// Reads the stores of a root, which are several where namespaces share it; of what cannot be read whole, what `previous`
/// knew stays. What is no store's is a problem of the `catalog`'s.
fn read_root(
    host: &Host,
    root: &StoreRoot,
    mounts: &MountTable,
    previous: &Catalog,
    problems: &mut Vec<Problem>,
) -> Vec<Reading> {
    let read: fn(&Store, &Catalog, &mut Problems) -> Contents = match root.engine {
        Engine::ContainersStorage | Engine::CriO => containers_storage::contents,
        Engine::Docker => docker::contents,
        Engine::Containerd | Engine::BuildKit => {
            return containerd::read(host, root, mounts, previous, problems);
        }
    };
    match describe::describe(host, root, mounts) {
        Ok(store) => vec![read_one(store, previous, read)],
        Err(problem) => {
            problems.push(problem);
            Vec::new()
        }
    }
}

fn read_one(
    store: Store,
    previous: &Catalog,
    read: fn(&Store, &Catalog, &mut Problems) -> Contents,
) -> Reading {
    let mut problems = Problems::of(&store.id);
    let mut contents = read(&store, previous, &mut problems);
    contents.layers.keep_from(previous, &store.id);
    contents.images.keep_from(previous, &store.id);
    Reading {
        layers: contents.layers.found,
        images: contents.images.found,
        problems: problems.into_list(&store.root),
        store: Store {
            unlisted: contents.unlisted,
            ..store
        },
    }
}
