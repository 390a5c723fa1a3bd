//! `layerwatch scan`: secrets in directories, in images of the stores, or in everything that is cached.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use serde::Serialize;

use super::context::{Context, block_on, tell};
use super::exit::Done;
use super::output::{Item, Output, OutputArguments, note};
use super::tone::Entry;
use crate::app;
use crate::knowledge::{Knowledge, KnownFinding};
use crate::model::text::printable;
use crate::model::{Exposure, Finding, ImageReport, LayerKey, Place, Severity};
use crate::scan::LayerRequest;

/// Flags of `scan`.
#[derive(Debug, Args)]
pub(super) struct ScanArguments {
    /// Directories, or names or ids of cached images
    #[arg(required_unless_present = "all", value_name = "TARGET")]
    targets: Vec<String>,
    /// Every layer and image of every store
    #[arg(long, conflicts_with = "targets")]
    all: bool,
    /// Exit with 3 if something at or above this severity is found
    #[arg(long, value_name = "SEVERITY", value_parser = severity)]
    fail_on: Option<Severity>,
    /// A file with rules of your own; may be given several times
    #[arg(long, value_name = "FILE")]
    rules: Vec<PathBuf>,
    /// No progress bar
    #[arg(long, short)]
    quiet: bool,
    #[command(flatten)]
    output: OutputArguments,
}

fn severity(text: &str) -> Result<Severity, String> {
    Severity::ALL
        .into_iter()
        .find(|severity| severity.as_str() == text)
        .ok_or_else(|| "one of info, low, medium, high, critical".to_owned())
}

/// One finding as it is printed.
#[derive(Debug, Serialize)]
pub(super) struct FindingRow {
    /// The path in the layer, or the part of the image's configuration, escaped.
    path: String,
    line: Option<u32>,
    #[serde(flatten)]
    finding: Finding,
    layer: Option<LayerKey>,
    images: Vec<ImageReport>,
    /// A later layer hides the file in each image that contains it.
    shadowed: bool,
    exposure: Option<Exposure>,
}

impl FindingRow {
    /// A finding on its own.
    fn bare(finding: Finding) -> Self {
        let (path, line, layer) = match &finding.place {
            Place::File {
                layer, path, line, ..
            } => (printable(path).to_string(), *line, layer.clone()),
            Place::ImageConfig { field, name, .. } => (
                printable(format!("{field}: {name}").as_bytes()).to_string(),
                None,
                None,
            ),
        };
        Self {
            path,
            line,
            finding,
            layer,
            images: Vec::new(),
            shadowed: false,
            exposure: None,
        }
    }

    /// A finding in a store, with what a snapshot knows of it.
    pub(super) fn known(known: &KnownFinding, knowledge: &Knowledge) -> Self {
        let bare = Self::bare(known.finding.clone());
        let images = bare.layer.as_ref().map_or(Vec::new(), |layer| {
            knowledge
                .images_of(layer)
                .map(crate::knowledge::image_report)
                .collect()
        });
        Self {
            images,
            shadowed: knowledge.is_shadowed(known),
            exposure: known.exposure.clone(),
            ..bare
        }
    }
}

impl Item for FindingRow {
    const KIND: &'static str = "finding";
    const LIST: &'static str = "findings";
    const COLUMNS: &'static [&'static str] = &[
        "SEVERITY",
        "RULE",
        "PATH",
        "LINE",
        "SHADOWED",
        "READABLE BY",
        "IMAGES",
    ];

    fn rows(&self) -> Vec<Vec<Entry>> {
        let images: Vec<&str> = self
            .images
            .iter()
            .map(|image| image.name.as_deref().unwrap_or("<none>"))
            .collect();
        vec![vec![
            Entry::severity(self.finding.severity),
            Entry::plain(&self.finding.rule),
            Entry::plain(&self.path),
            self.line.map_or(Entry::plain("-"), Entry::plain),
            Entry::plain(if self.shadowed { "yes" } else { "no" }),
            self.exposure
                .as_ref()
                .map_or(Entry::plain("-"), |exposure| Entry::readers([exposure])),
            // Already escaped: an image's name goes through `printable` when it is reported.
            Entry::plain(images.join(", ")),
        ]]
    }
}

