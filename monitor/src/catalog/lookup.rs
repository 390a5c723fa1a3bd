//! Questions to a catalog: which images hold a layer, which layer holds a path.
//!
//! Invariant: pure but for `locate`, which looks at the directories above the path it was given. A layer id that is not
//! in an image's own store is looked for in root's stores only: another user could claim any id. Called by attribute,
//! scan, the commands and the knowledge task.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::{Catalog, Host, containerd};
use crate::model::{DevIno, Image, ImageLayer, Layer, LayerId, LayerKey, Store, StoreId};

/// Where a path lies in the catalog.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Location {
    /// The layer.
    pub layer: LayerKey,
    /// The path below the layer's root, raw bytes, without a leading slash; empty for the root itself.
    pub path_in_layer: Vec<u8>,
}

impl Catalog {
    /// A store by its id.
    pub fn store(&self, id: &StoreId) -> Option<&Store> {
        self.stores.iter().find(|store| store.id == *id)
    }

    /// A layer by its key.
    pub fn layer(&self, key: &LayerKey) -> Option<&Layer> {
        self.layers.get(key)
    }

    /// The layer that `id` means in an image of `store`: the store's own, else one that a store of root lends.
    pub fn lent_layer(&self, store: &StoreId, id: &LayerId) -> Option<&Layer> {
        let in_store = |store: &StoreId| {
            self.layers.get(&LayerKey {
                store: store.clone(),
                layer: id.clone(),
            })
        };
        in_store(store).or_else(|| {
            // Of the engines, containers/storage alone stacks layers of several stores.
            self.store(store)
                .filter(|own| own.engine.is_containers_storage())?;
            self.stores
                .iter()
                .filter(|other| other.owner_uid == 0 && other.engine.is_containers_storage())
                .find_map(|other| in_store(&other.id))
        })
    }

    /// Every image that contains the layer, with the layer's place in it.
    pub fn images_of(&self, key: &LayerKey) -> Vec<ImageLayer<'_>> {
        self.images
            .iter()
            .filter_map(|image| {
                let position = self.position(image, &key.layer)?;
                let layer = self.lent_layer(&image.store, &key.layer)?;
                (layer.key == *key).then_some(ImageLayer { image, position })
            })
            .collect()
    }

    /// The layers of the image on top of a layer, nearest first; none for the top layer and for foreign ones.
    pub fn layers_above(&self, image: &Image, layer: &LayerKey) -> Vec<&Layer> {
        let Some(position) = self.position(image, &layer.layer) else {
            return Vec::new();
        };
        image
            .layers
            .iter()
            .skip(position)
            .filter_map(|id| self.lent_layer(&image.store, id))
            .collect()
    }

    /// The layer's place in the image, 1 for the base; a mapped copy stands as high as its chain of parents is long.
    fn position(&self, image: &Image, layer: &LayerId) -> Option<usize> {
        if let Some(index) = image.layers.iter().position(|id| id == layer) {
            return Some(index + 1);
        }
        if !image.mapped_layers.contains(layer) {
            return None;
        }
        let mut height = 1;
        let mut below = self.lent_layer(&image.store, layer)?.parent.as_ref();
        while let Some(id) = below {
            height += 1;
            if height > image.layers.len() + image.mapped_layers.len() {
                break;
            }
            below = self
                .lent_layer(&image.store, id)
                .and_then(|layer| layer.parent.as_ref());
        }
        Some(height)
    }

    /// The file that the layer was unpacked from, where its store keeps such files.
    pub fn blob_of(&self, layer: &Layer) -> Option<PathBuf> {
        let store = self.store(&layer.key.store)?;
        let digest = layer.blob_digest.as_ref()?;
        store
            .engine
            .is_containerd()
            .then(|| containerd::blob(store.engine, &store.root, digest))
    }

    /// The layer that a path (as this process sees it) lies in, whatever mount or link leads there.
    ///
    /// Each directory above the path is compared by inode with the layers' directories, so a bind mount is no
    /// obstacle; what can no longer be looked at is compared by name.
    pub fn locate(&self, host: &Host, path: &Path) -> Option<Location> {
        let host_path = host.host_path(path)?;
        let resolved = host
            .resolve(host_path.parent()?)
            .map(|directory| directory.join(host_path.file_name().unwrap_or_default()))
            .map_or_else(|_| path.to_owned(), |resolved| host.path(resolved));
        self.locate_by_inode(&resolved)
            .or_else(|| self.locate_by_name(&resolved))
            .or_else(|| self.locate_blob(&resolved))
    }

    fn locate_blob(&self, path: &Path) -> Option<Location> {
        let is_named = |layer: &&Layer| {
            let digest = layer.blob_digest.as_ref();
            path.file_name()
                .is_some_and(|name| digest.is_some_and(|digest| name == digest.hex()))
        };
        let mut named = self.layers.values().filter(is_named);
        let layer = named.find(|layer| self.blob_of(layer).as_deref() == Some(path))?;
        Some(Location {
            layer: layer.key.clone(),
            path_in_layer: Vec::new(),
        })
    }

    fn locate_by_inode(&self, path: &Path) -> Option<Location> {
        let by_inode: HashMap<DevIno, &Layer> = self
            .layers
            .values()
            .filter_map(|layer| Some((layer.content_key?, layer)))
            .collect();
        path.ancestors().find_map(|directory| {
            let key = DevIno::of(&directory.symlink_metadata().ok()?);
            location(by_inode.get(&key)?, directory, path)
        })
    }

    fn locate_by_name(&self, path: &Path) -> Option<Location> {
        self.layers
            .values()
            .find_map(|layer| location(layer, &layer.content, path))
    }
}

fn location(layer: &Layer, directory: &Path, path: &Path) -> Option<Location> {
    use std::os::unix::ffi::OsStrExt;
    let below = path.strip_prefix(directory).ok()?;
    Some(Location {
        layer: layer.key.clone(),
        path_in_layer: below.as_os_str().as_bytes().to_vec(),
    })
}
