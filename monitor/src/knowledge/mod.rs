//! The immutable snapshot that the event plane reads: what is cached on this host, what was found in it, who can read
//! it and what it deserves.
//!
//! Invariant: never changed once built; each newer one has a higher generation. Every lookup is by inode or by id; a
//! path only helps to name a layer after the kernel's watch has proved the store. Built from `KnowledgeParts`, read by
//! `attribute`, `judge`, `decide` and `pulls`.

mod locate;
mod parts;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

use crate::model::{
    DevIno, EngineSocket, Grade, Image, ImageReport, Layer, LayerId, LayerKey, LayerReport, Place,
    Provenance, Store, StoreId, TrustReport, text,
};
use locate::ContentPaths;
pub use parts::{
    AgentProcess, HostFacts, KnowledgeParts, KnownBlob, KnownConfig, KnownFinding, KnownVerdict,
};

/// One snapshot; see the module.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(from = "KnowledgeParts")]
pub struct Knowledge {
    parts: KnowledgeParts,
    stores: HashMap<StoreId, usize>,
    store_roots: HashMap<DevIno, usize>,
    index_directories: HashMap<DevIno, usize>,
    layers: HashMap<LayerKey, usize>,
    contents: HashMap<DevIno, usize>,
    content_paths: ContentPaths,
    images_of_layer: HashMap<LayerKey, Vec<usize>>,
    findings: HashMap<DevIno, Vec<usize>>,
    configs: HashMap<DevIno, usize>,
    blobs: HashMap<DevIno, Vec<usize>>,
    scanned: HashSet<LayerKey>,
    engines: HashSet<DevIno>,
}

impl From<KnowledgeParts> for Knowledge {
    fn from(parts: KnowledgeParts) -> Self {
        let mut knowledge = Self {
            scanned: parts.scanned.iter().cloned().collect(),
            engines: parts.engine_executables.iter().copied().collect(),
            ..Self::default()
        };
        for (at, store) in parts.stores.iter().enumerate() {
            knowledge.stores.insert(store.id.clone(), at);
            knowledge.store_roots.insert(store.root_key, at);
            knowledge
                .store_roots
                .extend(store.layer_directories.iter().map(|(_, key)| (*key, at)));
            let directories = store.index_directories.iter();
            knowledge
                .index_directories
                .extend(directories.map(|(_, key)| (*key, at)));
        }
        for (at, layer) in parts.layers.iter().enumerate() {
            knowledge.layers.insert(layer.key.clone(), at);
            if let Some(key) = layer.content_key {
                knowledge.contents.insert(key, at);
            }
        }
        for (at, image) in parts.images.iter().enumerate() {
            for layer in &image.layers {
                let key = LayerKey {
                    store: image.store.clone(),
                    layer: layer.clone(),
                };
                knowledge.images_of_layer.entry(key).or_default().push(at);
            }
        }
        for (at, known) in parts.findings.iter().enumerate() {
            if let Place::File { key, .. } = &known.finding.place {
                knowledge.findings.entry(*key).or_default().push(at);
            }
        }
        let configs = parts.configs.iter().enumerate();
        knowledge.configs = configs.map(|(at, config)| (config.key, at)).collect();
        for (at, blob) in parts.blobs.iter().enumerate() {
            knowledge.blobs.entry(blob.key).or_default().push(at);
        }
        knowledge.content_paths = ContentPaths::new(&parts.stores, &parts.layers);
        knowledge.parts = parts;
        knowledge
    }
}

impl Serialize for Knowledge {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.parts.serialize(serializer)
    }
}

impl Knowledge {
    /// What it was built from.
    pub fn parts(&self) -> &KnowledgeParts {
        &self.parts
    }

    /// The number of this snapshot.
    pub fn generation(&self) -> u64 {
        self.parts.generation
    }

    /// When the state it describes was read.
    pub fn built(&self) -> jiff::Timestamp {
        self.parts.built
    }

    /// Facts of the host.
    pub fn host(&self) -> &HostFacts {
        &self.parts.host
    }

    /// A store by its id.
    pub fn store(&self, id: &StoreId) -> Option<&Store> {
        self.parts.stores.get(*self.stores.get(id)?)
    }

    /// The store whose graph root, layer directory or index directory has this inode.
    pub fn store_of_directory(&self, key: DevIno) -> Option<&Store> {
        let at = self
            .store_roots
            .get(&key)
            .or_else(|| self.index_directories.get(&key))?;
        self.parts.stores.get(*at)
    }

    /// The same, and those that share the directory with it, as containerd's namespaces do.
    pub fn stores_of_directory(&self, key: DevIno) -> impl Iterator<Item = &Store> {
        let of_directory = self.store_of_directory(key);
        let shares = move |store: &&Store| {
            store.root_key == key
                || store
                    .layer_directories
                    .iter()
                    .any(|(_, of_store)| *of_store == key)
        };
        let others = self.parts.stores.iter().filter(shares);
        let others = others.filter(move |store| of_directory.is_some_and(|first| first.id != store.id));
        of_directory.into_iter().chain(others)
    }

    /// The store whose commits show in the directory with this inode.
    pub fn store_of_index(&self, key: DevIno) -> Option<&Store> {
        self.parts.stores.get(*self.index_directories.get(&key)?)
    }

    /// A layer by its key.
    pub fn layer(&self, key: &LayerKey) -> Option<&Layer> {
        self.parts.layers.get(*self.layers.get(key)?)
    }

    /// The layer whose content directory has this inode.
    pub fn layer_of_content(&self, key: DevIno) -> Option<&Layer> {
        self.parts.layers.get(*self.contents.get(&key)?)
    }

