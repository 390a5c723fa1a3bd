//! Which layers make which image: docker's manifest.json, or the OCI index and its manifests.
//!
//! OCI image spec, image-index.md, manifest.md, config.md; Docker image spec v1.2, "Combined Image JSON". Invariant: a
//! document that is missing or makes no sense costs its own image; the numbers of images and layers are bounded; an
//! index in an index is followed to a bounded depth. Used by `archive`.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::super::shape::{Layout, MAX_IMAGES, MAX_LAYERS};
use super::super::summary::{ProblemKind, ScanSummary};
use super::blobs::Blobs;
use crate::model::text;

const MAX_DEPTH: usize = 3;
const MAX_NAME: usize = 512;

/// A layer and where it lies.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct LayerPart {
    pub(super) blob: Vec<u8>,
    /// The digest that the configuration claims.
    pub(super) diff_id: Option<String>,
}

impl LayerPart {
    /// What it is called before its digest is known.
    pub(super) fn shown(&self) -> String {
        self.diff_id
            .clone()
            .unwrap_or_else(|| text::printable(&self.blob).to_string())
    }
}

/// An image.
#[derive(Debug)]
pub(super) struct ImagePart {
    pub(super) names: Vec<String>,
    /// The configuration's digest or name.
    pub(super) id: String,
    pub(super) config: Vec<u8>,
    /// Numbers of layers, lowest first.
    pub(super) layers: Vec<u32>,
}

/// All images of a target.
#[derive(Debug, Default)]
pub(super) struct Images {
    /// Each layer once, such that those of an image come lowest first.
    pub(super) layers: Vec<LayerPart>,
    pub(super) list: Vec<ImagePart>,
    numbers: BTreeMap<Vec<u8>, u32>,
}

