//! `layerwatch images`: one row for each name, since one image may be trusted under one name and not under another.

use anyhow::Result;
use serde::Serialize;

use super::context::{Context, surroundings};
use super::exit::Done;
use super::output::{Item, Output, OutputArguments};
use super::tone::Entry;
use crate::catalog::Catalog;
use crate::exposure::{Surroundings, Whose};
use crate::model::{Exposure, Image, Verdict};
use crate::trust::{self, TrustInputs};

/// An image under one of its names.
#[derive(Debug, Serialize)]
struct ImageRow {
    name: Option<String>,
    #[serde(flatten)]
    image: Image,
    trust: Verdict,
    /// Of each layer's content, base first.
    exposure: Vec<Exposure>,
}

impl Item for ImageRow {
    const KIND: &'static str = "image";
    const LIST: &'static str = "images";
    const COLUMNS: &'static [&'static str] = &["NAME", "ID", "LAYERS", "TRUST", "WHY", "READABLE BY"];

    fn rows(&self) -> Vec<Vec<Entry>> {
        let id: String = self.image.id.as_str().chars().take(12).collect();
        let why = self
            .trust
            .reasons
            .first()
            .map_or("", |reason| reason.code.as_str());
        vec![vec![
            self.name.as_ref().map_or(Entry::plain("<none>"), Entry::outside),
            Entry::outside(id),
            Entry::plain(self.image.layers.len()),
            Entry::provenance(self.trust.provenance),
            Entry::plain(why),
            Entry::readers(&self.exposure),
        ]]
    }
}

/// Lists the images.
pub(super) fn images(context: &Context, output: OutputArguments) -> Result<Done> {
    let (host, catalog) = context.catalog()?;
    let inputs = TrustInputs::read(host.root());
    let surroundings = surroundings(&host, &catalog);
    let rows: Vec<ImageRow> = catalog
        .images
        .iter()
        .flat_map(|image| rows(image, &surroundings, &catalog, &inputs))
        .collect();
    Output::new(output).list(&rows, &catalog.problems)?;
    Ok(Done::Clean)
}

fn rows(
    image: &Image,
    surroundings: &Surroundings,
    catalog: &Catalog,
    inputs: &TrustInputs,
) -> Vec<ImageRow> {
    let layers = image
        .layers
        .iter()
        .filter_map(|id| catalog.lent_layer(&image.store, id));
    let exposure: Vec<Exposure> = layers
        .map(|layer| surroundings.of(&layer.content, Whose::store(catalog.store(&layer.key.store))))
        .collect();
    let Some(engine) = catalog.store(&image.store).map(|store| store.engine) else {
        return Vec::new();
    };
    let names = image.names.iter().cloned().map(Some);
    let nameless = image.names.is_empty().then_some(None);
    let row = |name: Option<String>| ImageRow {
        trust: trust::evaluate(inputs, engine, image, name.as_deref()),
        name,
        image: image.clone(),
        exposure: exposure.clone(),
    };
    names.chain(nameless).map(row).collect()
}
