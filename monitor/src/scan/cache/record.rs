//! One kept result: findings as a worker reports them, with what tells whether their files are still the same.
//!
//! Invariant: a record is believed only with its MAC, and then as much as a worker's answer: rules, paths and texts go
//! through `worker::believe_file`. Used by the cache.

use serde::{Deserialize, Serialize};

use super::super::redact::FingerprintKey;
use super::super::rules::RuleSet;
use super::super::summary::{LayerScan, ScanSummary};
use super::super::worker::{WireFinding, believe_file, believe_summary, wire};
use super::place::{Stamp, stamp};
use crate::model::{DevIno, Layer, Place};

const SEAL_BYTES: usize = 32;

/// A finding and its file.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    finding: WireFinding,
    file: Stamp,
}

/// See the module.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    findings: Vec<Kept>,
    summary: ScanSummary,
}

impl Record {
    /// Nothing if a file is not there any more.
    pub(super) fn of(layer: &Layer, scan: &LayerScan) -> Option<Self> {
        let kept = |finding: &crate::model::Finding| {
            let Place::File { path, key, .. } = &finding.place else {
                return None;
            };
            let (file, found) = stamp(&layer.content, path)?;
            (found == *key).then(|| Kept {
                finding: wire(finding.clone(), None, None),
                file,
            })
        };
        Some(Self {
            findings: scan.findings.iter().map(kept).collect::<Option<_>>()?,
            summary: scan.summary.clone(),
        })
    }

    /// The result as if the layer had been scanned now; nothing if one of the files is not what it was.
    pub(super) fn layer_scan(self, rules: &RuleSet, layer: &Layer) -> Option<LayerScan> {
        let restore = |kept: Kept| {
            let mut finding = believe_file(rules, kept.finding, &layer.key)?;
            let Place::File {
                path,
                key,
                generation,
                ..
            } = &mut finding.place
            else {
                return None;
            };
            let (file, found): (Stamp, DevIno) = stamp(&layer.content, path)?;
            if *key != found {
                // Another store's file: its generation cannot be asked for without opening it, and 0 stands for any.
                (*key, *generation) = (found, 0);
            }
            (file == kept.file).then_some(finding)
        };
        Some(LayerScan {
            findings: self.findings.into_iter().map(restore).collect::<Option<_>>()?,
            summary: believe_summary(self.summary)?,
        })
    }

    /// The bytes that are kept: a MAC over key and content, and the content.
    pub(super) fn seal(&self, key: &FingerprintKey, name: &str) -> Vec<u8> {
        // These types have text keys only, so this cannot fail; an empty record would not be read back.
        let content = serde_json::to_vec(self).unwrap_or_default();
        let mut sealed = key.seal(&[name.as_bytes(), &content]).to_vec();
        sealed.extend(content);
        sealed
    }

    pub(super) fn unseal(sealed: &[u8], key: &FingerprintKey, name: &str) -> Option<Self> {
        let (seal, content) = sealed.split_at_checked(SEAL_BYTES)?;
        if !key.is_seal(seal, &[name.as_bytes(), content]) {
            return None;
        }
        serde_json::from_slice(content).ok()
    }
}
