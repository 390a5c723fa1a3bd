//! The layers of a store: those that `layerdb` names, and those of containers.
//!
//! Invariant: a layer's id is its chain id, a container's layer has the driver's own id; a file of a layer that cannot
//! be believed leaves its field empty, or the layer as it was known before. Called by `read`.

use std::collections::BTreeSet;
use std::path::Path;

use super::super::chain;
use super::super::layout::is_sha256_hex;
use super::super::problem::Problems;
use super::super::reading::{self, LayerSet};
use super::build_cache;
use super::devices::{self, Devices};
use super::fields::Fields;
use super::{Place, files, tar_split};
use crate::catalog::Catalog;
use crate::model::{Digest, Layer, LayerId, LayerKey, LayerState};

/// Entries of one directory of metadata: more than any daemon can work with.
const MAX_ENTRIES: usize = 50_000;

/// The ids of the driver that some layer has.
pub(super) type CacheIds = BTreeSet<String>;

pub(super) fn read(place: &Place, previous: &Catalog, problems: &mut Problems) -> (LayerSet, CacheIds) {
    let mut reader = Reader {
        place,
        previous,
        fields: Fields { place, problems },
        set: LayerSet::default(),
        used: CacheIds::new(),
        devices: Devices::of(place),
    };
    reader.images();
    reader.containers();
    reader.builds();
    if let Some(devices) = reader.devices.take() {
        devices.finish(reader.fields.problems);
    }
    (reader.set, reader.used)
}

/// How many of the driver's directories no layer has: build caches, layers being written, leftovers.
pub(super) fn unlisted(place: &Place, used: &CacheIds, problems: &mut Problems) -> u64 {
    let names = files::names(&devices::listing(place), MAX_ENTRIES, problems).unwrap_or_default();
    let is_layer = |name: &String| {
        let is_other = name == "l" || name.starts_with('.') || name.ends_with("-removing");
        !is_other && devices::is_layers(name)
    };
    let unlisted = names
        .iter()
        .filter(|name| is_layer(name) && !used.contains(*name));
    u64::try_from(unlisted.count()).unwrap_or(u64::MAX)
}

struct Reader<'a> {
    place: &'a Place,
    previous: &'a Catalog,
    fields: Fields<'a>,
    set: LayerSet,
    used: CacheIds,
    devices: Option<Devices>,
}

