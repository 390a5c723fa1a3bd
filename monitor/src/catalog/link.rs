//! From an image's top layer down to its base, and back: which layers belong to an image.
//!
//! Invariant: ends on cycles, on chains deeper than the engine allows, and at a number of steps that no real store
//! needs; a layer of an image is `Image` unless it is still being written. Called once, when the layers of all stores
//! are known.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::Catalog;
use super::problem::{ProblemKind, Problems};
use super::reading::{Chain, Unlinked};
use crate::model::{Image, LayerId, LayerKey, LayerState, StoreId};

/// The overlay driver refuses more (`maxDepth`, drivers/overlay/overlay.go).
const MAX_DEPTH: usize = 500;

/// Steps for all images together, which bounds the memory for their lists of layers: 10 000 images of 100 layers.
const MAX_STEPS: usize = 1_000_000;

/// Follows the chains of all images and puts them into the catalog.
pub(super) fn link(catalog: &mut Catalog, images: Vec<Unlinked>) {
    let mut linker = Linker {
        catalog,
        problems: BTreeMap::new(),
        reached: BTreeSet::new(),
        steps_left: MAX_STEPS,
    };
    let complete: Vec<Image> = images.into_iter().map(|image| linker.link(image)).collect();
    let Linker {
        problems, reached, ..
    } = linker;
    catalog.images.extend(complete);
    for (store, problems) in problems {
        let listed = problems.into_list(&root_of(catalog, &store));
        catalog.problems.extend(listed);
    }
    for layer in catalog.layers.values_mut() {
        layer.state = match layer.state {
            LayerState::Image | LayerState::Dangling if reached.contains(&layer.key) => LayerState::Image,
            LayerState::Image => LayerState::Dangling,
            kept @ (LayerState::Dangling
            | LayerState::Container
            | LayerState::Incomplete
            | LayerState::BuildCache
            | LayerState::Leftover) => kept,
        };
    }
}

fn root_of(catalog: &Catalog, store: &StoreId) -> PathBuf {
    catalog
        .store(store)
        .map(|store| store.root.clone())
        .unwrap_or_default()
}

struct Linker<'a> {
    catalog: &'a Catalog,
    problems: BTreeMap<StoreId, Problems>,
    /// Layers that some image contains.
    reached: BTreeSet<LayerKey>,
    steps_left: usize,
}

impl Linker<'_> {
    fn link(&mut self, unlinked: Unlinked) -> Image {
        let mut image = unlinked.image;
        image.layers = match unlinked.chain {
            Chain::Top(top) => self.follow(&image.store, top),
            Chain::Whole(layers) => self.check(&image.store, layers),
        };
        let mut seen: BTreeSet<LayerId> = image.layers.iter().cloned().collect();
        image.mapped_layers = Vec::new();
        for top in unlinked.mapped_tops {
            let chain = self.follow(&image.store, top);
            image
                .mapped_layers
                .extend(chain.into_iter().filter(|id| seen.insert(id.clone())));
        }
        image
    }

    /// A chain that the image itself names.
    fn check(&mut self, store: &StoreId, layers: Vec<LayerId>) -> Vec<LayerId> {
        let mut checked = Vec::new();
        for id in layers {
            if self.steps_left == 0 {
                self.report(store, &id, ProblemKind::TooLarge);
                break;
            }
            self.steps_left -= 1;
            self.reach(store, &id);
            checked.push(id);
        }
        checked
    }

    /// Marks a layer as part of an image; the layer below it.
    fn reach(&mut self, store: &StoreId, id: &LayerId) -> Option<LayerId> {
        let layer = self.catalog.lent_layer(store, id);
        if layer.is_none() {
            self.report(store, id, ProblemKind::MissingLayer);
        }
        self.reached.extend(layer.map(|layer| layer.key.clone()));
        layer.and_then(|layer| layer.parent.clone())
    }

    /// The chain that ends in `top`, base first, as far as it can be followed.
    fn follow(&mut self, store: &StoreId, top: LayerId) -> Vec<LayerId> {
        let mut chain = Vec::new();
        let mut seen = BTreeSet::new();
        let mut next = Some(top);
        while let Some(id) = next {
            if chain.len() >= MAX_DEPTH || !seen.insert(id.clone()) {
                self.report(store, &id, ProblemKind::ParentCycle);
                break;
            }
            if self.steps_left == 0 {
                self.report(store, &id, ProblemKind::TooLarge);
                break;
            }
            self.steps_left -= 1;
            next = self.reach(store, &id);
            chain.push(id);
        }
        chain.reverse();
        chain
    }

    fn report(&mut self, store: &StoreId, layer: &LayerId, kind: ProblemKind) {
        let root = root_of(self.catalog, store);
        let problems = self.problems.entry(store.clone());
        let problems = problems.or_insert_with(|| Problems::of(store));
        problems.add(kind, &root, "follow an image's layers", layer.as_str());
    }
}
