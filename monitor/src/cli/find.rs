//! `layerwatch find`: where a file name lies in the cache: layer, position, images, shadowed or not.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use anyhow::{Context as _, Result};
use clap::Args;
use serde::Serialize;

use super::context::Context;
use super::exit::Done;
use super::output::{Item, Output, OutputArguments, note};
use super::tone::Entry;
use crate::catalog::{Catalog, EntryKind, Hit, Pattern};
use crate::knowledge::image_report;
use crate::model::text::printable;
use crate::model::{ImageReport, Layer, LayerState, StoreId, Visibility};
use crate::survey;

/// Flags of `find`.
#[derive(Debug, Args)]
pub(super) struct FindArguments {
    /// A file name or the end of a path; `*` and `?` as in a shell, and a path that begins with / begins at the layer's root
    name: String,
    #[command(flatten)]
    output: OutputArguments,
}

/// One place.
#[derive(Debug, Serialize)]
struct FoundRow {
    path_in_layer: String,
    /// As this process sees it.
    path: String,
    #[serde(rename = "type")]
    kind: EntryKind,
    store: StoreId,
    layer: String,
    diff_id: Option<String>,
    state: LayerState,
    images: Vec<InImage>,
    /// Every image that contains the layer hides it.
    shadowed: bool,
}

/// The place in one image.
#[derive(Debug, Serialize)]
struct InImage {
    #[serde(flatten)]
    image: ImageReport,
    /// 1 for the base layer.
    position: usize,
    layers: usize,
    visibility: Visibility,
}

impl Item for FoundRow {
    const KIND: &'static str = "found";
    const LIST: &'static str = "found";
    const COLUMNS: &'static [&'static str] =
        &["PATH IN LAYER", "LAYER", "POSITION", "IMAGE", "STATE", "STORE"];

    fn rows(&self) -> Vec<Vec<Entry>> {
        let layer: String = self.layer.chars().take(12).collect();
        let row = |position: String, image: &str, state: String| {
            vec![
                Entry::plain(&self.path_in_layer),
                Entry::plain(&layer),
                Entry::plain(position),
                Entry::plain(image),
                Entry::plain(state),
                Entry::plain(&self.store),
            ]
        };
        if self.images.is_empty() {
            let state = match self.state {
                LayerState::Container => "a container's own",
                LayerState::Incomplete => "incomplete",
                LayerState::Leftover => "leftover",
                LayerState::BuildCache => "a build's cache",
                LayerState::Image | LayerState::Dangling => "in no image",
            };
            return vec![row("-".to_owned(), "-", state.to_owned())];
        }
        let rows = self.images.iter().map(|one| {
            let name = one.image.name.as_deref().unwrap_or("<none>");
            row(
                format!("{} of {}", one.position, one.layers),
                name,
                in_words(&one.visibility),
            )
        });
        rows.collect()
    }
}

fn in_words(visibility: &Visibility) -> String {
    let short = |id: &crate::model::LayerId| id.as_str().chars().take(12).collect::<String>();
    match visibility {
        Visibility::Visible => "visible".to_owned(),
        Visibility::Deleted { by } => format!("deleted by {}", short(by)),
        Visibility::Replaced { by } => format!("replaced by {}", short(by)),
        Visibility::Repermissioned { by } => format!("other permissions in {}", short(by)),
    }
}

/// Looks for a name in every layer of every store.
pub(super) fn find(context: &Context, arguments: &FindArguments) -> Result<Done> {
    let pattern = Pattern::new(arguments.name.as_bytes()).context("the name is empty")?;
    let (_, catalog) = context.catalog()?;
    let found = catalog.find(&pattern);
    if found.unread > 0 {
        note(&format!(
            "layerwatch: warning: {} directories could not be read",
            found.unread
        ));
    }
    if found.is_cut {
        note("layerwatch: warning: there are more places than are listed");
    }
    let rows: Vec<FoundRow> = found.hits.iter().filter_map(|hit| row(&catalog, hit)).collect();
    Output::new(arguments.output).list(&rows, &catalog.problems)?;
    Ok(Done::Clean)
}

fn row(catalog: &Catalog, hit: &Hit) -> Option<FoundRow> {
    let layer: &Layer = catalog.layer(&hit.layer)?;
    let images = catalog.images_of(&layer.key).into_iter().map(|place| InImage {
        image: image_report(place.image),
        position: place.position,
        layers: place.image.layers.len(),
        visibility: survey::visibility(catalog, place.image, layer, &hit.path, &|_, _| false),
    });
    let images: Vec<InImage> = images.collect();
    let path = layer
        .content
        .join(Path::new(std::ffi::OsStr::from_bytes(&hit.path)));
    let hidden = |one: &InImage| {
        matches!(
            one.visibility,
            Visibility::Deleted { .. } | Visibility::Replaced { .. }
        )
    };
    Some(FoundRow {
        path_in_layer: printable(&hit.path).to_string(),
        path: printable(path.as_os_str().as_bytes()).to_string(),
        kind: hit.kind,
        store: layer.key.store.clone(),
        layer: layer.key.layer.to_string(),
        diff_id: layer.diff_id.as_ref().map(ToString::to_string),
        state: layer.state,
        shadowed: !images.is_empty() && images.iter().all(hidden),
        images,
    })
}
