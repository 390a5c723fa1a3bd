//! What two catalogs differ by: images that appeared or got a name.
//!
//! Invariant: pure. A layer counts as new when the old catalog did not have it or had it unfinished, so a pull whose
//! layers were seen half-written is still reported with all of them. Called by the knowledge task after each refresh.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Catalog;
use crate::model::{ArrivalKind, Engine, Image, ImageId, LayerId, LayerState, StoreId};

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
}

impl Arrival {
    /// Whether more may follow at once: Docker names what it pulls by the digest first and by the tag just after it.
    pub fn may_get_its_tag(&self) -> bool {
        self.image.names.iter().all(|name| name.contains('@'))
    }
}

/// The images of `new` that `old` did not have, or had without one of their present names.
pub fn arrivals(old: &Catalog, new: &Catalog) -> Vec<Arrival> {
    let known: BTreeMap<(&StoreId, &ImageId), &Image> = old
        .images
        .iter()
        .map(|image| ((&image.store, &image.id), image))
        .collect();
    new.images
        .iter()
        .filter_map(|image| {
            let before = known.get(&(&image.store, &image.id)).copied();
            let new_names = names_added(before, image);
            (before.is_none() || !new_names.is_empty()).then(|| Arrival {
                image: image.clone(),
                is_new: before.is_none(),
                kind: kind(new, before, image),
                new_names,
                new_layers: layers_added(old, image),
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

/// Docker writes down the digest that a registry gave; containers/storage does so for each image, loaded ones too.
fn kind(catalog: &Catalog, before: Option<&Image>, image: &Image) -> ArrivalKind {
    let had = before.map_or(&[][..], |before| &before.names_history);
    let engine = catalog.store(&image.store).map(|store| store.engine);
    let is_dockers = engine == Some(Engine::Docker);
    if is_dockers && image.names_history.iter().any(|name| !had.contains(name)) {
        ArrivalKind::Pulled
    } else if before.is_some() {
        ArrivalKind::Tagged
    } else if is_dockers || image.names.iter().all(|name| name.starts_with(LOCAL)) {
        ArrivalKind::Loaded
    } else {
        ArrivalKind::Unknown
    }
}

fn layers_added(old: &Catalog, image: &Image) -> Vec<LayerId> {
    let was_there = |id: &LayerId| {
        old.lent_layer(&image.store, id)
            .is_some_and(|layer| layer.state != LayerState::Incomplete)
    };
    image.layers.iter().filter(|id| !was_there(id)).cloned().collect()
}
