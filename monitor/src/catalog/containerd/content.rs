//! From the blob that an image's name means down to configurations and layers: indexes and manifests in the content store.
//!
//! Invariant: only blobs that the namespace has are opened, by their digests, bounded in bytes, number and depth; platforms
//! that were not fetched are no problem. Called by the reader of images.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::metadata::Namespace;
use super::places::Places;
use crate::bounded::{self, BoundedError};
use crate::catalog::image_config::{self, ImageConfig, MAX_LAYERS};
use crate::catalog::problem::{ProblemKind, Problems, chain};
use crate::catalog::reading::digest;
use crate::model::Digest;

/// An index may name indexes; nobody nests them deeper.
const MAX_DEPTH: usize = 4;
/// Manifests that one name may lead to: architectures, and attestations to each.
const MAX_MANIFESTS: usize = 200;

const OPERATION: &str = "read an image's manifest";

/// An image for one platform.
#[derive(Debug)]
pub(super) struct Manifest {
    pub(super) digest: Digest,
    pub(super) config_digest: Digest,
    pub(super) config_file: PathBuf,
    pub(super) config: ImageConfig,
    /// The layers' blobs, base first.
    pub(super) blobs: Vec<Digest>,
}

/// An index or a manifest (OCI image spec, image-index.md and manifest.md; Docker's have the same keys).
#[derive(Deserialize)]
struct Document {
    manifests: Option<Vec<Descriptor>>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
}

#[derive(Deserialize)]
struct Descriptor {
    digest: String,
    platform: Option<Platform>,
}

#[derive(Deserialize)]
struct Platform {
    architecture: Option<String>,
}

impl Descriptor {
    /// What BuildKit says about an image beside it is no image.
    fn is_attestation(&self) -> bool {
        let architecture = self
            .platform
            .as_ref()
            .and_then(|platform| platform.architecture.as_deref());
        architecture == Some("unknown")
    }
}

/// Reads blobs of a namespace.
pub(super) struct Content<'a> {
    pub(super) places: Places<'a>,
    pub(super) namespace: &'a Namespace,
    pub(super) problems: &'a mut Problems,
}

impl Content<'_> {
    fn file(&self, digest: &Digest) -> PathBuf {
        self.places.blob(digest)
    }

    /// The images that a blob means: one, or one for each platform of an index that was fetched.
    pub(super) fn manifests(&mut self, target: &Digest) -> Vec<Manifest> {
        let mut found = Vec::new();
        let mut seen = BTreeSet::new();
        let mut level = vec![target.clone()];
        for _ in 0..MAX_DEPTH {
            let mut below = Vec::new();
            for digest in level {
                if seen.len() < MAX_MANIFESTS && seen.insert(digest.clone()) {
                    below.extend(self.document(&digest, digest == *target, &mut found));
                }
            }
            level = below;
        }
        if !level.is_empty() || seen.len() == MAX_MANIFESTS {
            let cause = format!("more than {MAX_MANIFESTS} manifests, or deeper than {MAX_DEPTH}");
            self.bad(&self.file(target), ProblemKind::TooLarge, &cause);
        }
        found
    }

    /// Reads an index or a manifest: what it leads to further down.
    fn document(&mut self, at: &Digest, is_named: bool, found: &mut Vec<Manifest>) -> Vec<Digest> {
        let file = self.file(at);
        let document =
            self.blob(at, is_named)
                .and_then(|bytes| match serde_json::from_slice::<Document>(&bytes) {
                    Ok(document) => Some(document),
                    Err(error) => {
                        self.bad(&file, ProblemKind::Malformed, &error.to_string());
                        None
                    }
                });
        let Some(document) = document else {
            return Vec::new();
        };
        if let Some(config) = document.config {
            let layers = document.layers.unwrap_or_default();
            found.extend(self.manifest(at, &config, &layers, &file));
        }
        let below = document.manifests.unwrap_or_default().into_iter();
        below
            .filter(|one| !one.is_attestation())
            .take(MAX_MANIFESTS)
            .filter_map(|one| digest(&one.digest, OPERATION, &file, self.problems))
            .collect()
    }

    fn manifest(
        &mut self,
        at: &Digest,
        config: &Descriptor,
        layers: &[Descriptor],
        file: &Path,
    ) -> Option<Manifest> {
        let config_digest = digest(&config.digest, OPERATION, file, self.problems)?;
        let config_file = self.file(&config_digest);
        // Of a platform that was not fetched there is the manifest at most.
        let bytes = self.blob(&config_digest, false)?;
        let layers = layers.iter().take(MAX_LAYERS);
        Some(Manifest {
            blobs: layers
                .map_while(|layer| digest(&layer.digest, OPERATION, file, self.problems))
                .collect(),
            config: image_config::parse(&bytes, &config_file, self.problems).unwrap_or_default(),
            digest: at.clone(),
            config_digest,
            config_file,
        })
    }

    /// A blob's bytes; one that has to be there and is not is a problem.
    fn blob(&mut self, digest: &Digest, must_exist: bool) -> Option<Vec<u8>> {
        let file = self.file(digest);
        let is_known = self.namespace.blobs.contains_key(digest);
        let read = is_known.then(|| bounded::read(&file, image_config::MAX_BYTES));
        match read {
            Some(Ok(bytes)) => return Some(bytes),
            Some(Err(error)) if !error.is_not_found() => {
                let kind = match error {
                    BoundedError::TooLarge { .. } => ProblemKind::TooLarge,
                    BoundedError::Open { .. } | BoundedError::Read { .. } | BoundedError::NotText { .. } => {
                        ProblemKind::Unreadable
                    }
                };
                self.bad(&file, kind, &chain(&error));
            }
            Some(Err(_)) | None if must_exist => {
                let cause = "the blob is not in the content store";
                self.bad(&file, ProblemKind::MissingContent, cause);
            }
            Some(Err(_)) | None => {}
        }
        None
    }

    fn bad(&mut self, file: &Path, kind: ProblemKind, cause: &str) {
        self.problems.add(kind, file, OPERATION, cause);
    }
}
