//! One store as far as it can be told without the others, and what every engine's reader does the same way.
//!
//! Invariant: a layer's directory counts only when neither it nor the level above is a symbolic link, and what an index
//! that cannot be read now said before stays. Made by the engines' modules, put together by `catalog::refresh`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::Catalog;
use super::problem::{Problem, ProblemKind, Problems};
use crate::model::{DevIno, Digest, Image, ImageId, Layer, LayerId, LayerKey, Store, StoreId};

/// Images of one store; with the depth limit of `link` this bounds the memory of all chains.
pub(super) const MAX_IMAGES: usize = 10_000;

/// A store as far as it can be told without the others.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) store: Store,
    pub(super) layers: BTreeMap<LayerKey, Layer>,
    pub(super) images: Vec<Unlinked>,
    pub(super) problems: Vec<Problem>,
}

/// What an engine's reader found in a store.
#[derive(Debug, Default)]
pub(super) struct Contents {
    pub(super) layers: LayerSet,
    pub(super) images: ImageSet,
    /// Layers' directories that no index names.
    pub(super) unlisted: u64,
}

/// An image whose chains of layers have not been followed yet.
#[derive(Debug)]
pub(super) struct Unlinked {
    /// The image; its `layers` are filled by `link`.
    pub(super) image: Image,
    /// Its layers.
    pub(super) chain: Chain,
    /// The top layers of copies for user namespaces.
    pub(super) mapped_tops: Vec<LayerId>,
}

/// How an image names its layers.
#[derive(Debug)]
pub(super) enum Chain {
    /// By the top one: the others are its parents.
    Top(LayerId),
    /// All of them, base first; none for an artifact without layers.
    Whole(Vec<LayerId>),
}

/// The layers of one store.
#[derive(Debug, Default)]
pub(super) struct LayerSet {
    pub(super) found: BTreeMap<LayerKey, Layer>,
    /// An index could not be read whole.
    pub(super) incomplete: bool,
}

impl LayerSet {
    /// Adds the layers that `previous` knew and that could not be read now.
    pub(super) fn keep_from(&mut self, previous: &Catalog, store: &StoreId) {
        if self.incomplete {
            for (key, layer) in previous.layers.iter().filter(|(key, _)| key.store == *store) {
                self.found.entry(key.clone()).or_insert_with(|| layer.clone());
            }
        }
    }
}

/// The images of one store.
#[derive(Debug, Default)]
pub(super) struct ImageSet {
    pub(super) found: Vec<Unlinked>,
    /// An index could not be read whole.
    pub(super) incomplete: bool,
}

impl ImageSet {
    /// Adds the images that `previous` knew and that could not be read now.
    pub(super) fn keep_from(&mut self, previous: &Catalog, store: &StoreId) {
        if !self.incomplete {
            return;
        }
        let images = self.found.iter().map(|unlinked| unlinked.image.id.clone());
        let have: BTreeSet<ImageId> = images.collect();
        let lost = previous
            .images
            .iter()
            .filter(|image| image.store == *store && !have.contains(&image.id));
        self.found.extend(lost.map(known_before));
    }
}

/// An image as it was known before.
pub(super) fn known_before(image: &Image) -> Unlinked {
    Unlinked {
        chain: Chain::Whole(image.layers.clone()),
        mapped_tops: image.mapped_layers.clone(),
        image: image.clone(),
    }
}

/// The inode of a layer's content; a problem where a committed layer has none.
pub(super) fn content_key(
    directory: &Path,
    content: &Path,
    expected: bool,
    problems: &mut Problems,
) -> Option<DevIno> {
    match plain_directory(directory).and_then(|_| plain_directory(content)) {
        Ok(key) => Some(key),
        Err(error) => {
            // A layer that is being written has no directory yet.
            if expected {
                let operation = "look at a layer's content";
                problems.add(
                    ProblemKind::MissingContent,
                    content,
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

/// A digest of a record; a problem with the file where it is none.
pub(super) fn digest(text: &str, operation: &str, file: &Path, problems: &mut Problems) -> Option<Digest> {
    Digest::parse(text)
        .map_err(|error| problems.add(ProblemKind::BadRecord, file, operation, &error.to_string()))
        .ok()
}
