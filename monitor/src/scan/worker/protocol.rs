//! The lines between agent and worker: one JSON object each, requests one way, answers the other.
//!
//! Invariant: a line has at most [`MAX_LINE`] bytes, on both sides. Paths travel escaped, as they are printed, and come
//! back byte for byte. The worker never says what a rule means: it names the rule, and the agent has the table.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::effort::Effort;
use crate::model::{DevIno, Fingerprint, LoweredBy, RuleId, text};
use crate::scan::redact::{FingerprintKey, Secret};
use crate::scan::rules::{MAX_USER_BYTES, RuleFile};
use crate::scan::shape::Shape;
use crate::scan::summary::{Progress, ScanSummary};
use crate::scan::target::Shadow;

/// The longest line: a path of 128 names of 255 bytes, each byte escaped twice, and room.
pub(super) const MAX_LINE: u64 = 256 << 10;

/// The longest first line: the user's rule tables, each byte escaped, the key, and room.
pub(super) const MAX_HELLO: u64 = 6 * MAX_USER_BYTES as u64 + (64 << 10);

/// The agent's first line.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Hello {
    key: String,
    pub(super) effort: Effort,
    /// The user's rule tables.
    pub(super) rules: Vec<RuleFile>,
}

impl Hello {
    /// The line, which holds the key and is overwritten when dropped.
    pub(super) fn line(key: &FingerprintKey, effort: Effort, rules: &[RuleFile]) -> Secret {
        let hex = key.to_hex();
        let (effort, rules) = (line(&effort), line(&rules));
        Secret::new(
            [
                b"{\"key\":\"",
                hex.bytes(),
                b"\",\"effort\":",
                effort.trim_ascii_end(),
                b",\"rules\":",
                rules.trim_ascii_end(),
                b"}\n",
            ]
            .concat(),
        )
    }

    pub(super) fn key(&self) -> Option<FingerprintKey> {
        FingerprintKey::from_hex(&self.key)
    }
}

impl Drop for Hello {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.key);
    }
}

/// What the agent asks.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum Request {
    /// Scan a directory.
    Layer {
        root: String,
        root_key: Option<DevIno>,
        cpu_seconds: u64,
    },
    /// Scan an image's configuration.
    Image { path: String, cpu_seconds: u64 },
    /// Scan a directory, an OCI layout, an archive or a file, whichever lies there.
    Target { path: String, cpu_seconds: u64 },
}

impl Request {
    pub(super) fn layer(root: &Path, root_key: Option<DevIno>, deadline: Duration) -> Self {
        Self::Layer {
            root: escaped(root),
            root_key,
            cpu_seconds: deadline.as_secs() + 1,
        }
    }

    pub(super) fn image(path: &Path, deadline: Duration) -> Self {
        Self::Image {
            path: escaped(path),
            cpu_seconds: deadline.as_secs() + 1,
        }
    }

    pub(super) fn target(path: &Path, deadline: Duration) -> Self {
        Self::Target {
            path: escaped(path),
            cpu_seconds: deadline.as_secs() + 1,
        }
    }

    pub(super) fn cpu_seconds(&self) -> u64 {
        match self {
            Self::Layer { cpu_seconds, .. }
            | Self::Image { cpu_seconds, .. }
            | Self::Target { cpu_seconds, .. } => *cpu_seconds,
        }
    }
}

/// What the worker answers: `ready` once, then for each request any number of `progress` and `found` and one of
/// `done` and `failed`; of a target also `shape` before anything is found, `layer` and `shadow`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "answer", content = "value", rename_all = "kebab-case")]
pub(super) enum Response {
    Ready { rules: String },
    Progress(Progress),
    Found(Box<WireFinding>),
    Shape(Shape),
    Layer { layer: u32, diff_id: String },
    Shadow(Shadow),
    Done(ScanSummary),
    Failed { reason: String },
}

/// A finding as the worker reports it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::scan) struct WireFinding {
    pub(super) rule: RuleId,
    pub(super) place: WirePlace,
    /// What is known of its content.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) known: Vec<LoweredBy>,
    pub(super) fingerprint: Fingerprint,
    pub(super) excerpt: String,
}

/// Where it lies; the layer or image is that of the request, or of that number in a target.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum WirePlace {
    File {
        path: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        member: Option<String>,
        line: Option<u32>,
        key: DevIno,
        generation: u32,
        /// The layer's number, in a target.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        layer: Option<u32>,
    },
    Config {
        field: String,
        name: String,
        /// The image's number, in a target.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        image: Option<u32>,
    },
}

/// A message as a line.
pub(super) fn line(message: &impl Serialize) -> Vec<u8> {
    // These types have string keys only, so serialising them cannot fail; an empty line would be refused.
    let mut line = serde_json::to_vec(message).unwrap_or_default();
    line.push(b'\n');
    line
}

/// A path as it travels.
pub(super) fn escaped(path: &Path) -> String {
    text::printable(path.as_os_str().as_bytes()).to_string()
}

/// The path that was escaped.
pub(super) fn unescaped(path: &str) -> PathBuf {
    PathBuf::from(OsString::from_vec(text::unescape(path)))
}
