//! What two catalogs differ by: images that appeared or got a name.
//!
//! Invariant: pure. A layer counts as new when the old catalog did not have it or had it unfinished, so a pull whose
//! layers were seen half-written is still reported with all of them. Called by the knowledge task after each refresh.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::Catalog;
use crate::model::{ArrivalKind, DevIno, Image, ImageId, Layer, LayerId, LayerState, StoreId};

/// The registry of names that engines give to what was built or loaded here.
const LOCAL: &str = "localhost/";

/// An image that appeared, or one that got a name.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Arrival {
    /// The image as it is now.
    pub image: Image,
    /// Whether the image itself is new; else it only got names.
    pub is_new: bool,
    /// How it came, as far as the store tells.
    pub kind: ArrivalKind,
    /// The names it did not have before.
    pub new_names: Vec<String>,
    /// Its layers that were not in the store before, base first.
    pub new_layers: Vec<LayerId>,
    /// Some of its layers are not unpacked, or not yet.
    pub is_packed: bool,
}

impl Arrival {
    /// Whether more may follow at once: Docker names what it pulls by the digest first and by the tag just after it, and
    /// `ctr` names what it pulls before it is unpacked.
    pub fn is_unfinished(&self) -> bool {
        self.is_packed || self.image.names.iter().all(|name| name.contains('@'))
    }
}

/// Where an image is the same image: its store, and for containerd its namespace, whatever snapshotter unpacks it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Home<'a> {
    Store(&'a StoreId),
    Namespace(DevIno, Option<&'a str>),
}

impl<'a> Home<'a> {
    fn of(catalog: &'a Catalog, store: &'a StoreId) -> Self {
        match catalog.store(store) {
            Some(store) if store.engine.is_containerd() => {
                Self::Namespace(store.root_key, store.namespace.as_deref())
            }
            Some(_) | None => Self::Store(store),
        }
    }
}

/// The images of `new` that `old` did not have, or had without one of their present names.
pub fn arrivals(old: &Catalog, new: &Catalog) -> Vec<Arrival> {
    let known: BTreeMap<(Home<'_>, &ImageId), &Image> = old
        .images
        .iter()
        .map(|image| ((Home::of(old, &image.store), &image.id), image))
        .collect();
    let mut told = BTreeSet::new();
    new.images
        .iter()
        .filter_map(|image| {
            let key = (Home::of(new, &image.store), &image.id);
            if !told.insert(key) {
                return None;
            }
            let before = known.get(&key).copied();
            let new_names = names_added(before, image);
            (before.is_none() || !new_names.is_empty()).then(|| Arrival {
                image: image.clone(),
                is_new: before.is_none(),
                kind: kind(new, before, image),
                new_names,
                new_layers: layers_added(old, image),
                is_packed: image
                    .layers
                    .iter()
                    .filter_map(|id| new.lent_layer(&image.store, id))
                    .any(Layer::is_packed),
            })
        })
        .collect()
}

fn names_added(before: Option<&Image>, image: &Image) -> Vec<String> {
    let had = before.map_or(&[][..], |before| &before.names);
    image
        .names
        .iter()
        .filter(|name| !had.contains(name))
        .cloned()
        .collect()
}

/// Docker writes down the digest that a registry gave, containerd where the blobs came from; containers/storage writes a
/// digest down for each image, loaded ones too.
fn kind(catalog: &Catalog, before: Option<&Image>, image: &Image) -> ArrivalKind {
    let had = before.map_or(&[][..], |before| &before.names_history);
    let engine = catalog.store(&image.store).map(|store| store.engine);
    let tells = engine.is_some_and(|engine| !engine.is_containers_storage());
    if tells && image.names_history.iter().any(|name| !had.contains(name)) {
        ArrivalKind::Pulled
    } else if before.is_some() {
        ArrivalKind::Tagged
    } else if is_built(catalog, image) {
        ArrivalKind::Built
    } else if tells || image.names.iter().all(|name| name.starts_with(LOCAL)) {
        ArrivalKind::Loaded
    } else {
        ArrivalKind::Unknown
    }
}

/// Whether a builder keeps what is on top of the image: as its own, or under another id as the same content.
fn is_built(catalog: &Catalog, image: &Image) -> bool {
    let top = image.layers.last();
    let Some(top) = top.and_then(|top| catalog.lent_layer(&image.store, top)) else {
        return false;
    };
    let in_store = |layer: &&Layer| layer.key.store == image.store && layer.state == LayerState::BuildCache;
    let mut kept = catalog.layers.values().filter(in_store);
    top.build_cache.is_some() || (top.diff_id.is_some() && kept.any(|layer| layer.diff_id == top.diff_id))
}

fn layers_added(old: &Catalog, image: &Image) -> Vec<LayerId> {
    let was_there = |id: &LayerId| {
        old.lent_layer(&image.store, id)
            .is_some_and(|layer| layer.state != LayerState::Incomplete)
    };
    image.layers.iter().filter(|id| !was_there(id)).cloned().collect()
}
