//! `layerwatch explain`: what a path is, wherever it is mounted.

use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Args;
use serde::Serialize;

use super::context::{Context, block_on, surroundings};
use super::exit::Done;
use super::output::{Output, OutputArguments};
use super::scan::FindingRow;
use super::tone::Entry;
use crate::app;
use crate::catalog::Catalog;
use crate::exposure::Whose;
use crate::knowledge::Knowledge;
use crate::model::text::printable;
use crate::model::{Exposure, ImageReport, Layer, LayerId, Place, Store, Verdict, Visibility};
use crate::survey;

/// Flags of `explain`.
#[derive(Debug, Args)]
pub(super) struct ExplainArguments {
    /// A file or directory of a layer, by any mount of it
    path: PathBuf,
    #[command(flatten)]
    output: OutputArguments,
}

/// All that is known of a path.
#[derive(Debug, Serialize)]
struct Explanation {
    path: String,
    path_in_layer: String,
    store: Store,
    /// The layer that the file came with.
    layer: Layer,
    /// The layer in whose directory the path lies; another one where layers are copies of the whole tree.
    held_in: LayerId,
    images: Vec<ImageExplained>,
    findings: Vec<FindingRow>,
    exposure: Exposure,
}

/// The layer in one image.
#[derive(Debug, Serialize)]
struct ImageExplained {
    #[serde(flatten)]
    image: ImageReport,
    /// 1 for the base layer.
    position: usize,
    layers: usize,
    visibility: Visibility,
    trust: Vec<Verdict>,
}

/// Explains a path.
pub(super) fn explain(context: &Context, arguments: &ExplainArguments) -> Result<Done> {
    let explanation = block_on(gather(context, arguments))?;
    let rows = rows(&explanation);
    Output::new(arguments.output).single("explanation", &explanation, |output| output.table(&[], rows))?;
    Ok(Done::Clean)
}

async fn gather(context: &Context, arguments: &ExplainArguments) -> Result<Explanation> {
    let path = arguments
        .path
        .canonicalize()
        .with_context(|| format!("open {}", arguments.path.display()))?;
    let (host, catalog) = context.catalog()?;
    let location = catalog.locate(&host, &path).with_context(|| {
        format!(
            "{} is in no layer of a known store; `layerwatch stores` lists them",
            path.display()
        )
    })?;
    let held_in = catalog
        .layer(&location.layer)
        .context("the layer left its store")?;
    let layer = catalog.origin(held_in, &location.path_in_layer).clone();
    let store = catalog
        .store(&location.layer.store)
        .context("the store is gone")?
        .clone();
    let mut survey = context.survey()?;
    survey.refresh().await?;
    survey.scan_layer(held_in).await?;
    let knowledge = survey.snapshot(app::now()).await?;
    // A blob has the whole layer in it.
    let is_blob = location.path_in_layer.is_empty() && path.is_file();
    let in_path = |place: &Place| {
        let is_there = matches!(place, Place::File { path, .. } if *path == location.path_in_layer);
        is_there || (is_blob && place.layer() == Some(&location.layer))
    };
    let found = knowledge
        .parts()
        .findings
        .iter()
        .filter(|known| in_path(&known.finding.place));
    Ok(Explanation {
        path: printable(path.as_os_str().as_encoded_bytes()).to_string(),
        path_in_layer: printable(&location.path_in_layer).to_string(),
        images: images(&catalog, &knowledge, &layer, &location.path_in_layer),
        held_in: held_in.key.layer.clone(),
        findings: found.map(|known| FindingRow::known(known, &knowledge)).collect(),
        exposure: surroundings(&host, &catalog).of(
            &path,
            Whose {
                store: Some(&store),
                in_layer: Some(std::path::Path::new(std::ffi::OsStr::from_bytes(
                    &location.path_in_layer,
                ))),
            },
        ),
        store,
        layer,
    })
}

/// The layer in each image that contains it.
fn images(catalog: &Catalog, knowledge: &Knowledge, layer: &Layer, path: &[u8]) -> Vec<ImageExplained> {
    let places = catalog.images_of(&layer.key).into_iter();
    let explained = places.map(|place| ImageExplained {
        image: crate::knowledge::image_report(place.image),
        position: place.position,
        layers: place.image.layers.len(),
        visibility: survey::visibility(catalog, place.image, layer, path, &|_, _| false),
        trust: knowledge
            .parts()
            .verdicts
            .iter()
            .filter(|known| known.store == place.image.store && known.image == place.image.id)
            .map(|known| known.verdict.clone())
            .collect(),
    });
    explained.collect()
}

fn rows(explanation: &Explanation) -> Vec<Vec<Entry>> {
    let row = |name: &str, entry: Entry| vec![Entry::plain(name), entry];
    let mut rows = vec![
        row("path in layer", Entry::plain(&explanation.path_in_layer)),
        row("store", Entry::plain(&explanation.store.id)),
        row("layer", Entry::plain(&explanation.layer.key.layer)),
        row(
            "diff id",
            explanation
                .layer
                .diff_id
                .as_ref()
                .map_or(Entry::plain("-"), Entry::plain),
        ),
    ];
    if let Some(toc) = &explanation.layer.toc_digest {
        rows.push(row(
            "partial pull",
            Entry::plain(format!("by its table of contents {toc}")),
        ));
    }
    if explanation.held_in != explanation.layer.key.layer {
        rows.push(row("in the copy", Entry::plain(&explanation.held_in)));
    }
    rows.extend(super::exposure::rows(&explanation.exposure));
    for image in &explanation.images {
        let name = image.image.name.as_deref().unwrap_or("<none>");
        let state = match &image.visibility {
            Visibility::Visible => "visible".to_owned(),
            Visibility::Deleted { by } => format!("deleted by layer {by}"),
            Visibility::Replaced { by } => format!("replaced by layer {by}"),
            Visibility::Repermissioned { by } => format!("under other permissions in layer {by}"),
        };
        rows.push(row(
            "image",
            Entry::plain(format!(
                "{name}: layer {} of {}, {state}",
                image.position, image.layers
            )),
        ));
        for verdict in &image.trust {
            rows.push(row("trust", Entry::provenance(verdict.provenance)));
            for reason in &verdict.reasons {
                rows.push(row(
                    "",
                    Entry::outside(format!("{}: {}", reason.code, reason.detail)),
                ));
            }
        }
    }
    for found in &explanation.findings {
        rows.extend(
            found
                .finding_rows()
                .into_iter()
                .map(|entry| row("finding", entry)),
        );
    }
    rows
}
