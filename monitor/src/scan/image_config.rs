//! Secrets in an image's configuration: variables, commands, labels and the build's history.
//!
//! The format is the OCI image spec's config.md with Docker's additions (`OnBuild`, `Healthcheck`); history holds build
//! arguments too (`RUN |1 TOKEN=…`). A manifest beside the configuration adds its annotations. Invariant: the file is bounded and untrusted; a field of another shape is skipped,
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
    #[serde(default)]
    annotations: Value,
    #[serde(default)]
    layers: Value,
    #[serde(default)]
    manifests: Value,
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
        let mut raw = parse(&bytes, path)?;
        // containers/storage keeps the manifest beside it.
        let manifest = bounded::read(&path.with_file_name("manifest"), MAX_CONFIG_BYTES).ok();
        if let Some(manifest) = manifest.and_then(|bytes| parse(&bytes, path).ok()) {
            (raw.annotations, raw.layers) = (manifest.annotations, manifest.layers);
        }
        Ok(self.scan_raw_image(&raw, store, image))
    }

    /// As [`Self::scan_image_config`], for one that was read already; `path` only names it in errors.
    pub(super) fn scan_image_config_bytes(
        &self,
        bytes: &[u8],
        path: &Path,
        store: &StoreId,
        image: &ImageId,
    ) -> Result<Vec<Finding>, ScanError> {
        Ok(self.scan_raw_image(&parse(bytes, path)?, store, image))
    }

    fn scan_raw_image(&self, raw: &RawImage, store: &StoreId, image: &ImageId) -> Vec<Finding> {
        let mut seen = BTreeSet::new();
        let mut findings = Vec::new();
        for text in texts(raw) {
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
        findings
    }
}

fn parse(bytes: &[u8], path: &Path) -> Result<RawImage, ScanError> {
    serde_json::from_slice(bytes).map_err(|error| ScanError::ConfigShape {
        path: path.to_owned(),
        line: error.line(),
        column: error.column(),
    })
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
    texts.extend(annotations(image));
    texts
}

/// The annotations of a manifest or index, of its configuration, and of each layer or manifest, which is numbered.
fn annotations(image: &RawImage) -> impl Iterator<Item = Text> {
    let parts = [&image.layers, &image.manifests]
        .into_iter()
        .filter_map(Value::as_array)
        .flat_map(|parts| parts.iter().zip(1u32..))
        .map(|(part, number)| (format!("{number} "), at(part, "/annotations")));
    let whole = [&image.annotations, at(&image.config, "/annotations")].map(|part| (String::new(), part));
    whole.into_iter().chain(parts).flat_map(|(number, part)| {
        let pairs = part.as_object().into_iter().flatten();
        pairs.filter_map(move |(name, value)| {
            Some(Text {
                field: "annotations",
                name: format!("{number}{}", short(name)),
                content: format!("{name}={}", value.as_str()?),
            })
        })
    })
}

fn history(history: &Value) -> impl Iterator<Item = Text> {
    history
        .as_array()
        .into_iter()
        .flatten()
        .zip(1u32..)
        .flat_map(|(step, number)| {
            ["created_by", "comment"].into_iter().filter_map(move |key| {
                let content = step.get(key)?.as_str()?.to_owned();
                Some(Text {
                    field: "history",
                    name: format!("{number} {}", instruction(&content)),
                    content,
                })
            })
        })
}

/// What a step of the history does: its instruction, and of a build argument or variable the name.
fn instruction(step: &str) -> String {
    let step = step.strip_prefix("/bin/sh -c").map_or(step, str::trim_start);
    let step = step.strip_prefix("#(nop)").map_or(step, str::trim_start);
    let mut words = step.split_ascii_whitespace();
    let word = words.next().unwrap_or_default();
    let is_instruction = word.len() >= 3 && word.len() <= 11 && word.bytes().all(|b| b.is_ascii_uppercase());
    match (is_instruction, words.next().and_then(|rest| rest.split_once('='))) {
        (true, Some((name, _))) if matches!(word, "ARG" | "ENV" | "LABEL") => {
            format!("{word} {}", short(name))
        }
        (true, _) => word.to_owned(),
        (false, _) => "RUN".to_owned(),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_text_has_the_name_of_its_step_or_key() {
        let image: RawImage = serde_json::from_value(serde_json::json!({
            "config": {
                "Env": ["A=1", "B"], "Cmd": ["c", "d"], "Entrypoint": "e", "Healthcheck": {"Test": ["f"]},
                "OnBuild": ["ADD g"], "Labels": {"h": "i"}, "annotations": {"j": "k"},
            },
            "history": [
                {"created_by": "/bin/sh -c #(nop)  ENV TOKEN=l", "comment": "m"},
                {"created_by": "ARG KEY=n"},
                {"created_by": "RUN |1 KEY=n /bin/sh -c make # buildkit"},
                {"created_by": "/bin/sh -c echo o"},
                {"created_by": 5}, 7,
            ],
            "annotations": {"p": "q"},
            "layers": [{"annotations": {"r": "s"}}, {}],
        }))
        .unwrap();
        let texts: Vec<_> = texts(&image)
            .into_iter()
            .map(|t| (t.field, t.name, t.content))
            .collect();
        let expected = [
            ("Env", "A", "A=1"),
            ("Env", "B", "B"),
            ("Cmd", "", "c d"),
            ("Entrypoint", "", "e"),
            ("Healthcheck", "", "f"),
            ("OnBuild", "", "ADD g"),
            ("Labels", "h", "h=i"),
            ("history", "1 ENV TOKEN", "/bin/sh -c #(nop)  ENV TOKEN=l"),
            ("history", "1 RUN", "m"),
            ("history", "2 ARG KEY", "ARG KEY=n"),
            ("history", "3 RUN", "RUN |1 KEY=n /bin/sh -c make # buildkit"),
            ("history", "4 RUN", "/bin/sh -c echo o"),
            ("annotations", "p", "p=q"),
            ("annotations", "j", "j=k"),
            ("annotations", "1 r", "r=s"),
        ];
        assert_eq!(texts, expected.map(|(f, n, c)| (f, n.to_owned(), c.to_owned())));
    }
}
