//! Scanning what the stores hold, all of it or some images.
//!
//! Invariant: what was scanned before an interruption is given back. Called by `gather`.

use anyhow::{Result, bail};
use indicatif::ProgressBar;

use super::super::context::{Context, tell};
use super::super::output::note;
use super::FindingRow;
use super::gather::Gathered;
use crate::app;
use crate::telemetry::happenings::chain;

/// Scans every layer, and keeps the findings of the images that were named; of all if none was.
pub(super) async fn in_stores(
    context: &Context,
    images: &[&String],
    bar: &ProgressBar,
    gathered: &mut Gathered,
) -> Result<()> {
    let mut survey = context.survey()?;
    let scanning = survey.once(|done| bar.set_message(format!("{done} layers and images scanned")));
    let outcome = tokio::select! {
        outcome = scanning => Some(outcome?),
        _ = tokio::signal::ctrl_c() => None,
    };
    tell(&survey.catalog().problems);
    match outcome {
        None => gathered.interrupted = true,
        Some(failed) => {
            gathered.failed |= !failed.is_empty();
            for error in failed {
                note(&format!("layerwatch: warning: {}", chain(&error)));
            }
        }
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
    if matched.is_empty() && !images.is_empty() && !gathered.interrupted {
        bail!(
            "no cached image, directory or file is called {}; `layerwatch images` lists the images",
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
                .any(|image| matched.iter().any(|other| other.id == image.image.id))
    };
    let files = knowledge
        .distinct_findings()
        .map(|known| FindingRow::known(known, &knowledge))
        .filter(in_matched);
    gathered.findings.extend(files);
    for image in matched {
        let found = configs.get(&(image.store.clone(), image.id.clone()));
        let rows = found.into_iter().flatten().cloned();
        let report = || crate::knowledge::image_report(image);
        gathered
            .findings
            .extend(rows.map(|finding| FindingRow::of_image(finding, report())));
    }
    gathered.problems.clone_from(&catalog.problems);
    Ok(())
}
