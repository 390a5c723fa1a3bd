//! What pulls, loads and builds write on their way, and leave behind when they fail: blobs and directories that no index names,
//! and layers that an index calls incomplete.
//!
//! Invariant: bounded in number and in what is counted. Each is a layer in the state `Leftover`, named by what it is, how
//! large and when it changed, so that one that grew is another; it is one only when a look found it unchanged since the one
//! before. Called by `catalog::refresh`.

mod ingest;
mod look;
mod places;

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use self::look::Look;
use super::{Catalog, Host};
use crate::model::{DevIno, Layer, LayerId, LayerKey, LayerState, LeftBlob, Leftovers, Store, StoreId};

/// Leftovers of one store that are told.
const MAX: usize = 1000;
/// Entries of one directory that are looked at for them.
const MAX_ENTRIES: usize = 20_000;
/// Files below leftovers of one store whose sizes are added.
const MAX_FILES: usize = 20_000;

/// What makes a file a blob of a pull.
#[derive(Default)]
struct Blob {
    /// What the blobs of one pull have in common.
    pull: String,
    lands: Option<PathBuf>,
}

/// A file or directory that is no part of a store yet.
struct Found {
    path: PathBuf,
    metadata: std::fs::Metadata,
    blob: Option<Blob>,
    /// The layer that an index calls incomplete.
    unfinished: Option<LayerKey>,
}

impl Found {
    fn at(path: PathBuf) -> Option<Self> {
        let metadata = path.symlink_metadata().ok()?;
        (metadata.is_file() || metadata.is_dir()).then_some(Self {
            path,
            metadata,
            blob: None,
            unfinished: None,
        })
    }

    fn changed(&self) -> Option<jiff::Timestamp> {
        let nanoseconds = i32::try_from(self.metadata.mtime_nsec()).ok()?;
        jiff::Timestamp::new(self.metadata.mtime(), nanoseconds).ok()
    }
}

/// Adds what the stores have of it. At the first look everything counts as unchanged but what an index calls incomplete. What
/// does not lie in a store is looked for where stores are discovered: which of some named ones it is on the way to cannot be told.
pub(super) fn add(host: &Host, is_discovery: bool, previous: &Catalog, catalog: &mut Catalog) {
    if is_discovery {
        catalog.blob_places = places::of(host, &previous.blob_places, &catalog.stores);
    }
    let mut told = BTreeSet::new();
    for at in 0..catalog.stores.len() {
        let Some(store) = catalog.stores.get(at).cloned() else {
            continue;
        };
        let mut look = Look::default();
        let mut found = look.of_store(&store, &namespaces(catalog, &store));
        if store.engine.is_containers_storage() {
            for place in &catalog.blob_places {
                found.extend(look.blobs(&host.path(place), store.owner_uid));
            }
        }
        let (unfinished, count) = unfinished(catalog, &store.id);
        found.extend(unfinished);
        catalog.problems.extend(look.cut(&store, found.len()));
        // Blobs of one user's pulls, and what a root's namespaces share, are the first store's.
        let mut found: Vec<Found> = found
            .into_iter()
            .filter(|one| told.insert(DevIno::of(&one.metadata)))
            .collect();
        found.truncate(MAX);
        let figures = tell(&store, found, previous, catalog);
        if let Some(store) = catalog.stores.get_mut(at) {
            store.leftovers = figures;
            store.leftovers.count += count;
        }
    }
}

/// Makes layers of what rests; the figures of all.
fn tell(store: &Store, found: Vec<Found>, previous: &Catalog, catalog: &mut Catalog) -> Leftovers {
    let is_first = previous.stores.is_empty();
    let before = previous.store(&store.id).map(|store| &store.leftovers);
    let mut figures = Leftovers::default();
    let mut budget = MAX_FILES;
    for one in found {
        let bytes = bytes(&one.path, &one.metadata, &mut budget);
        let layer = layer(store, &one, bytes);
        let changed = one.changed();
        figures.count += 1;
        figures.bytes += bytes;
        figures.oldest = figures.oldest.into_iter().chain(changed).min();
        figures.newest = figures.newest.max(changed);
        if let Some((blob, changed)) = one.blob.zip(changed) {
            figures.blobs.push(LeftBlob {
                pull: blob.pull,
                key: DevIno::of(&one.metadata),
                bytes,
                changed,
                lands: blob.lands,
            });
        }
        let was_seen = before.is_some_and(|before| before.seen.contains(&layer.key.layer));
        figures.seen.push(layer.key.layer.clone());
        if was_seen || (is_first && one.unfinished.is_none()) {
            // It is one thing, told once.
            if let Some(unfinished) = &one.unfinished {
                catalog.layers.remove(unfinished);
            }
            catalog.layers.insert(layer.key.clone(), layer);
        }
    }
    figures
}

/// The namespaces of a store's root that are stores of their own.
fn namespaces(catalog: &Catalog, store: &Store) -> BTreeSet<String> {
    let of_root = catalog
        .stores
        .iter()
        .filter(|other| other.root_key == store.root_key);
    of_root.filter_map(|other| other.namespace.clone()).collect()
}

/// The layers that an index calls incomplete and that have a directory, and how many have none.
fn unfinished(catalog: &Catalog, store: &StoreId) -> (Vec<Found>, u64) {
    let layers = catalog.layers.values();
    let layers = layers.filter(|layer| layer.key.store == *store && layer.state == LayerState::Incomplete);
    let mut found = Vec::new();
    let mut without = 0;
    for layer in layers {
        match Found::at(layer.content.clone()).filter(|one| one.metadata.is_dir()) {
            Some(one) => found.push(Found {
                unfinished: Some(layer.key.clone()),
                ..one
            }),
            None => without += 1,
        }
    }
    (found, without)
}

fn layer(store: &Store, found: &Found, bytes: u64) -> Layer {
    let Found { path, metadata, .. } = found;
    let mut hasher = DefaultHasher::new();
    (
        path,
        metadata.ino(),
        metadata.mtime(),
        metadata.mtime_nsec(),
        bytes,
    )
        .hash(&mut hasher);
    Layer {
        key: LayerKey {
            store: store.id.clone(),
            layer: LayerId::new(&format!("leftover-{:016x}", hasher.finish())),
        },
        diff_id: None,
        blob_digest: None,
        toc_digest: None,
        parent: None,
        content: path.clone(),
        content_key: metadata.is_dir().then(|| DevIno::of(metadata)),
        size_bytes: metadata.is_file().then_some(metadata.len()),
        created: jiff::Timestamp::from_second(metadata.mtime()).ok(),
        state: LayerState::Leftover,
        build_cache: None,
        device: None,
    }
}

/// The bytes of a file, or of the files below a directory, as far as the budget goes.
fn bytes(path: &Path, metadata: &std::fs::Metadata, budget: &mut usize) -> u64 {
    if metadata.is_file() {
        return metadata.len();
    }
    let mut total = 0;
    let mut todo = vec![path.to_owned()];
    while let Some(directory) = todo.pop() {
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            if *budget == 0 {
                return total;
            }
            *budget -= 1;
            // Of the entry itself, never of what a link leads to.
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_dir() {
                todo.push(entry.path());
            } else {
                total += metadata.len();
            }
        }
    }
    total
}

#[cfg(test)]
mod tests;
