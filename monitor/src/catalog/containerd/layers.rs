//! The layers of a namespace in one snapshotter: its snapshots, and what of its images is not unpacked.
//!
//! Invariant: a committed snapshot is a layer by its chain id, a mounted one a container; a layer that is in no snapshot is
//! its blob, which has no directory. Called by the reader of a root.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::images::{ImageLayer, NamespaceImage};
use super::metadata::SnapshotRow;
use super::places::Places;
use super::snapshots::{Kind, Snapshots};
use crate::catalog::buildkit::Records;
use crate::catalog::layout::{self, is_sha256_hex};
use crate::catalog::names::checked_id;
use crate::catalog::problem::{ProblemKind, Problems};
use crate::catalog::reading::{LayerSet, content_key};
use crate::model::{Digest, Layer, LayerId, LayerKey, LayerState, Store};

/// How the key of a snapshot begins that is being filled.
const UNPACKING: &str = "extract-";

/// A snapshot that is older is in both databases, or one of them is damaged.
const YOUNG: jiff::SignedDuration = jiff::SignedDuration::from_secs(10);

/// What the layers are read from.
pub(super) struct Sources<'a> {
    pub(super) store: &'a Store,
    pub(super) places: Places<'a>,
    pub(super) rows: &'a [SnapshotRow],
    pub(super) snapshots: &'a Snapshots,
    /// What a builder says of its own.
    pub(super) records: &'a Records,
    /// For messages.
    pub(super) metadata: &'a Path,
}

/// The layers that are unpacked, and those of containers.
pub(super) fn unpacked(
    sources: &Sources<'_>,
    images: &[NamespaceImage],
    problems: &mut Problems,
) -> LayerSet {
    let known: BTreeMap<&LayerId, &ImageLayer> = images
        .iter()
        .flat_map(|image| &image.layers)
        .map(|layer| (&layer.id, layer))
        .collect();
    let ids: BTreeMap<&str, LayerId> = sources
        .rows
        .iter()
        .filter_map(|row| {
            let snapshot = sources.snapshots.get(&row.name)?;
            Some((row.key.as_str(), layer_id(&row.key, snapshot.number)))
        })
        .collect();
    let mut set = LayerSet::default();
    for row in sources.rows {
        let (Some(snapshot), Some(id)) = (sources.snapshots.get(&row.name), ids.get(row.key.as_str())) else {
            // It is made in one database first and removed from the other first.
            if !row.key.starts_with(UNPACKING) && !is_being_made(row) {
                let cause = format!("the snapshotter does not know {:?}", row.name);
                problems.add(
                    ProblemKind::MissingLayer,
                    sources.metadata,
                    "find a snapshot",
                    &cause,
                );
            }
            continue;
        };
        let record = sources.records.get(&row.key);
        let of_image = known.get(id).filter(|_| snapshot.kind == Kind::Committed);
        let state = match snapshot.kind {
            // A builder goes on to write in some of what it keeps; what it pulled is known by its chain id.
            Kind::Committed | Kind::Active
                if of_image.is_none()
                    && Digest::parse(&row.key).is_err()
                    && record.is_some_and(|record| record.is_finished) =>
            {
                LayerState::BuildCache
            }
            Kind::Committed => LayerState::Dangling,
            Kind::Active if row.key.starts_with(UNPACKING) => LayerState::Incomplete,
            Kind::View | Kind::Active => LayerState::Container,
        };
        // What is mounted or a builder's may go while this looks.
        let stays = matches!(state, LayerState::Image | LayerState::Dangling);
        let directory = sources.places.snapshot(sources.store.driver, *snapshot);
        let content = layout::content(sources.store.driver, &directory);
        let layer = Layer {
            diff_id: of_image
                .map(|layer| &layer.diff_id)
                .or_else(|| record?.diff_id.as_ref())
                .cloned(),
            blob_digest: of_image
                .and_then(|layer| layer.blob.as_ref())
                .or_else(|| record?.blob.as_ref())
                .cloned(),
            toc_digest: None,
            parent: row
                .parent
                .as_deref()
                .map(|parent| ids.get(parent).cloned().unwrap_or_else(|| layer_id(parent, 0))),
            content_key: content_key(&directory, &content, stays, problems),
            content,
            size_bytes: snapshot.size_bytes.filter(|_| snapshot.kind == Kind::Committed),
            created: row.created,
            state,
            build_cache: record.map(|record| record.cache),
            device: None,
            key: key(sources.store, id),
        };
        set.found.entry(layer.key.clone()).or_insert(layer);
    }
    set
}

/// Whether it is so new that its snapshotter may not have it yet.
fn is_being_made(row: &SnapshotRow) -> bool {
    let age = row
        .created
        .map(|created| jiff::Timestamp::now().duration_since(created));
    age.is_some_and(|age| !age.is_negative() && age < YOUNG)
}

/// Adds the layers of images that are there as blobs alone.
pub(super) fn add_packed(
    set: &mut LayerSet,
    store: &Store,
    images: &[&NamespaceImage],
    file: &dyn Fn(&Digest) -> Option<PathBuf>,
) {
    for image in images {
        let mut below: Option<LayerId> = None;
        for layer in &image.layers {
            let key = key(store, &layer.id);
            let parent = below.replace(layer.id.clone());
            if set.found.contains_key(&key) {
                continue;
            }
            let Some((blob, content)) = layer
                .blob
                .as_ref()
                .and_then(|blob| Some((blob.clone(), file(blob)?)))
            else {
                continue;
            };
            let layer = Layer {
                key: key.clone(),
                diff_id: Some(layer.diff_id.clone()),
                blob_digest: Some(blob),
                toc_digest: None,
                parent,
                content,
                content_key: None,
                size_bytes: None,
                created: None,
                state: LayerState::Dangling,
                build_cache: None,
                device: None,
            };
            set.found.insert(key, layer);
        }
    }
}

/// How many of an image's layers a store has unpacked.
pub(super) fn unpacked_count(set: &LayerSet, store: &Store, image: &NamespaceImage) -> usize {
    let is_there = |layer: &&ImageLayer| {
        let found = set.found.get(&key(store, &layer.id));
        found.is_some_and(|layer| layer.state == LayerState::Dangling)
    };
    image.layers.iter().filter(is_there).count()
}

fn key(store: &Store, id: &LayerId) -> LayerKey {
    LayerKey {
        store: store.id.clone(),
        layer: id.clone(),
    }
}

/// The chain id in hex for a layer, else what its owner called the snapshot.
fn layer_id(key: &str, number: u64) -> LayerId {
    match key.strip_prefix("sha256:") {
        Some(hex) if is_sha256_hex(hex) => LayerId::new(hex),
        Some(_) | None if checked_id(key).is_ok() => LayerId::new(key),
        Some(_) | None => LayerId::new(&format!("snapshot-{number}")),
    }
}
