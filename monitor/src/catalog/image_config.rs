//! What an image's configuration (OCI image spec, config.md) tells of the image itself: when it was made, of which layers.
//!
//! Invariant: bounded; what may carry a secret is not kept, `scan` reads it for itself. Used by the readers of Docker's
//! and of containerd's images.

use std::path::Path;

use serde::Deserialize;

use super::names::time;
use super::problem::{ProblemKind, Problems};
use super::reading::digest;
use crate::model::Digest;

/// As much as the scan reads of one; they have some kilobytes.
pub(super) const MAX_BYTES: u64 = 8 << 20;

/// More layers than any driver mounts (overlay2: 128).
pub(super) const MAX_LAYERS: usize = 500;

pub(super) const OPERATION: &str = "read an image's configuration";

/// What is kept of a configuration.
#[derive(Debug, Default)]
pub(super) struct ImageConfig {
    pub(super) created: Option<jiff::Timestamp>,
    /// Base first, as far as they are digests: one that is none hides all above it.
    pub(super) diff_ids: Vec<Digest>,
}

#[derive(Deserialize)]
struct Document {
    created: Option<String>,
    rootfs: Option<RootFs>,
}

#[derive(Deserialize)]
struct RootFs {
    diff_ids: Option<Vec<String>>,
}

/// Parses a configuration; what is wrong with it is a problem of `file`.
pub(super) fn parse(bytes: &[u8], file: &Path, problems: &mut Problems) -> Option<ImageConfig> {
    let document: Document = match serde_json::from_slice(bytes) {
        Ok(document) => document,
        Err(error) => {
            problems.add(ProblemKind::Malformed, file, OPERATION, &error.to_string());
            return None;
        }
    };
    let texts = document.rootfs.and_then(|rootfs| rootfs.diff_ids);
    let texts = texts.unwrap_or_default();
    if texts.len() > MAX_LAYERS {
        let cause = format!("{} layers, only the first {MAX_LAYERS} are read", texts.len());
        problems.add(ProblemKind::TooLarge, file, OPERATION, &cause);
    }
    Some(ImageConfig {
        created: time(document.created.as_deref()),
        diff_ids: texts
            .iter()
            .take(MAX_LAYERS)
            .map_while(|text| digest(text, OPERATION, file, problems))
            .collect(),
    })
}
