//! Secrets in an image's configuration: variables, commands, labels and the build's history.
//!
//! The format is the OCI image spec's config.md with Docker's additions (`OnBuild`, `Healthcheck`); history holds build
//! arguments too (`RUN |1 TOKEN=…`). Invariant: the file is bounded and untrusted; a field of another shape is skipped,
//! and only a file that is no JSON object is an error. Called by the scan worker and by `layerwatch scan`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use super::error::ScanError;
use super::{Scanner, rules::hex};
use crate::bounded;
use crate::model::{Finding, ImageId, Place, StoreId, text};
use sha2::{Digest as _, Sha256};

const MAX_CONFIG_BYTES: u64 = 8 << 20;
/// Findings of one configuration that are handed out.
const MAX_FINDINGS: usize = 256;
const MAX_NAME: usize = 128;

#[derive(Deserialize, Default)]
struct RawImage {
    #[serde(default)]
    config: Value,
    #[serde(default)]
    history: Value,
}

/// One text of a configuration.
struct Text {
    field: &'static str,
    name: String,
    content: String,
}

impl Scanner {
    /// Scans the configuration file of an image; each secret is reported at the first place it stands.
    pub fn scan_image_config(
        &self,
        path: &Path,
        store: &StoreId,
        image: &ImageId,
    ) -> Result<Vec<Finding>, ScanError> {
        let bytes = zeroize::Zeroizing::new(bounded::read(path, MAX_CONFIG_BYTES)?);
        self.scan_image_config_bytes(&bytes, path, store, image)
    }

    /// As [`Self::scan_image_config`], for one that was read already; `path` only names it in errors.
    pub(super) fn scan_image_config_bytes(
        &self,
        bytes: &[u8],
        path: &Path,
        store: &StoreId,
        image: &ImageId,
    ) -> Result<Vec<Finding>, ScanError> {
        let raw: RawImage = serde_json::from_slice(bytes).map_err(|error| ScanError::ConfigShape {
            path: path.to_owned(),
            line: error.line(),
            column: error.column(),
        })?;
        let mut seen = BTreeSet::new();
        let mut findings = Vec::new();
        for text in texts(&raw) {
            for kept in self.scan_text(text.content.as_bytes()) {
                let place = Place::ImageConfig {
                    store: store.clone(),
                    image: image.clone(),
                    field: text.field.to_owned(),
                    name: text.name.clone(),
                };
                let finding = self.finding(kept, place, b"");
                findings.extend(finding.filter(|f| seen.insert((f.rule.clone(), f.fingerprint.clone()))));
            }
        }
        findings.truncate(MAX_FINDINGS);
        Ok(findings)
    }
}

/// All texts that may hold a secret, variables first.
fn texts(image: &RawImage) -> Vec<Text> {
    let config = &image.config;
    let mut texts = Vec::new();
    for variable in strings(at(config, "/Env")) {
        let name = variable.split_once('=').map_or(variable, |(name, _)| name);
        texts.push(Text {
            field: "Env",
            name: short(name),
            content: variable.to_owned(),
        });
    }
    for (field, value) in [
        ("Cmd", at(config, "/Cmd")),
        ("Entrypoint", at(config, "/Entrypoint")),
        ("Healthcheck", at(config, "/Healthcheck/Test")),
        ("OnBuild", at(config, "/OnBuild")),
    ] {
        let words: Vec<&str> = strings(value).collect();
        if !words.is_empty() {
            texts.push(Text {
                field,
                name: String::new(),
                content: words.join(" "),
            });
        }
    }
    let labels: BTreeMap<&str, &str> = at(config, "/Labels")
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(k, v)| Some((k.as_str(), v.as_str()?)))
        .collect();
    for (name, value) in labels {
        texts.push(Text {
            field: "Labels",
            name: short(name),
            content: format!("{name}={value}"),
        });
    }
    texts.extend(history(&image.history));
    texts
}

fn history(history: &Value) -> impl Iterator<Item = Text> {
    history
        .as_array()
        .into_iter()
        .flatten()
        .zip(1u32..)
        .flat_map(|(step, number)| {
            ["created_by", "comment"].into_iter().filter_map(move |key| {
                Some(Text {
                    field: "history",
                    name: number.to_string(),
                    content: step.get(key)?.as_str()?.to_owned(),
                })
            })
        })
}

/// The value at a JSON pointer (RFC 6901); null if there is none.
fn at<'a>(config: &'a Value, pointer: &str) -> &'a Value {
    config.pointer(pointer).unwrap_or(&Value::Null)
}

/// A list of strings, or one string; anything else is none.
fn strings(value: &Value) -> impl Iterator<Item = &str> {
    value
        .as_str()
        .into_iter()
        .chain(value.as_array().into_iter().flatten().filter_map(Value::as_str))
}

/// A name for people; a very long one, which may be a value without a name, by its digest.
fn short(name: &str) -> String {
    if name.len() > MAX_NAME {
        let digest = hex(&Sha256::digest(name.as_bytes()));
        return format!("sha256:{digest}");
    }
    text::printable(name.as_bytes()).to_string()
}
