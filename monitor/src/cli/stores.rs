//! `layerwatch stores`: what `podman info` and `docker info` say of storage, for all engines at once, without an engine.

use anyhow::Result;
use serde::Serialize;

use super::context::{Context, surroundings};
use super::exit::Done;
use super::output::{Item, Output, OutputArguments};
use super::tone::{Entry, Tone};
use crate::exposure::Whose;
use crate::model::{Exposure, Leftovers, Store};

/// A store with what is in it.
#[derive(Debug, Serialize)]
struct StoreRow {
    #[serde(flatten)]
    store: Store,
    layers: usize,
    images: usize,
    exposure: Exposure,
}

impl Item for StoreRow {
    const KIND: &'static str = "store";
    const LIST: &'static str = "stores";
    const COLUMNS: &'static [&'static str] = &[
        "ENGINE",
        "DRIVER",
        "NAMESPACE",
        "ROOT",
        "OWNER",
        "FILE SYSTEM",
        "LAYERS",
        "IMAGES",
        "LEFTOVERS",
        "ROOT IS OPEN TO",
    ];

    fn rows(&self) -> Vec<Vec<Entry>> {
        let store = &self.store;
        vec![vec![
            Entry::plain(store.engine.as_str()),
            Entry::plain(store.driver.as_str()),
            store.namespace.as_ref().map_or(Entry::plain("-"), Entry::outside),
            Entry::outside(store.root.as_os_str().as_encoded_bytes()),
            Entry::plain(store.owner_uid),
            Entry::outside(&store.filesystem),
            Entry::plain(self.layers),
            Entry::plain(self.images),
            leftovers(&store.leftovers),
            Entry::readers([&self.exposure]),
        ]]
    }
}

/// How many there are, how large, and since when.
fn leftovers(leftovers: &Leftovers) -> Entry {
    let Leftovers {
        count, bytes, oldest, ..
    } = leftovers;
    if *count == 0 {
        return Entry::plain("-");
    }
    let since = oldest.map_or(String::new(), |oldest| format!(", since {oldest:.0}"));
    Entry::toned(format!("{count}: {bytes} bytes{since}"), Tone::Warn)
}

/// Lists the stores.
pub(super) fn stores(context: &Context, output: OutputArguments) -> Result<Done> {
    let (host, catalog) = context.catalog()?;
    let surroundings = surroundings(&host, &catalog);
    let rows: Vec<StoreRow> = catalog
        .stores
        .iter()
        .map(|store| StoreRow {
            layers: catalog.layers.keys().filter(|key| key.store == store.id).count(),
            images: catalog
                .images
                .iter()
                .filter(|image| image.store == store.id)
                .count(),
            exposure: surroundings.of(&store.root, Whose::store(Some(store))),
            store: store.clone(),
        })
        .collect();
    Output::new(output).list(&rows, &catalog.problems)?;
    Ok(Done::Clean)
}