    /// The layer of `store` that a path inside the file system names, and the rest of the path, for people only.
    pub fn locate(&self, store: &StoreId, path: &[u8]) -> Option<(&Layer, Vec<u8>)> {
        let (at, rest) = self.content_paths.locate(store, path)?;
        Some((self.parts.layers.get(at)?, rest))
    }

    /// The images that contain a layer.
    pub fn images_of(&self, layer: &LayerKey) -> impl Iterator<Item = &Image> {
        let places = self.images_of_layer.get(layer).into_iter().flatten();
        places.filter_map(|at| self.parts.images.get(*at))
    }

    /// An image by its store and id.
    pub fn image(&self, store: &StoreId, id: &crate::model::ImageId) -> Option<&Image> {
        self.parts
            .images
            .iter()
            .find(|image| image.store == *store && image.id == *id)
    }

    /// The findings in a file, by its inode.
    pub fn findings_of(&self, file: DevIno) -> impl Iterator<Item = &KnownFinding> {
        let places = self.findings.get(&file).into_iter().flatten();
        places.filter_map(|at| self.parts.findings.get(*at))
    }

    /// The findings in an image's configuration, by the file's inode.
    pub fn config_of(&self, file: DevIno) -> Option<&KnownConfig> {
        self.parts.configs.get(*self.configs.get(&file)?)
    }

    /// The layers that a file is the blob of, by the file's inode.
    pub fn blobs_of(&self, file: DevIno) -> impl Iterator<Item = &KnownBlob> {
        let places = self.blobs.get(&file).into_iter().flatten();
        places.filter_map(|at| self.parts.blobs.get(*at))
    }

    /// The findings that came with a layer.
    pub fn findings_in<'k>(&'k self, layer: &'k LayerKey) -> impl Iterator<Item = &'k KnownFinding> {
        let findings = self.parts.findings.iter();
        findings.filter(move |known| known.finding.place.layer() == Some(layer))
    }

    /// The findings, each once also where layers are copies and several inodes hold it.
    pub fn distinct_findings(&self) -> impl Iterator<Item = &KnownFinding> {
        let mut seen = HashSet::new();
        self.parts.findings.iter().filter(move |known| {
            let finding = &known.finding;
            let Place::File {
                layer, path, line, ..
            } = &finding.place
            else {
                return true;
            };
            seen.insert((layer, path, line, &finding.rule, &finding.fingerprint))
        })
    }

    /// Whether a layer's content has been scanned.
    pub fn is_scanned(&self, layer: &LayerKey) -> bool {
        self.scanned.contains(layer)
    }

    /// The layers that can be scanned and have not been.
    pub fn unscanned(&self) -> impl Iterator<Item = &Layer> {
        let layers = self.parts.layers.iter();
        layers.filter(|layer| layer.is_scannable() && !self.is_scanned(&layer.key))
    }

    /// Whether each layer that can be scanned has been.
    pub fn is_complete(&self) -> bool {
        self.unscanned().next().is_none()
    }

    /// Whether an executable is a container engine's.
    pub fn is_engine(&self, exe: DevIno) -> bool {
        self.engines.contains(&exe)
    }

    /// The engine's socket with this inode.
    pub fn engine_socket(&self, key: DevIno) -> Option<&EngineSocket> {
        self.parts.engine_sockets.iter().find(|socket| socket.key == key)
    }

    /// Whether a later layer hides the finding's file in each image that contains it; a file of no image is not hidden.
    pub fn is_shadowed(&self, known: &KnownFinding) -> bool {
        let Place::File {
            layer: Some(layer), ..
        } = &known.finding.place
        else {
            return false;
        };
        let mut images = self.images_of(layer).peekable();
        images.peek().is_some()
            && images.all(|image| {
                let mut states = known.visibility.iter();
                states.any(|(id, visibility)| *id == image.id && visibility.is_shadowed())
            })
    }

    /// The worst provenance and the worst quality of some images; unknown where there is no verdict.
    pub fn trust_of<'a>(&self, images: impl IntoIterator<Item = &'a Image>) -> TrustReport {
        let mut worst: Option<TrustReport> = None;
        let mut add = |provenance: Provenance, quality: Grade| {
            let one = worst.get_or_insert(TrustReport { provenance, quality });
            one.provenance = one.provenance.min(provenance);
            one.quality = one.quality.max(quality);
        };
        for image in images {
            let mut judged = false;
            for known in &self.parts.verdicts {
                if known.image == image.id && known.store == image.store {
                    judged = true;
                    add(known.verdict.provenance, known.verdict.quality);
                }
            }
            if !judged {
                add(Provenance::Unknown, Grade::Unknown);
            }
        }
        worst.unwrap_or(TrustReport {
            provenance: Provenance::Unknown,
            quality: Grade::Unknown,
        })
    }

    /// A layer as reports name it; absent when its store is unknown.
    pub fn layer_report(&self, layer: &Layer) -> Option<LayerReport> {
        Some(LayerReport {
            engine: self.store(&layer.key.store)?.engine,
            store: layer.key.store.clone(),
            id: layer.key.layer.clone(),
            diff_id: layer.diff_id.clone(),
            state: layer.state,
        })
    }

    /// The layers of an image as reports name them, base first.
    pub fn layer_reports(&self, image: &Image) -> Vec<LayerReport> {
        let report = |layer: &LayerId| {
            let key = LayerKey {
                store: image.store.clone(),
                layer: layer.clone(),
            };
            self.layer_report(self.layer(&key)?)
        };
        image.layers.iter().filter_map(report).collect()
    }
}

/// An image as reports name it.
pub fn image_report(image: &Image) -> ImageReport {
    ImageReport {
        name: image
            .names
            .first()
            .map(|name| text::printable(name.as_bytes()).to_string()),
        id: image.id.clone(),
        digest: image.digest.clone(),
    }
}
