//! The layers of a store, from its layer and container indexes and the directories that should be there.
//!
//! Invariant: each id once, the stable index before the volatile one. Called by `read`.

use std::collections::BTreeSet;
use std::path::Path;

use super::super::names::{checked_id, cut, present, time};
use super::super::problem::{ProblemKind, Problems};
use super::super::reading::{self, LayerSet};
use super::super::{index, layout};
use super::Place;
use super::records::{ContainerRecord, LayerRecord};
use crate::model::{DevIno, Digest, Layer, LayerId, LayerKey, LayerState};

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
    let content = layout::content(place.driver, &directory);
    Ok(Layer {
        key: LayerKey {
            store: place.store.clone(),
            layer: LayerId::new(id),
        },
        diff_id: digest(record.diff_digest.as_deref(), &directory, problems),
        blob_digest: digest(record.compressed_diff_digest.as_deref(), &directory, problems),
        toc_digest: digest(record.toc_digest.as_deref(), &directory, problems),
        parent: parent.map(LayerId::new),
        content_key: content_key(&directory, &content, state, problems),
        content,
        size_bytes: record.diff_size.and_then(|size| u64::try_from(size).ok()),
        created: time(record.created.as_deref()),
        state,
        build_cache: None,
        device: None,
    })
}

fn digest(text: Option<&str>, layer: &Path, problems: &mut Problems) -> Option<Digest> {
    reading::digest(present(text)?, "read a layer's digest", layer, problems)
}

fn content_key(
    directory: &Path,
    content: &Path,
    state: LayerState,
    problems: &mut Problems,
) -> Option<DevIno> {
    let is_expected = state != LayerState::Incomplete;
    let key = reading::content_key(directory, content, is_expected, problems)?;
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
