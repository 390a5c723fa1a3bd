//! One finding as it is printed.
//!
//! Invariant: everything in it is escaped already; the keys are a contract (docs/scan.md). Made by `gather`, and by
//! `explain` for one path.

use serde::Serialize;

use super::super::output::Item;
use super::super::tone::Entry;
use crate::knowledge::{Knowledge, KnownFinding};
use crate::model::text::printable;
use crate::model::{Exposure, Finding, ImageId, ImageReport, LayerKey, Place, Visibility};
use crate::scan::{ImageShape, TargetFinding, TargetScan};

/// An image that contains the finding's layer, and whether it still shows the file.
#[derive(Debug, Serialize)]
pub(in crate::cli) struct ImageRow {
    #[serde(flatten)]
    pub(super) image: ImageReport,
    pub(super) visibility: Visibility,
}

/// See the module.
#[derive(Debug, Serialize)]
pub(in crate::cli) struct FindingRow {
    /// What was scanned, where it was given on the command line and is no image.
    pub(super) target: Option<String>,
    /// The path in the layer, or the part of the image's configuration, escaped.
    pub(super) path: String,
    /// The name in the archive at that path, escaped.
    pub(super) member: Option<String>,
    pub(super) line: Option<u32>,
    #[serde(flatten)]
    pub(super) finding: Finding,
    pub(super) layer: Option<LayerKey>,
    pub(super) images: Vec<ImageRow>,
    /// A later layer hides the file in each image that contains it.
    pub(super) shadowed: bool,
    pub(super) exposure: Option<Exposure>,
    /// The baseline has it.
    pub(super) accepted: bool,
}

impl FindingRow {
    /// A finding on its own.
    fn bare(finding: Finding) -> Self {
        let (path, member, line, layer) = match &finding.place {
            Place::File {
                layer,
                path,
                member,
                line,
                ..
            } => (
                printable(path).to_string(),
                member.as_ref().map(|member| printable(member).to_string()),
                *line,
                layer.clone(),
            ),
            Place::ImageConfig { field, name, .. } => (
                printable(format!("{field}: {name}").as_bytes()).to_string(),
                None,
                None,
                None,
            ),
        };
        Self {
            target: None,
            path,
            member,
            line,
            finding,
            layer,
            images: Vec::new(),
            shadowed: false,
            exposure: None,
            accepted: false,
        }
    }

    /// A finding in a store, with what a snapshot knows of it.
    pub(in crate::cli) fn known(known: &KnownFinding, knowledge: &Knowledge) -> Self {
        let bare = Self::bare(known.finding.clone());
        let state = |image: &ImageId| {
            let mut states = known.visibility.iter();
            states
                .find(|(id, _)| id == image)
                .map_or(Visibility::Visible, |(_, state)| state.clone())
        };
        let images = bare.layer.as_ref().map_or(Vec::new(), |layer| {
            knowledge
                .images_of(layer)
                .map(|image| ImageRow {
                    visibility: state(&image.id),
                    image: crate::knowledge::image_report(image),
                })
                .collect()
        });
        Self {
            images,
            shadowed: knowledge.is_shadowed(known),
            exposure: known.exposure.clone(),
            ..bare
        }
    }

    /// A finding in the configuration of a cached image.
    pub(super) fn of_image(finding: Finding, image: ImageReport) -> Self {
        Self {
            images: vec![ImageRow {
                image,
                visibility: Visibility::Visible,
            }],
            ..Self::bare(finding)
        }
    }

    /// A finding in a target.
    pub(super) fn of_target(target: &str, scan: &TargetScan, found: &TargetFinding) -> Self {
        let report = |image: &ImageShape| ImageReport {
            name: image.names.first().cloned(),
            id: ImageId::new(&image.id),
            digest: None,
        };
        let images: Vec<ImageRow> = scan
            .images_of(found)
            .into_iter()
            .map(|(image, visibility)| ImageRow {
                image: report(image),
                visibility,
            })
            .collect();
        Self {
            target: Some(target.to_owned()),
            shadowed: !images.is_empty() && images.iter().all(|row| row.visibility.is_shadowed()),
            images,
            ..Self::bare(found.finding.clone())
        }
    }

    /// The path, with the name in the archive as Java writes it.
    pub(super) fn full_path(&self) -> String {
        match &self.member {
            Some(member) => format!("{}!/{member}", self.path),
            None => self.path.clone(),
        }
    }

    /// Whether each image still shows it, in one word.
    fn state(&self) -> &'static str {
        if self.shadowed {
            return "hidden";
        }
        let states = || self.images.iter().map(|row| &row.visibility);
        if states().any(Visibility::is_shadowed) {
            "in part"
        } else if states().any(|state| matches!(state, Visibility::Repermissioned { .. })) {
            "other mode"
        } else {
            "visible"
        }
    }

    /// The finding in words, for `explain`.
    pub(in crate::cli) fn finding_rows(&self) -> Vec<Entry> {
        let finding = &self.finding;
        let line = self.line.map_or(String::new(), |line| format!(", line {line}"));
        let member = self
            .member
            .as_ref()
            .map_or(String::new(), |member| format!(" in {member}"));
        vec![Entry::outside(format!(
            "{}: {}{member} ({}{line})",
            finding.severity.as_str(),
            finding.title,
            finding.rule
        ))]
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
        "IN IMAGES",
        "READABLE BY",
        "IMAGES",
    ];

    fn rows(&self) -> Vec<Vec<Entry>> {
        let images: Vec<&str> = self
            .images
            .iter()
            .map(|row| row.image.name.as_deref().unwrap_or("<none>"))
            .collect();
        let readers = self
            .exposure
            .as_ref()
            .map_or(Entry::plain("-"), |exposure| Entry::readers([exposure]));
        vec![vec![
            Entry::severity(self.finding.severity),
            Entry::plain(&self.finding.rule),
            Entry::plain(self.full_path()),
            self.line.map_or(Entry::plain("-"), Entry::plain),
            Entry::plain(if self.images.is_empty() { "-" } else { self.state() }),
            readers,
            // Already escaped: an image's name goes through `printable` when it is reported.
            Entry::plain(images.join(", ")),
        ]]
    }
}
