//! From catalog, scans and policies to the parts of a snapshot.
//!
//! Invariant: looks at the file system only to judge exposure and visibility; everything else was read before. Runs on a
//! thread of its own, called by `Survey::snapshot`.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;

use super::scans::LayerFindings;
use crate::catalog::Catalog;
use crate::exposure::{Surroundings, Whose};
use crate::knowledge::{HostFacts, KnowledgeParts, KnownBlob, KnownConfig, KnownFinding, KnownVerdict};
use crate::model::{DevIno, Finding, Image, ImageId, Layer, LayerId, LayerKey, Place, StoreId, Visibility};
use crate::scan;
use crate::trust::{self, TrustInputs};

/// What a snapshot is made from.
#[derive(Debug)]
pub(super) struct Input {
    pub(super) generation: u64,
    pub(super) built: Timestamp,
    pub(super) facts: HostFacts,
    pub(super) catalog: Arc<Catalog>,
    pub(super) layers: LayerFindings,
    pub(super) configs: BTreeMap<(StoreId, ImageId), Vec<Finding>>,
}

/// The parts of the snapshot.
pub(super) fn parts(
    input: &Input,
    surroundings: &Surroundings,
    trust: &TrustInputs,
    engine_executables: Vec<DevIno>,
) -> KnowledgeParts {
    let catalog = &input.catalog;
    let mut findings = Vec::new();
    for (key, found) in &input.layers {
        let Some(layer) = catalog.layer(key) else { continue };
        findings.extend(
            found
                .iter()
                .map(|finding| known(input, surroundings, layer, finding)),
        );
    }
    KnowledgeParts {
        generation: input.generation,
        built: input.built,
        host: input.facts,
        stores: catalog.stores.clone(),
        layers: catalog.layers.values().cloned().collect(),
        images: catalog.images.clone(),
        scanned: input.layers.keys().cloned().collect(),
        findings,
        configs: configs(input, surroundings),
        blobs: blobs(input, surroundings),
        verdicts: verdicts(catalog, trust),
        raw_devices: catalog.raw_devices.clone(),
        engine_sockets: surroundings.engine_sockets().to_vec(),
        engine_executables,
    }
}

/// The configurations with findings, as far as their files can still be looked at.
fn configs(input: &Input, surroundings: &Surroundings) -> Vec<KnownConfig> {
    let images = input.catalog.images.iter();
    let known = images.filter_map(|image| {
        let findings = input.configs.get(&(image.store.clone(), image.id.clone()))?;
        let path = image.config.as_ref().filter(|_| !findings.is_empty())?;
        let metadata = std::fs::symlink_metadata(path).ok()?;
        Some(KnownConfig {
            key: DevIno::of(&metadata),
            store: image.store.clone(),
            image: image.id.clone(),
            findings: findings.clone(),
            exposure: Some(surroundings.of(path, Whose::store(input.catalog.store(&image.store)))),
        })
    });
    known.collect()
}

/// The blobs of unpacked layers with findings.
fn blobs(input: &Input, surroundings: &Surroundings) -> Vec<KnownBlob> {
    let with_findings = input.layers.iter().filter(|(_, found)| !found.is_empty());
    let known = with_findings.filter_map(|(key, _)| {
        let layer = input.catalog.layer(key).filter(|layer| !layer.is_packed())?;
        let path = input.catalog.blob_of(layer)?;
        let metadata = std::fs::symlink_metadata(&path).ok()?;
        Some(KnownBlob {
            key: DevIno::of(&metadata),
            layer: key.clone(),
            exposure: Some(surroundings.of(&path, Whose::store(input.catalog.store(&key.store)))),
        })
    });
    known.collect()
}

fn known(input: &Input, surroundings: &Surroundings, layer: &Layer, finding: &Finding) -> KnownFinding {
    let Place::File { path, .. } = &finding.place else {
        return KnownFinding {
            finding: finding.clone(),
            visibility: Vec::new(),
            exposure: None,
        };
    };
    let store = input.catalog.store(&layer.key.store);
    // Who can read a blob can read all that is packed in it.
    let exposure = if layer.is_file() {
        surroundings.of(&layer.content, Whose::store(store))
    } else {
        let whose = Whose {
            store,
            in_layer: Some(os_path(path)),
        };
        surroundings.of(&layer.content.join(os_path(path)), whose)
    };
    let exposure = Some(exposure);
    // The inode is that of this copy; what it is, is told of the layer that it came with.
    let origin = input.catalog.origin(layer, path);
    let mut finding = finding.clone();
    if let Place::File { layer, .. } = &mut finding.place {
        *layer = Some(origin.key.clone());
    }
    KnownFinding {
        visibility: visibilities(input, origin, &finding, path),
        exposure,
        finding,
    }
}

fn os_path(bytes: &[u8]) -> &Path {
    use std::os::unix::ffi::OsStrExt;
    Path::new(std::ffi::OsStr::from_bytes(bytes))
}

/// Whether each image that contains the layer still shows the file.
fn visibilities(input: &Input, layer: &Layer, finding: &Finding, path: &[u8]) -> Vec<(ImageId, Visibility)> {
    let catalog = &input.catalog;
    // The same secret at the same place of a later layer, under other permissions.
    let is_copy = |id: &LayerId, content: &Path| {
        let key = LayerKey {
            store: layer.key.store.clone(),
            layer: id.clone(),
        };
        let found = input.layers.get(&key).into_iter().flat_map(|found| found.iter());
        let mut same = found.filter(|other| is_same_secret(finding, other));
        same.next().is_some()
            && scan::permissions_differ(&layer.content.join(os_path(path)), &content.join(os_path(path)))
    };
    let images = catalog.images_of(&layer.key).into_iter();
    images
        .map(|place| {
            (
                place.image.id.clone(),
                visibility(catalog, place.image, layer, path, &is_copy),
            )
        })
        .collect()
}

fn is_same_secret(one: &Finding, other: &Finding) -> bool {
    let place = |finding: &Finding| match &finding.place {
        Place::File { path, member, .. } => Some((path.clone(), member.clone())),
        Place::ImageConfig { .. } => None,
    };
    one.rule == other.rule && one.fingerprint == other.fingerprint && place(one) == place(other)
}

/// Whether an image still shows a file that came with one of its layers.
pub(crate) fn visibility(
    catalog: &Catalog,
    image: &Image,
    layer: &Layer,
    path: &[u8],
    is_copy: &dyn Fn(&LayerId, &Path) -> bool,
) -> Visibility {
    let above: Vec<(LayerId, &Path)> = catalog
        .layers_above(image, &layer.key)
        .into_iter()
        .map(|layer| (layer.key.layer.clone(), layer.content.as_path()))
        .collect();
    let in_copies = catalog.visibility_in_copies(layer, path, &above, is_copy);
    in_copies.unwrap_or_else(|| scan::visibility(path, &above, is_copy))
}

/// A verdict for each name of each image; for one without a name too.
fn verdicts(catalog: &Catalog, inputs: &TrustInputs) -> Vec<KnownVerdict> {
    let mut verdicts = Vec::new();
    for image in &catalog.images {
        let Some(engine) = catalog.store(&image.store).map(|store| store.engine) else {
            continue;
        };
        let names = image.names.iter().map(|name| Some(name.as_str()));
        let nameless = image.names.is_empty().then_some(None);
        for name in names.chain(nameless) {
            verdicts.push(KnownVerdict {
                store: image.store.clone(),
                image: image.id.clone(),
                verdict: trust::evaluate(inputs, engine, image, name),
            });
        }
    }
    verdicts
}