impl Reader<'_> {
    fn images(&mut self) {
        let home = self.place.metadata("layerdb/sha256");
        let Some(names) = files::names(&home, MAX_ENTRIES, self.fields.problems) else {
            self.set.incomplete = true;
            return;
        };
        for name in names {
            let directory = home.join(&name);
            if is_sha256_hex(&name) {
                let layer = self.layer(&name, &directory);
                self.set
                    .found
                    .extend(layer.map(|layer| (layer.key.clone(), layer)));
            } else if !name.ends_with("-removing") {
                self.fields.bad(&directory, "the name is no chain id");
            }
        }
    }

    /// A layer of an image; as it was known before, where a file of it is damaged now.
    fn layer(&mut self, name: &str, directory: &Path) -> Option<Layer> {
        let problems_before = self.fields.problems.count();
        let cache_id = self.fields.cache_id(&directory.join("cache-id"));
        let diff_id = self.fields.required_digest(&directory.join("diff"));
        let parent = self.fields.digest(&directory.join("parent"));
        if let Some(diff_id) = &diff_id
            && chain::on(parent.as_ref().map(Digest::hex), diff_id) != name
        {
            self.fields
                .bad(directory, "the chain id is not that of its parent and its diff");
        }
        let size_bytes = self.fields.size(&directory.join("size"));
        let blob_digest = diff_id
            .as_ref()
            .and_then(|diff_id| self.fields.blob_digest(diff_id));
        let key = self.key(name);
        if self.fields.problems.count() > problems_before
            && let Some(before) = self.previous.layer(&key)
        {
            self.used.extend(self.place.cache_id_of(&before.content));
            return Some(before.clone());
        }
        let mut layer = self.with_content(key, &cache_id?, LayerState::Dangling);
        let before = self
            .previous
            .layer(&layer.key)
            .and_then(|layer| layer.device.as_ref());
        if let Some(device) = &mut layer.device {
            // What came with a layer never changes.
            device.files = before
                .and_then(|device| device.files.clone())
                .or_else(|| tar_split::marks(&directory.join("tar-split.json.gz")));
        }
        Some(Layer {
            blob_digest,
            diff_id,
            parent: parent.map(|parent| LayerId::new(parent.hex())),
            size_bytes,
            ..layer
        })
    }

    /// A container's own layer, and the one with its mount points and host files that stands below it.
    fn containers(&mut self) {
        let home = self.place.metadata("layerdb/mounts");
        let Some(names) = files::names(&home, MAX_ENTRIES, self.fields.problems) else {
            self.set.incomplete = true;
            return;
        };
        for name in names {
            let directory = home.join(&name);
            let top = self.fields.digest(&directory.join("parent"));
            let mut below = top.map(|parent| LayerId::new(parent.hex()));
            // What the builder without BuildKit works in has no layer for host files below (`GetInitID`).
            let init = directory.join("init-id");
            let files = [
                Some(init).filter(|file| file.exists()),
                Some(directory.join("mount-id")),
            ];
            for file in files.into_iter().flatten() {
                let Some(id) = self.fields.cache_id(&file) else {
                    continue;
                };
                let layer = Layer {
                    parent: below.replace(LayerId::new(&id)),
                    ..self.with_content(self.key(&id), &id, LayerState::Container)
                };
                self.set.found.insert(layer.key.clone(), layer);
            }
        }
    }

    /// What builds keep, as far as it is no layer of an image's.
    fn builds(&mut self) {
        let Some(builder) = build_cache::read(&self.place.root, self.fields.problems) else {
            self.set.incomplete = true;
            return;
        };
        for (id, cache) in builder.made {
            let key = self.key(id.as_str());
            if let Some(layer) = self.set.found.get_mut(&key) {
                layer.build_cache = Some(cache);
            }
        }
        for one in builder.kept {
            if self.used.contains(&one.cache_id) {
                continue;
            }
            let record = one.record;
            let state = if one.is_finished {
                LayerState::BuildCache
            } else {
                LayerState::Incomplete
            };
            let layer = Layer {
                parent: one.parent,
                size_bytes: one.size_bytes,
                created: record.as_ref().and_then(|record| record.created),
                build_cache: record.map(|record| record.cache),
                ..self.with_content(self.key(&one.id), &one.cache_id, state)
            };
            self.set.found.insert(layer.key.clone(), layer);
        }
    }

    fn key(&self, id: &str) -> LayerKey {
        LayerKey {
            store: self.place.store.clone(),
            layer: LayerId::new(id),
        }
    }

    fn with_content(&mut self, key: LayerKey, cache_id: &str, state: LayerState) -> Layer {
        self.used.insert(cache_id.to_owned());
        let (directory, content) = self.place.content(cache_id);
        let problems = &mut *self.fields.problems;
        let device = self
            .devices
            .as_mut()
            .and_then(|devices| devices.device(cache_id, problems));
        // On a device that is not mounted nothing is expected.
        // A builder may be removing what it names.
        let is_kept = !matches!(state, LayerState::BuildCache | LayerState::Incomplete);
        let is_here = self.devices.is_none() || device.as_ref().is_some_and(|device| device.is_mounted);
        Layer {
            key,
            diff_id: None,
            blob_digest: None,
            toc_digest: None,
            parent: None,
            content_key: is_here
                .then(|| reading::content_key(&directory, &content, is_kept, problems))
                .flatten(),
            content,
            size_bytes: None,
            created: None,
            state,
            build_cache: None,
            device,
        }
    }
}
