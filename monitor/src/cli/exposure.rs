//! `layerwatch exposure`: who can read what, by which component, and the command that closes it.
//!
//! Nothing is scanned: a layer counts as open to whoever can enter it, and the modes of its files decide the rest.
//! `layerwatch scan --all` tells of each finding.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use serde::Serialize;

use super::context::{Context, surroundings};
use super::exit::Done;
use super::output::{Item, Output, OutputArguments};
use super::tone::{Entry, reader};
use crate::catalog::{Catalog, Host, ProblemKind};
use crate::exposure::{Surroundings, Whose};
use crate::model::text::printable;
use crate::model::{Bypass, Exposure, Layer, Reader};

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

/// What one component opens.
#[derive(Debug, Serialize)]
struct OpenRow {
    store: String,
    /// How many layers have this exposure.
    layers: usize,
    /// A path that has it.
    example: String,
    #[serde(flatten)]
    exposure: Exposure,
}

impl Item for OpenRow {
    const KIND: &'static str = "exposure";
    const LIST: &'static str = "exposures";
    const COLUMNS: &'static [&'static str] = &[
        "STORE",
        "LAYERS",
        "OPEN TO",
        "ROOT'S EQUALS",
        "OPENED BY",
        "CVE",
        "CLOSE WITH",
    ];

    fn rows(&self) -> Vec<Vec<Entry>> {
        let exposure = &self.exposure;
        let gate = exposure.opened_by.as_ref();
        let opened = gate.map_or_else(
            || "-".to_owned(),
            |gate| format!("{} ({:o})", gate.path.display(), gate.mode),
        );
        let cve = exposure.cause.as_ref().and_then(|cause| cause.cve.clone());
        vec![vec![
            Entry::outside(&self.store),
            Entry::plain(self.layers),
            Entry::exposed(&exposure.exposed_to),
            Entry::plain(equals(&exposure.bypasses)),
            Entry::plain(opened),
            Entry::plain(cve.as_deref().unwrap_or("-")),
            Entry::outside(exposure.remedy.as_deref().unwrap_or("-")),
        ]]
    }
}

/// Root's equals in words, each once.
fn equals(bypasses: &[Bypass]) -> String {
    let names = bypasses
        .iter()
        .filter(|one| one.root_equivalent)
        .map(|one| reader(&one.reader));
    let names: std::collections::BTreeSet<String> = names.collect();
    if names.is_empty() {
        "-".to_owned()
    } else {
        names.into_iter().collect::<Vec<_>>().join(", ")
    }
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
    for layer in layers {
        let exposure = around.of(&layer.content, Whose::store(catalog.store(&layer.key.store)));
        let store = layer.key.store.to_string();
        let gate = exposure.opened_by.as_ref().map(|gate| gate.path.clone());
        let group = (store.clone(), gate, exposure.exposed_to.clone());
        let row = groups.entry(group).or_insert_with(|| OpenRow {
            store,
            layers: 0,
            example: shown(&layer.content),
            exposure,
        });
        row.layers += 1;
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

/// An exposure as lines of a table of two columns.
pub(super) fn rows(exposure: &Exposure) -> Vec<Vec<Entry>> {
    let row = |name: &str, entry: Entry| vec![Entry::plain(name), entry];
    let gate = |gate: &crate::model::Gate| format!("{} ({:o})", gate.path.display(), gate.mode & 0o7777);
    let mut rows = vec![
        row("readable by", Entry::readers([exposure])),
        row("exposed to", Entry::exposed(&exposure.exposed_to)),
    ];
    rows.extend(
        exposure
            .closed_by
            .iter()
            .map(|one| row("closed by", Entry::plain(gate(one)))),
    );
    rows.extend(
        exposure
            .opened_by
            .iter()
            .map(|one| row("opened by", Entry::plain(gate(one)))),
    );
    if let Some(cause) = &exposure.cause {
        let cve = cause.cve.as_ref().map_or(String::new(), |cve| format!("{cve}: "));
        rows.push(row("because", Entry::plain(format!("{cve}{}", cause.text))));
    }
    rows.extend(
        exposure
            .remedy
            .iter()
            .map(|one| row("close it with", Entry::outside(one))),
    );
    rows.extend(exposure.bypasses.iter().map(|one| {
        let equal = if one.root_equivalent {
            " (root's equal)"
        } else {
            ""
        };
        let text = format!(
            "{}{equal} by {} {}",
            reader(&one.reader),
            one.by.as_str(),
            one.via
        );
        row("also", Entry::plain(text))
    }));
    rows.extend(
        exposure
            .uncertain
            .iter()
            .map(|one| row("uncertain", Entry::outside(one))),
    );
    if !exposure.security_modules.is_empty() {
        let modules = exposure.security_modules.join(", ");
        rows.push(row("may still deny", Entry::plain(modules)));
    }
    rows
}

fn shown(path: &Path) -> String {
    printable(path.as_os_str().as_encoded_bytes()).to_string()
}