/// Scans, prints the findings, worst first.
pub(super) fn scan(context: &Context, arguments: &ScanArguments) -> Result<Done> {
    let context = &super::rules::with_own(context, &arguments.rules)?;
    let mut findings = block_on(async {
        let mut findings = Vec::new();
        let (directories, images): (Vec<_>, Vec<_>) = arguments
            .targets
            .iter()
            .partition(|target| Path::new(target).is_dir());
        for directory in directories {
            findings.extend(in_directory(context, Path::new(directory)).await?);
        }
        if let Some(file) = images.iter().find(|image| Path::new(image).exists()) {
            bail!(
                "{file} is a file: archives and layouts are not read yet; unpack it and scan the directory"
            );
        }
        if arguments.all || !images.is_empty() {
            findings.extend(in_stores(context, &images, arguments.quiet).await?);
        }
        Ok(findings)
    })?;
    findings.sort_by(|a, b| {
        b.finding
            .severity
            .cmp(&a.finding.severity)
            .then_with(|| a.path.cmp(&b.path))
    });
    let worst = findings.iter().map(|row| row.finding.severity).max();
    Output::new(arguments.output).list(&findings, &[])?;
    let failed = arguments
        .fail_on
        .is_some_and(|limit| worst.is_some_and(|worst| worst >= limit));
    Ok(if failed { Done::Found } else { Done::Clean })
}

async fn in_directory(context: &Context, directory: &Path) -> Result<Vec<FindingRow>> {
    let config = context.config(&[])?;
    let mut worker = app::worker(&config, |_| {})?;
    let root: PathBuf = directory
        .canonicalize()
        .with_context(|| format!("open {}", directory.display()))?;
    let deadline = std::time::Duration::from_hours(24);
    let scan = worker
        .scan_layer(LayerRequest {
            layer: None,
            root,
            root_key: None,
            deadline,
        })
        .await?;
    for problem in &scan.summary.problems {
        note(&format!(
            "layerwatch: warning: {}: {:?}",
            problem.path, problem.kind
        ));
    }
    Ok(scan.findings.into_iter().map(FindingRow::bare).collect())
}

async fn in_stores(context: &Context, images: &[&String], quiet: bool) -> Result<Vec<FindingRow>> {
    let mut survey = context.survey()?;
    let bar = if quiet {
        indicatif::ProgressBar::hidden()
    } else {
        indicatif::ProgressBar::new_spinner()
    };
    bar.enable_steady_tick(std::time::Duration::from_millis(100));
    let failed = survey
        .once(|done| bar.set_message(format!("{done} layers and images scanned")))
        .await?;
    bar.finish_and_clear();
    tell(&survey.catalog().problems);
    for error in failed {
        note(&format!(
            "layerwatch: warning: {}",
            crate::telemetry::happenings::chain(&error)
        ));
    }
    let wanted = |id: &str, names: &[String]| {
        images.is_empty()
            || images
                .iter()
                .any(|image| names.contains(image) || (image.len() >= 12 && id.starts_with(image.as_str())))
    };
    let catalog = std::sync::Arc::clone(survey.catalog());
    let matched: Vec<_> = catalog
        .images
        .iter()
        .filter(|image| wanted(image.id.as_str(), &image.names))
        .collect();
    if matched.is_empty() && !images.is_empty() {
        bail!(
            "no cached image and no directory is called {}; `layerwatch images` lists the names",
            images.iter().map(|i| i.as_str()).collect::<Vec<_>>().join(", ")
        );
    }
    let configs = survey.image_findings().clone();
    let knowledge = survey.snapshot(app::now()).await?;
    let in_matched = |row: &FindingRow| {
        images.is_empty()
            || row
                .images
                .iter()
                .any(|image| matched.iter().any(|other| other.id == image.id))
    };
    let files = knowledge
        .parts()
        .findings
        .iter()
        .map(|known| FindingRow::known(known, &knowledge))
        .filter(in_matched);
    let configs = matched.iter().flat_map(|image| {
        let found = configs
            .get(&(image.store.clone(), image.id.clone()))
            .cloned()
            .unwrap_or_default();
        found.into_iter().map(|finding| FindingRow {
            images: vec![crate::knowledge::image_report(image)],
            ..FindingRow::bare(finding)
        })
    });
    Ok(files.chain(configs).collect())
}

impl FindingRow {
    /// The finding in words, for `explain`.
    pub(super) fn finding_rows(&self) -> Vec<Entry> {
        let finding = &self.finding;
        let line = self.line.map_or(String::new(), |line| format!(", line {line}"));
        vec![Entry::outside(format!(
            "{}: {} ({}{line})",
            finding.severity.as_str(),
            finding.title,
            finding.rule
        ))]
    }
}
