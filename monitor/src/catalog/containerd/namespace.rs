//! One namespace: its images, and its layers in each of its snapshotters.
//!
//! Invariant: an image is in each snapshotter that has all its layers, and where none has, in the one that has the most; so
//! it is in one store at least. Called by the reader of a root.

use std::path::PathBuf;

use super::images::{self, NamespaceImage};
use super::layers::{self, Sources};
use super::metadata::{Namespace, SnapshotRow};
use super::places::Places;
use super::reading;
use super::state::State;
use crate::catalog::problem::Problems;
use crate::catalog::reading::{Contents, ImageSet, LayerSet, Reading};
use crate::model::{Digest, Store};

/// Directories of one snapshotter that are counted.
const MAX_DIRECTORIES: usize = 200_000;

/// A namespace in one snapshotter.
#[derive(Debug)]
pub(super) struct Part<'a> {
    store: Store,
    snapshotter: String,
    rows: &'a [SnapshotRow],
    problems: Problems,
}

impl<'a> Part<'a> {
    pub(super) fn new(store: Store, namespace: &'a Namespace, snapshotter: &str) -> Self {
        Self {
            problems: Problems::of(&store.id),
            rows: namespace.snapshots.get(snapshotter).map_or(&[], Vec::as_slice),
            snapshotter: snapshotter.to_owned(),
            store,
        }
    }
}

/// Reads the stores of a namespace.
pub(super) fn read(
    places: Places<'_>,
    state: &State,
    namespace: &Namespace,
    mut parts: Vec<Part<'_>>,
) -> Vec<Reading> {
    let Some(first) = parts.first_mut() else {
        return Vec::new();
    };
    let metadata = places.database();
    let images = images::read(places, namespace, &metadata, &mut first.problems);
    let none = super::snapshots::Snapshots::default();
    let mut sets: Vec<LayerSet> = Vec::new();
    for part in &mut parts {
        let sources = Sources {
            store: &part.store,
            places,
            records: &state.records,
            rows: part.rows,
            snapshots: state.snapshots.get(&part.snapshotter).unwrap_or(&none),
            metadata: &metadata,
        };
        sets.push(layers::unpacked(&sources, &images, &mut part.problems));
    }
    let homes: Vec<Vec<usize>> = images.iter().map(|image| homes(image, &parts, &sets)).collect();
    let mut readings = Vec::new();
    for (index, (part, mut set)) in parts.into_iter().zip(sets).enumerate() {
        let own = images
            .iter()
            .zip(&homes)
            .filter(|(_, homes)| homes.contains(&index));
        let own: Vec<&NamespaceImage> = own.map(|(image, _)| image).collect();
        let file = |digest: &Digest| blob(places, namespace, digest);
        layers::add_packed(&mut set, &part.store, &own, &file);
        let contents = Contents {
            layers: set,
            images: ImageSet {
                found: own.iter().map(|image| image.in_store(&part.store.id)).collect(),
                incomplete: false,
            },
            unlisted: unlisted(places, state, &part, namespace),
        };
        readings.push(reading(part.store, contents, Some(part.problems)));
    }
    readings
}

/// The places of the snapshotters that an image is in.
fn homes(image: &NamespaceImage, parts: &[Part<'_>], sets: &[LayerSet]) -> Vec<usize> {
    let counts = parts.iter().zip(sets);
    let counts: Vec<usize> = counts
        .map(|(part, set)| layers::unpacked_count(set, &part.store, image))
        .collect();
    let most = counts.iter().copied().max().unwrap_or(0);
    let mut homes: Vec<usize> = (0..counts.len())
        .filter(|index| counts.get(*index) == Some(&most))
        .collect();
    if most < image.layers.len() || most == 0 {
        homes.truncate(1);
    }
    homes
}

/// The file of a blob that the namespace has.
fn blob(places: Places<'_>, namespace: &Namespace, digest: &Digest) -> Option<PathBuf> {
    let file = places.blob(digest);
    let is_there = namespace.blobs.contains_key(digest)
        && file.symlink_metadata().is_ok_and(|metadata| metadata.is_file());
    is_there.then_some(file)
}

/// How many directories of the snapshotter are no snapshot, told of its first namespace.
fn unlisted(places: Places<'_>, state: &State, part: &Part<'_>, namespace: &Namespace) -> u64 {
    let has_rows = |other: &&Namespace| {
        other
            .snapshots
            .get(&part.snapshotter)
            .is_some_and(|rows| !rows.is_empty())
    };
    let first = state.metadata.namespaces.iter().find(has_rows);
    let Some(known) = state
        .snapshots
        .get(&part.snapshotter)
        .filter(|_| first.is_some_and(|first| first.name == namespace.name))
    else {
        return 0;
    };
    let numbers: std::collections::BTreeSet<u64> = known.values().map(|snapshot| snapshot.number).collect();
    let home = places.home(part.store.driver);
    let entries = std::fs::read_dir(home).into_iter().flatten();
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let unlisted = names
        .take(MAX_DIRECTORIES)
        .filter(|name| name.parse().map_or(true, |number| !numbers.contains(&number)));
    u64::try_from(unlisted.count()).unwrap_or(u64::MAX)
}
