//! The layers of a store, from its layer and container indexes and the directories that should be there.
//!
//! Invariant: each id once, the stable index before the volatile one; a layer's directory counts only when neither it
//! nor the level above is a symbolic link. Called by `read`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::super::problem::{ProblemKind, Problems};
use super::names::{checked_id, present, time};
use super::records::{ContainerRecord, LayerRecord};
use super::{Place, index};
use crate::model::{DevIno, Digest, Layer, LayerId, LayerKey, LayerState};

/// The layers of one store.
#[derive(Debug, Default)]
pub(super) struct LayerSet {
    pub(super) found: BTreeMap<LayerKey, Layer>,
    /// An index could not be read whole.
    pub(super) incomplete: bool,
}

/// Index files of layers, and whether layers in them vanish with a reboot, which only containers' layers do.
const LAYER_INDEXES: [(&str, bool); 2] = [("layers.json", false), ("volatile-layers.json", true)];

pub(super) fn read(place: &Place<'_>, problems: &mut Problems) -> LayerSet {
    let of_containers = container_layers(place, problems);
    let mut set = LayerSet::default();
    for (name, volatile) in LAYER_INDEXES {
        let file = place.layers.join(name);
        let index = index::read::<LayerRecord>(&file, problems);
        set.incomplete |= index.incomplete;
        for record in &index.records {
            let layer = match layer(place, record, volatile, &of_containers, problems) {
                Ok(layer) => layer,
                Err(why) => {
                    problems.add(
                        ProblemKind::BadRecord,
                        &file,
                        "read a layer",
                        &format!("{why}: {:?}", cut(&record.id)),
                    );
                    continue;
                }
            };
            if set.found.contains_key(&layer.key) {
                problems.add(
                    ProblemKind::DuplicateId,
                    &file,
                    "read a layer",
                    layer.key.layer.as_str(),
                );
            } else {
                set.found.insert(layer.key.clone(), layer);
            }
        }
    }
    set
}

fn container_layers(place: &Place<'_>, problems: &mut Problems) -> BTreeSet<String> {
    ["containers.json", "volatile-containers.json"]
        .iter()
        .flat_map(|name| index::read::<ContainerRecord>(&place.containers.join(name), problems).records)
        .filter_map(|container| container.layer)
        .collect()
}

fn layer(
    place: &Place<'_>,
    record: &LayerRecord,
    volatile: bool,
    of_containers: &BTreeSet<String>,
    problems: &mut Problems,
) -> Result<Layer, &'static str> {
    let id = checked_id(&record.id)?;
    let parent = present(record.parent.as_deref()).map(checked_id).transpose()?;
    let state = if record.is_incomplete() {
        LayerState::Incomplete
    } else if volatile || of_containers.contains(id) {
        LayerState::Container
    } else {
        // `link` raises it when an image reaches it.
        LayerState::Dangling
    };
    let directory = place.driver_home.join(id);
    Ok(Layer {
        key: LayerKey {
            store: place.store.clone(),
            layer: LayerId::new(id),
        },
        diff_id: digest(record.diff_digest.as_deref(), &directory, problems),
        blob_digest: digest(record.compressed_diff_digest.as_deref(), &directory, problems),
        parent: parent.map(LayerId::new),
        content_key: content_key(&directory, state, problems),
        content: directory.join("diff"),
        size_bytes: record.diff_size.and_then(|size| u64::try_from(size).ok()),
        created: time(record.created.as_deref()),
        state,
    })
}

fn digest(text: Option<&str>, layer: &Path, problems: &mut Problems) -> Option<Digest> {
    let text = present(text)?;
    Digest::parse(text)
        .map_err(|error| {
            problems.add(
                ProblemKind::BadRecord,
                layer,
                "read a layer's digest",
                &error.to_string(),
            );
        })
        .ok()
}

fn content_key(directory: &Path, state: LayerState, problems: &mut Problems) -> Option<DevIno> {
    let content = directory.join("diff");
    match plain_directory(directory).and_then(|_| plain_directory(&content)) {
        Ok(key) => {
            if directory.join("composefs-data/composefs.blob").exists() {
                let cause = "composefs: the names of its files are in composefs.blob";
                problems.add(
                    ProblemKind::UnsupportedLayer,
                    directory,
                    "look at a layer's content",
                    cause,
                );
            }
            Some(key)
        }
        Err(error) => {
            // A layer that is being written has no directory yet.
            if state != LayerState::Incomplete {
                let operation = "look at a layer's content";
                problems.add(
                    ProblemKind::MissingContent,
                    &content,
                    operation,
                    &error.to_string(),
                );
            }
            None
        }
    }
}

fn plain_directory(path: &Path) -> std::io::Result<DevIno> {
    let metadata = path.symlink_metadata()?;
    if metadata.is_dir() {
        Ok(DevIno::of(&metadata))
    } else {
        Err(std::io::ErrorKind::NotADirectory.into())
    }
}

fn cut(text: &str) -> String {
    text.chars().take(80).collect()
}
