//! What stores, layers and images exist on this host.
//!
//! Invariant: reading takes no lock, creates nothing and starts nothing; it never fails as a whole. What could not be
//! read is a [`Problem`] with its store, file, operation and cause, and everything else stays. Each engine's on-disk
//! format is a module of its own; `discover` finds the roots, `watch` says when an index changed, `arrivals` names what
//! is new. Called by the knowledge task and by the commands that list the cache.

mod arrivals;
mod backing;
mod containers_storage;
mod copies;
mod describe;
mod discover;
mod docker;
mod engine_config;
mod find;
mod homes;
mod host;
mod index;
mod layer_list;
mod layout;
mod link;
mod lookup;
mod marks;
mod mounts;
mod names;
mod problem;
mod reading;
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
        match read_one(host, &root, &mounts, previous) {
            // A bind mount shows one store at two places; the first one found counts.
            Ok(reading) if inodes.insert((reading.store.driver, reading.store.root_key)) => {
                catalog.stores.push(reading.store);
                catalog.layers.extend(reading.layers);
                catalog.problems.extend(reading.problems);
                images.extend(reading.images);
            }
            Ok(_) => {}
            Err(problem) => catalog.problems.push(problem),
        }
    }
    link::link(&mut catalog, images);
    catalog.raw_devices = backing::raw_devices(host, &catalog.stores, &mounts);
    catalog
}

/// Reads one store; from an index that cannot be read whole, what `previous` knew of it stays.
///
/// # Errors
/// The root itself could not be looked at.
fn read_one(
    host: &Host,
    root: &StoreRoot,
    mounts: &MountTable,
    previous: &Catalog,
) -> Result<Reading, Problem> {
    let store = describe::describe(host, root, mounts)?;
    let mut problems = Problems::of(&store.id);
    let mut contents = match store.engine {
        Engine::ContainersStorage => containers_storage::contents(&store, &mut problems),
        Engine::Docker => docker::contents(&store, previous, &mut problems),
        // Discovery makes no such root yet.
        Engine::Containerd => Contents::default(),
    };
    contents.layers.keep_from(previous, &store.id);
    contents.images.keep_from(previous, &store.id);
    Ok(Reading {
        layers: contents.layers.found,
        images: contents.images.found,
        problems: problems.into_list(&store.root),
        store: Store {
            unlisted: contents.unlisted,
            ..store
        },
    })
}
