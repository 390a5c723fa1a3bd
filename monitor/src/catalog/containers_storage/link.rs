//! From an image's top layer down to its base, and back: which layers belong to an image.
//!
//! Invariant: ends on cycles and on chains deeper than the engine allows; a layer of an image is `Image` unless it is
//! still being written. Called once, when the layers of all stores are known.

use std::collections::BTreeSet;

use super::super::problem::{ProblemKind, Problems};
use super::Unlinked;
use crate::catalog::Catalog;
use crate::model::{Layer, LayerId, LayerKey, LayerState, StoreId};

/// The overlay driver refuses more (`maxDepth`, drivers/overlay/overlay.go).
const MAX_DEPTH: usize = 500;

/// Follows the chains of all images and puts them into the catalog.
pub(in crate::catalog) fn link(catalog: &mut Catalog, images: Vec<Unlinked>) {
    let mut reached = BTreeSet::new();
    for unlinked in images {
        let Unlinked {
            mut image,
            top,
            mapped_tops,
        } = unlinked;
        let mut problems = Problems::of(&image.store);
        let mut chain = |top: &LayerId| follow(catalog, &image.store, top, &mut problems, &mut reached);
        let layers = top.as_ref().map(&mut chain).unwrap_or_default();
        let mapped: Vec<LayerId> = mapped_tops.iter().flat_map(&mut chain).collect();
        let mut seen: BTreeSet<&LayerId> = layers.iter().collect();
        image.mapped_layers = mapped.iter().filter(|id| seen.insert(id)).cloned().collect();
        image.layers = layers;
        let root = catalog.store(&image.store).map(|store| store.root.clone());
        catalog
            .problems
            .extend(problems.into_list(&root.unwrap_or_default()));
        catalog.images.push(image);
    }
    for layer in catalog.layers.values_mut() {
        layer.state = match layer.state {
            LayerState::Image | LayerState::Dangling if reached.contains(&layer.key) => LayerState::Image,
            LayerState::Image => LayerState::Dangling,
            kept @ (LayerState::Dangling | LayerState::Container | LayerState::Incomplete) => kept,
        };
    }
}

/// The chain that ends in `top`, base first, as far as it can be followed; its layers are added to `reached`.
fn follow(
    catalog: &Catalog,
    store: &StoreId,
    top: &LayerId,
    problems: &mut Problems,
    reached: &mut BTreeSet<LayerKey>,
) -> Vec<LayerId> {
    let mut chain = Vec::new();
    let mut seen = BTreeSet::new();
    let mut next = Some(top.clone());
    while let Some(id) = next {
        if chain.len() >= MAX_DEPTH || !seen.insert(id.clone()) {
            report(catalog, store, &id, ProblemKind::ParentCycle, problems);
            break;
        }
        let layer: Option<&Layer> = catalog.lent_layer(store, &id);
        if layer.is_none() {
            report(catalog, store, &id, ProblemKind::MissingLayer, problems);
        }
        reached.extend(layer.map(|layer| layer.key.clone()));
        chain.push(id);
        next = layer.and_then(|layer| layer.parent.clone());
    }
    chain.reverse();
    chain
}

fn report(catalog: &Catalog, store: &StoreId, layer: &LayerId, kind: ProblemKind, problems: &mut Problems) {
    let root = catalog
        .store(store)
        .map(|store| store.root.clone())
        .unwrap_or_default();
    problems.add(kind, &root, "follow an image's layers", layer.as_str());
}
