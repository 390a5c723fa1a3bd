//! `layerwatch layers`: each cached layer, the images that contain it, and who can read it.

use anyhow::Result;
use serde::Serialize;

use super::context::{Context, surroundings};
use super::exit::Done;
use super::output::{Item, Output, OutputArguments};
use super::tone::Entry;
use crate::exposure::Whose;
use crate::model::{Exposure, ImageId, Layer, LayerState};

/// A layer with its images.
#[derive(Debug, Serialize)]
struct LayerRow {
    #[serde(flatten)]
    layer: Layer,
    images: Vec<Place>,
    exposure: Exposure,
}

/// Where a layer stands in an image.
#[derive(Debug, Serialize)]
struct Place {
    id: ImageId,
    name: Option<String>,
    /// 1 for the base layer.
    position: usize,
}

impl Item for LayerRow {
    const KIND: &'static str = "layer";
    const LIST: &'static str = "layers";
    const COLUMNS: &'static [&'static str] = &["LAYER", "STATE", "BYTES", "IMAGES", "READABLE BY"];

    fn rows(&self) -> Vec<Vec<Entry>> {
        let id: String = self.layer.key.layer.as_str().chars().take(12).collect();
        let mut state = match self.layer.state {
            LayerState::Image => "image",
            LayerState::Dangling => "dangling",
            LayerState::Container => "container",
            LayerState::Incomplete => "incomplete",
            LayerState::Leftover => "leftover",
            LayerState::BuildCache => "build cache",
        }
        .to_owned();
        if let Some(cache) = &self.layer.build_cache
            && self.layer.state == LayerState::BuildCache
        {
            state = format!("{state}: {}", cache.work.as_str());
        }
        if self.layer.is_unmounted() {
            // Nothing of it can be scanned or watched.
            state.push_str(", not mounted");
        }
        let images: Vec<&str> = self
            .images
            .iter()
            .map(|place| place.name.as_deref().unwrap_or("<none>"))
            .collect();
        vec![vec![
            Entry::outside(id),
            Entry::plain(state),
            self.layer.size_bytes.map_or(Entry::plain("-"), Entry::plain),
            Entry::outside(images.join(", ")),
            Entry::readers([&self.exposure]),
        ]]
    }
}

/// Lists the layers.
pub(super) fn layers(context: &Context, output: OutputArguments) -> Result<Done> {
    let (host, catalog) = context.catalog()?;
    let surroundings = surroundings(&host, &catalog);
    let rows: Vec<LayerRow> = catalog
        .layers
        .values()
        .map(|layer| LayerRow {
            images: catalog
                .images_of(&layer.key)
                .into_iter()
                .map(|place| Place {
                    id: place.image.id.clone(),
                    name: place.image.names.first().cloned(),
                    position: place.position,
                })
                .collect(),
            exposure: surroundings.of(&layer.content, Whose::store(catalog.store(&layer.key.store))),
            layer: layer.clone(),
        })
        .collect();
    Output::new(output).list(&rows, &catalog.problems)?;
    Ok(Done::Clean)
}
