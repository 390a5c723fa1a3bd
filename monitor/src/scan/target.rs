//! What a target outside the stores is, and what was found in it, as far as the scan came.
//!
//! Invariant: plain data that grows while the scan goes on, so that an interrupted scan has what it found so far.
//! Filled by `worker`, made in the worker by `archive`, printed by the CLI.

use serde::{Deserialize, Serialize};

use super::shape::{ImageShape, Shape};
use super::summary::{Progress, ScanSummary};
use crate::model::{Finding, ImageId, LayerId, LayerKey, Place, StoreId, Visibility};

/// What a layer does to a path below it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// Takes it away.
    Deletes,
    /// Puts something else there.
    Replaces,
    /// Puts the same secret there under other permissions.
    Repermissions,
}

/// What a layer does to the file of an earlier finding.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shadow {
    /// The finding's number.
    pub finding: u32,
    /// The layer's number.
    pub layer: u32,
    /// What it does.
    pub effect: Effect,
}

/// A finding in a target.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TargetFinding {
    /// The finding.
    pub finding: Finding,
    /// Its layer's number; absent in a bare directory and in a configuration.
    pub layer: Option<u32>,
    /// Its image's number, if it is in an image's configuration.
    pub image: Option<u32>,
    /// What later layers do to it.
    pub shadows: Vec<(u32, Effect)>,
}

/// A scanned target.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TargetScan {
    /// What it is, once that is known.
    pub shape: Option<Shape>,
    /// What was found so far.
    pub findings: Vec<TargetFinding>,
    /// How far it came.
    pub progress: Progress,
    /// What was seen besides; there when the scan is over.
    pub summary: Option<ScanSummary>,
}

impl TargetScan {
    /// Gives each finding the name of its layer or image; `path` is the target's, escaped.
    pub fn name_places(&mut self, path: &str) {
        let Some(shape) = &self.shape else { return };
        let store = StoreId::new(&format!("{}@{path}", shape.layout.as_str()));
        for found in &mut self.findings {
            let layer = found.layer.and_then(|number| shape.layers.get(index(number)));
            let image = found.image.and_then(|number| shape.images.get(index(number)));
            match &mut found.finding.place {
                Place::File { layer: of, .. } => {
                    *of = layer.map(|id| LayerKey {
                        store: store.clone(),
                        layer: LayerId::new(id),
                    });
                }
                Place::ImageConfig {
                    store: of, image: id, ..
                } => {
                    of.clone_from(&store);
                    *id = ImageId::new(image.map_or("", |image| image.id.as_str()));
                }
            }
        }
    }

    /// Each image that has the finding's layer, with whether it still shows the file.
    pub fn images_of(&self, found: &TargetFinding) -> Vec<(&ImageShape, Visibility)> {
        let images = self
            .shape
            .iter()
            .flat_map(|shape| shape.images.iter().zip(0u32..));
        images
            .filter_map(|(image, number)| {
                if found.image == Some(number) {
                    return Some((image, Visibility::Visible));
                }
                let at = image
                    .layers
                    .iter()
                    .position(|layer| Some(*layer) == found.layer)?;
                let above = image.layers.get(at + 1..).unwrap_or_default();
                Some((image, self.visibility(found, above)))
            })
            .collect()
    }

    /// The first layer above that hides the file; a copy under other permissions may be hidden again.
    fn visibility(&self, found: &TargetFinding, above: &[u32]) -> Visibility {
        let mut state = Visibility::Visible;
        for layer in above {
            let Some((_, effect)) = found.shadows.iter().find(|(by, _)| by == layer) else {
                continue;
            };
            let names = self
                .shape
                .as_ref()
                .and_then(|shape| shape.layers.get(index(*layer)));
            let by = LayerId::new(names.map_or("", String::as_str));
            match effect {
                Effect::Deletes => return Visibility::Deleted { by },
                Effect::Replaces => return Visibility::Replaced { by },
                Effect::Repermissions if state == Visibility::Visible => {
                    state = Visibility::Repermissioned { by };
                }
                Effect::Repermissions => {}
            }
        }
        state
    }
}

fn index(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