#[derive(Deserialize)]
struct DockerImage {
    #[serde(rename = "Config")]
    config: String,
    #[serde(rename = "RepoTags", default)]
    names: Option<Vec<String>>,
    #[serde(rename = "Layers", default)]
    layers: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Descriptor {
    digest: String,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Manifest {
    #[serde(default)]
    manifests: Vec<Descriptor>,
    config: Option<Descriptor>,
    #[serde(default)]
    layers: Vec<Descriptor>,
}

impl Images {
    /// Reads what the target says of itself.
    pub(super) fn read(blobs: &Blobs<'_>, layout: Layout, summary: &mut ScanSummary) -> Self {
        let mut images = Self::default();
        match layout {
            Layout::DockerArchive => images.docker(blobs, summary),
            Layout::OciArchive | Layout::OciLayout => {
                images.oci(blobs, b"index.json", &[], 0, summary);
            }
            Layout::LayerBlob => images.layers.push(LayerPart {
                blob: b"layer".to_vec(),
                diff_id: None,
            }),
            Layout::Directory | Layout::File => {}
        }
        images
    }

    fn docker(&mut self, blobs: &Blobs<'_>, summary: &mut ScanSummary) {
        let manifest = blobs.document(b"manifest.json");
        let parsed = manifest.and_then(|bytes| serde_json::from_slice::<Vec<DockerImage>>(&bytes).ok());
        let Some(parsed) = parsed else {
            return summary.problem(ProblemKind::Archive, b"manifest.json", None);
        };
        for image in parsed.into_iter().take(MAX_IMAGES) {
            let layers = image.layers.unwrap_or_default();
            let layers = layers.into_iter().map(String::into_bytes).collect();
            let names = image.names.unwrap_or_default();
            self.image(blobs, image.config.as_bytes(), &names, layers, summary);
        }
    }

    /// An index or a manifest.
    fn oci(
        &mut self,
        blobs: &Blobs<'_>,
        name: &[u8],
        names: &[String],
        depth: usize,
        summary: &mut ScanSummary,
    ) {
        let Some(bytes) = blobs.document(name) else {
            return summary.problem(ProblemKind::Missing, name, None);
        };
        let Ok(manifest) = serde_json::from_slice::<Manifest>(&bytes) else {
            return summary.problem(ProblemKind::Archive, name, None);
        };
        if let Some(config) = &manifest.config {
            let layers: Vec<_> = manifest
                .layers
                .iter()
                .filter_map(|layer| blob(&layer.digest))
                .collect();
            if layers.len() < manifest.layers.len() {
                summary.problem(ProblemKind::Digest, name, None);
            }
            let Some(config) = blob(&config.digest) else {
                return summary.problem(ProblemKind::Digest, name, None);
            };
            return self.image(blobs, &config, names, layers, summary);
        }
        if depth >= MAX_DEPTH {
            return summary.problem(ProblemKind::TooDeep, name, None);
        }
        for descriptor in &manifest.manifests {
            if self.list.len() >= MAX_IMAGES {
                return summary.problem(ProblemKind::Entries, name, None);
            }
            let Some(blob) = blob(&descriptor.digest) else {
                summary.problem(ProblemKind::Digest, name, None);
                continue;
            };
            let keys = ["io.containerd.image.name", "org.opencontainers.image.ref.name"];
            let own = keys.iter().find_map(|key| descriptor.annotations.get(*key));
            let inherited = names.to_vec();
            let names = own.map_or(inherited, |name| vec![name.clone()]);
            self.oci(blobs, &blob, &names, depth + 1, summary);
        }
    }

    fn image(
        &mut self,
        blobs: &Blobs<'_>,
        config: &[u8],
        names: &[String],
        layers: Vec<Vec<u8>>,
        summary: &mut ScanSummary,
    ) {
        let content = blobs.document(config);
        if content.is_none() {
            summary.problem(ProblemKind::Missing, config, None);
        }
        let content = content.unwrap_or_else(|| b"{}".to_vec());
        let claimed = diff_ids(&content);
        let mut numbers = Vec::new();
        for (at, blob) in layers.into_iter().enumerate() {
            let diff_id = claimed.get(at).cloned();
            match self.number(blob, diff_id) {
                Some(number) => numbers.push(number),
                None => return summary.problem(ProblemKind::Entries, config, None),
            }
        }
        let shown = |name: &String| {
            let name = name.as_bytes();
            text::printable(name.get(..MAX_NAME).unwrap_or(name)).to_string()
        };
        self.list.push(ImagePart {
            names: names.iter().take(MAX_IMAGES).map(shown).collect(),
            id: id(config),
            config: content,
            layers: numbers,
        });
    }

    /// The layer's number; nothing if there are too many.
    fn number(&mut self, blob: Vec<u8>, diff_id: Option<String>) -> Option<u32> {
        if let Some(number) = self.numbers.get(&blob) {
            return Some(*number);
        }
        if self.layers.len() >= MAX_LAYERS {
            return None;
        }
        let number = u32::try_from(self.layers.len()).ok()?;
        self.numbers.insert(blob.clone(), number);
        self.layers.push(LayerPart { blob, diff_id });
        Some(number)
    }
}

/// The name of a blob in a layout; nothing for a digest that is none.
fn blob(digest: &str) -> Option<Vec<u8>> {
    let (algorithm, digits) = digest.split_once(':')?;
    let is_name = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let is_good = is_name(algorithm) && is_name(digits) && digits.len() <= 128;
    is_good.then(|| format!("blobs/{algorithm}/{digits}").into_bytes())
}

/// `sha256:` and the digits where the configuration's name has them.
fn id(config: &[u8]) -> String {
    let name = config.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    let name = name.strip_suffix(b".json").unwrap_or(name);
    if name.len() == 64 && name.iter().all(u8::is_ascii_hexdigit) {
        String::from_utf8_lossy(name).into_owned()
    } else {
        text::printable(name.get(..MAX_NAME).unwrap_or(name)).to_string()
    }
}

/// The digests of the uncompressed layers that a configuration claims.
fn diff_ids(config: &[u8]) -> Vec<String> {
    let parsed: Value = serde_json::from_slice(config).unwrap_or_default();
    let listed = parsed.pointer("/rootfs/diff_ids").and_then(Value::as_array);
    let digests = listed
        .into_iter()
        .flatten()
        .map(|value| value.as_str().unwrap_or(""));
    digests
        .take(MAX_LAYERS)
        .map(|digest| text::printable(digest.as_bytes().get(..128).unwrap_or(digest.as_bytes())).to_string())
        .collect()
}
