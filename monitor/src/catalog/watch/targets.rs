//! What is to be watched of each store, and where one may appear.
//!
//! Invariant: pure but for links, which are followed so that a store is watched where it lies. Called by the knowledge
//! task after each reading.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::super::describe::store_id;
use super::super::layout::{self, Entries};
use super::super::marks::StoreRoot;
use super::super::{Catalog, Host, discover};
use crate::model::{Engine, StoreId};

/// A store to watch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Target {
    /// The store.
    pub store: StoreId,
    /// Its index directories, as host paths, with the entries that matter; they need not exist yet.
    pub directories: Vec<(PathBuf, Entries)>,
    /// The directories whose modes decide who can read the store.
    pub gates: Vec<Gate>,
}

/// A directory whose mode decides who gets further.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Gate {
    /// The directory, as a host path.
    pub directory: PathBuf,
    /// The entry that the way goes on by; absent where every entry counts.
    pub next: Option<OsString>,
}

/// The stores to watch: those of the catalog, and the roots at which one may appear.
pub fn targets(host: &Host, catalog: &Catalog, configured: &[PathBuf]) -> Vec<Target> {
    let known = catalog.stores.iter().filter_map(|store| {
        let root = StoreRoot {
            path: host.host_path(&store.root)?,
            engine: store.engine,
            driver: store.driver,
        };
        Some((store.id.clone(), root))
    });
    let known: Vec<(StoreId, StoreRoot)> = known.collect();
    let expected = discover::expected_roots(host, configured).into_iter();
    let expected: Vec<StoreRoot> = expected
        .map(|expected| StoreRoot {
            path: host.resolve(&expected.path).unwrap_or(expected.path),
            ..expected
        })
        .filter(|expected| known.iter().all(|(_, known)| known.path != expected.path))
        .collect();
    let known = known.into_iter().map(|(store, root)| {
        let aside = aside(&root, &catalog.blob_places)
            .into_iter()
            .map(|place| (place, Entries::Blobs));
        let mut target = target(store, &root);
        target.directories.extend(aside);
        target
    });
    // Nobody can read what is not there.
    let expected = expected.into_iter().map(|root| Target {
        gates: Vec::new(),
        ..target(store_id(root.driver, &root.path), &root)
    });
    known.chain(expected).collect()
}

/// Where a store's engine puts blobs aside, besides its indexes.
fn aside(root: &StoreRoot, places: &[PathBuf]) -> Vec<PathBuf> {
    match root.engine {
        Engine::Docker => vec![root.path.join("tmp")],
        Engine::ContainersStorage | Engine::CriO => places.to_vec(),
        Engine::Containerd | Engine::BuildKit => Vec::new(),
    }
}

fn target(store: StoreId, root: &StoreRoot) -> Target {
    let indexes = layout::indexes(root.engine, root.driver).into_iter();
    Target {
        store,
        gates: gates(&root.path, layout::home_of(root.engine, root.driver)),
        directories: indexes
            .map(|index| (root.path.join(index.path), index.entries))
            .collect(),
    }
}

/// Every directory from the host's root to the layers' own directories.
fn gates(root: &Path, home: &str) -> Vec<Gate> {
    let layers = root.join(home);
    let above = layers.ancestors().skip(1).zip(layers.ancestors());
    let mut gates: Vec<Gate> = above
        .map(|(directory, next)| Gate {
            directory: directory.to_owned(),
            next: next.file_name().map(OsString::from),
        })
        .collect();
    gates.push(Gate {
        directory: layers,
        next: None,
    });
    gates
}
