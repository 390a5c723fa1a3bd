//! `layerwatch exposure`: who can read what, by which component, and the command that closes it.
//!
//! Nothing is scanned: a layer counts as open to whoever can enter it, and the modes of its files decide the rest.
//! `layerwatch scan --all` tells of each finding.

mod details;
mod open;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::Args;

pub(super) use details::rows;
use open::OpenRow;

use super::context::{Context, surroundings};
use super::exit::Done;
use super::output::{Output, OutputArguments};
use crate::catalog::{Catalog, Host, ProblemKind};
use crate::exposure::{Surroundings, Whose};
use crate::model::text::printable;
use crate::model::{Layer, Reader};

/// Where a containerd that is not read yet keeps its blobs, below its root.
const BLOBS: &str = "io.containerd.content.v1.content/blobs/sha256";

/// Flags of `exposure`.
#[derive(Debug, Args)]
pub(super) struct ExposureArguments {
    /// A path, or the name or id of an image; all stores without it
    target: Option<String>,
    #[command(flatten)]
    output: OutputArguments,
}

/// Lists what is open, or explains one path.
pub(super) fn exposure(context: &Context, arguments: &ExposureArguments) -> Result<Done> {
    let (host, catalog) = context.catalog()?;
    let around = surroundings(&host, &catalog);
    let Some(target) = &arguments.target else {
        let rows = of_stores(&host, &catalog, &around);
        Output::new(arguments.output).list(&rows, &catalog.problems)?;
        return Ok(Done::Clean);
    };
    let layers = layers_of(&catalog, target);
    if layers.is_empty() && !target.contains('/') {
        bail!("no cached image and no path is called {target}; `layerwatch images` lists the images");
    }
    if layers.is_empty() || Path::new(target).exists() {
        return of_path(arguments, Path::new(target), &host, &catalog, &around);
    }
    let rows = grouped(layers.into_iter(), &catalog, &around);
    Output::new(arguments.output).list(&rows, &catalog.problems)?;
    Ok(Done::Clean)
}

/// The layers of the images that are called so.
fn layers_of<'a>(catalog: &'a Catalog, name: &str) -> Vec<&'a Layer> {
    let images = catalog.images.iter().filter(|image| {
        image.names.iter().any(|one| one == name) || (name.len() >= 12 && image.id.as_str().starts_with(name))
    });
    let layers = images.flat_map(|image| {
        let layers = image.layers.iter();
        layers.filter_map(|id| catalog.lent_layer(&image.store, id))
    });
    layers.collect()
}

fn of_stores(host: &Host, catalog: &Catalog, around: &Surroundings) -> Vec<OpenRow> {
    let mut rows = grouped(catalog.layers.values(), catalog, around);
    for problem in &catalog.problems {
        let blobs = host.path(Path::new(&problem.file).join(BLOBS));
        if problem.kind == ProblemKind::UnsupportedStore && blobs.is_dir() {
            rows.push(OpenRow {
                store: format!("containerd@{}", problem.file),
                layers: 0,
                example: shown(&blobs),
                exposure: around.of(&blobs, Whose::default()),
            });
        }
    }
    rows
}

/// What differs in store, opening component or readers, each once.
fn grouped<'a>(
    layers: impl Iterator<Item = &'a Layer>,
    catalog: &Catalog,
    around: &Surroundings,
) -> Vec<OpenRow> {
    type Group = (String, Option<PathBuf>, Vec<Reader>);
    let mut groups: BTreeMap<Group, OpenRow> = BTreeMap::new();
    // A layer and the blob that it was unpacked from are opened by one component, or by two.
    let places = layers.flat_map(|layer| {
        let blob = catalog.blob_of(layer).filter(|_| !layer.is_packed());
        let own = (layer, layer.content.clone());
        std::iter::once(own).chain(blob.map(|blob| (layer, blob)))
    });
    let mut counted = BTreeSet::new();
    for (layer, path) in places {
        let exposure = around.of(&path, Whose::store(catalog.store(&layer.key.store)));
        let store = layer.key.store.to_string();
        let gate = exposure.opened_by.as_ref().map(|gate| gate.path.clone());
        let group = (store.clone(), gate, exposure.exposed_to.clone());
        let is_new = counted.insert((layer.key.clone(), group.clone()));
        let row = groups.entry(group).or_insert_with(|| OpenRow {
            store,
            layers: 0,
            example: shown(&path),
            exposure,
        });
        row.layers += usize::from(is_new);
    }
    groups.into_values().collect()
}

fn of_path(
    arguments: &ExposureArguments,
    path: &Path,
    host: &Host,
    catalog: &Catalog,
    around: &Surroundings,
) -> Result<Done> {
    let path = path
        .canonicalize()
        .with_context(|| format!("open {}", path.display()))?;
    let location = catalog.locate(host, &path);
    let in_layer = location.as_ref().map(|location| {
        use std::os::unix::ffi::OsStrExt;
        Path::new(std::ffi::OsStr::from_bytes(&location.path_in_layer))
    });
    let store = location.as_ref().map(|location| &location.layer.store);
    let store = store.and_then(|id| catalog.store(id));
    let exposure = around.of(&path, Whose { store, in_layer });
    let rows = rows(&exposure);
    Output::new(arguments.output).single("exposure", &exposure, |output| output.table(&[], rows))?;
    Ok(Done::Clean)
}

fn shown(path: &Path) -> String {
    printable(path.as_os_str().as_encoded_bytes()).to_string()
}
