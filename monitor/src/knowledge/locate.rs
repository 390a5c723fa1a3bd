//! Which layer a path inside a file system names: the store's own way to its layers, found anywhere in the path.
//!
//! Invariant: only asked about paths below a directory that the kernel's watch proved to be the store's, and only to
//! name the layer in a report or to wait for its scan; a finding is never matched by a path. Used by `Knowledge`.

use std::collections::{BTreeSet, HashMap};
use std::os::unix::ffi::OsStrExt;

use crate::model::{Layer, Store, StoreId};

/// Content directories relative to their store's root, as raw components.
#[derive(Clone, Debug, Default)]
pub(super) struct ContentPaths {
    by_path: HashMap<StoreId, HashMap<Vec<u8>, usize>>,
    depths: BTreeSet<usize>,
}

impl ContentPaths {
    /// Of all layers that lie below their store's root.
    pub(super) fn new(stores: &[Store], layers: &[Layer]) -> Self {
        let roots: HashMap<_, _> = stores.iter().map(|store| (&store.id, &store.root)).collect();
        let mut paths = Self::default();
        for (at, layer) in layers.iter().enumerate() {
            let Some(root) = roots.get(&layer.key.store) else {
                continue;
            };
            let Ok(relative) = layer.content.strip_prefix(root) else {
                continue;
            };
            let relative = relative.as_os_str().as_bytes().to_vec();
            paths.depths.insert(relative.split(|byte| *byte == b'/').count());
            paths
                .by_path
                .entry(layer.key.store.clone())
                .or_default()
                .insert(relative, at);
        }
        paths
    }

    /// The first place in `path` where a content directory of `store` stands: the layer's index and the rest.
    pub(super) fn locate(&self, store: &StoreId, path: &[u8]) -> Option<(usize, Vec<u8>)> {
        let known = self.by_path.get(store)?;
        let components: Vec<&[u8]> = path
            .split(|byte| *byte == b'/')
            .filter(|part| !part.is_empty())
            .collect();
        for start in 0..components.len() {
            for depth in &self.depths {
                let Some(window) = components.get(start..start + depth) else {
                    continue;
                };
                if let Some(at) = known.get(&window.join(&b'/')) {
                    let rest = components.get(start + depth..).unwrap_or_default();
                    return Some((*at, rest.join(&b'/')));
                }
            }
        }
        None
    }
}
