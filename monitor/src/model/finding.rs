//! What the scanner found, with nothing left of the secret but a masked excerpt and a keyed fingerprint.
//!
//! Invariant: no field can be turned back into the secret. `scan` is the only module that makes a `Finding`.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::ids::{DevIno, ImageId, LayerId, LayerKey, StoreId};

/// How bad it is if the wrong reader has it; ordered.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Little harm, or little evidence.
    Low,
    /// Harm in some settings.
    Medium,
    /// A working credential of limited reach.
    High,
    /// A working credential that opens a system.
    Critical,
}

impl Severity {
    /// All, from the least to the worst.
    pub const ALL: [Self; 5] = [Self::Info, Self::Low, Self::Medium, Self::High, Self::Critical];

    /// The name in output and in metric labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

/// What kind of secret it is; a closed set, so that it can be a metric label.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Category {
    /// A private key or a keystore.
    PrivateKey,
    /// A cloud provider's credential.
    Cloud,
    /// A source forge's or CI's token.
    Forge,
    /// A registry's or package index's credential.
    Registry,
    /// A database's credential.
    Database,
    /// System accounts: shadow, htpasswd.
    Account,
    /// Kubernetes credentials.
    Kubernetes,
    /// What runs and configures machines: Vault, Terraform, Ansible, monitoring.
    Infrastructure,
    /// VPN, wireless, SNMP, file transfer.
    Network,
    /// Chat, mail and telephony services.
    Messaging,
    /// Payment services.
    Payment,
    /// Other services' keys.
    Api,
    /// Anything else with a password or token in it.
    Generic,
}

impl Category {
    /// All, in the order of declaration.
    pub const ALL: [Self; 13] = [
        Self::PrivateKey,
        Self::Cloud,
        Self::Forge,
        Self::Registry,
        Self::Database,
        Self::Account,
        Self::Kubernetes,
        Self::Infrastructure,
        Self::Network,
        Self::Messaging,
        Self::Payment,
        Self::Api,
        Self::Generic,
    ];

    /// Those that metrics tell apart: each costs a series for every severity. The others count as generic.
    pub const COUNTED: [Self; 7] = [
        Self::PrivateKey,
        Self::Cloud,
        Self::Forge,
        Self::Database,
        Self::Account,
        Self::Kubernetes,
        Self::Generic,
    ];

    /// What it counts as in metrics.
    #[must_use]
    pub fn counted(self) -> Self {
        if Self::COUNTED.contains(&self) {
            self
        } else {
            Self::Generic
        }
    }

    /// The name in output and in metric labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PrivateKey => "private-key",
            Self::Cloud => "cloud",
            Self::Forge => "forge",
            Self::Registry => "registry",
            Self::Database => "database",
            Self::Account => "account",
            Self::Kubernetes => "kubernetes",
            Self::Infrastructure => "infrastructure",
            Self::Network => "network",
            Self::Messaging => "messaging",
            Self::Payment => "payment",
            Self::Api => "api",
            Self::Generic => "generic",
        }
    }
}

/// How sure the scanner is; ordered.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Confidence {
    /// A name alone.
    Low,
    /// A pattern matched.
    Medium,
    /// Structure or checksum was verified.
    High,
}

/// A rule's stable id, such as `private-key-openssh`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RuleId(Arc<str>);

impl RuleId {
    /// Takes an id from the rule table.
    pub fn new(id: &str) -> Self {
        Self(id.into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Recognises the same secret elsewhere: HMAC-SHA256 under the node's own key, cut to 96 bits, in hex.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(pub String);

/// Where a finding lies.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(tag = "in", rename_all = "kebab-case")]
pub enum Place {
    /// A file of a layer.
    File {
        /// The layer; absent when a bare directory was scanned.
        layer: Option<LayerKey>,
        /// The path below the layer's root, raw bytes, without a leading slash.
        #[serde(with = "printable_path")]
        path: Vec<u8>,
        /// The name inside the file, where that is an archive; raw bytes.
        #[serde(default, skip_serializing_if = "Option::is_none", with = "printable_member")]
        member: Option<Vec<u8>>,
        /// The first line of the match, from 1; absent for a file that is no text.
        line: Option<u32>,
        /// The file's inode; for a file in an image archive that of the archive.
        key: DevIno,
        /// The inode's generation when it was scanned; 0 where the file system gives none. It differs once the file was
        /// deleted and its number given to another.
        #[serde(default)]
        generation: u32,
    },
    /// An image's configuration.
    ImageConfig {
        /// The image's store.
        store: StoreId,
        /// The image.
        image: ImageId,
        /// Which part, such as `Env` or `history`.
        field: String,
        /// The variable's name or the step's number.
        name: String,
    },
}

impl Place {
    /// The layer of a file; none for an image's configuration and for a bare directory.
    pub fn layer(&self) -> Option<&LayerKey> {
        match self {
            Self::File { layer, .. } => layer.as_ref(),
            Self::ImageConfig { .. } => None,
        }
    }
}

/// Why a finding counts less than its rule says; a closed set.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LoweredBy {
    /// Its file is byte for byte what a package in the same layer ships.
    Package,
    /// The key is a published one, shipped with public software.
    PublishedKey,
    /// The value is a sample of a service's documentation.
    DocumentedSample,
    /// It lies below a directory of tests or documentation.
    Place,
    /// It is embedded in a program or other binary.
    Embedded,
}

impl LoweredBy {
    /// Whether it is about what was found, and not about where it lies.
    pub fn is_of_content(self) -> bool {
        match self {
            Self::Package | Self::PublishedKey | Self::DocumentedSample => true,
            Self::Place | Self::Embedded => false,
        }
    }

    /// The name in output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Package => "package",
            Self::PublishedKey => "published-key",
            Self::DocumentedSample => "documented-sample",
            Self::Place => "place",
            Self::Embedded => "embedded",
        }
    }
}

/// Something in a layer or an image's configuration that should not be there.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Finding {
    /// The rule that matched.
    pub rule: RuleId,
    /// One line for people: what it is.
    pub title: String,
    /// What kind of secret.
    pub category: Category,
    /// How bad.
    pub severity: Severity,
    /// Why that is less than the rule's own severity; empty if it is not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lowered: Vec<LoweredBy>,
    /// How sure.
    pub confidence: Confidence,
    /// Where.
    pub place: Place,
    /// Recognises the same secret elsewhere.
    pub fingerprint: Fingerprint,
    /// The line with the secret masked, at most 120 characters; empty for a file that is no text.
    pub excerpt: String,
}

/// Whether a finding's file can be seen from inside a container of an image.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum Visibility {
    /// The image shows this very file.
    Visible,
    /// A later layer deleted it (whiteout or opaque directory).
    Deleted {
        /// That layer.
        by: LayerId,
    },
    /// A later layer put another file in its place.
    Replaced {
        /// That layer.
        by: LayerId,
    },
    /// A later layer holds the same secret there under other permissions: what an image shows is that copy, and this
    /// one keeps its own.
    Repermissioned {
        /// That layer.
        by: LayerId,
    },
}

impl Visibility {
    /// Whether a later layer hides what is in it; a copy under other permissions does not.
    pub fn is_shadowed(&self) -> bool {
        matches!(self, Self::Deleted { .. } | Self::Replaced { .. })
    }
}

/// A raw path in JSON: as text where it is text, else escaped as `text::printable` does.
mod printable_path {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(path: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&crate::model::text::printable(path))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        Ok(crate::model::text::unescape(&String::deserialize(deserializer)?))
    }
}

/// As [`printable_path`], for a path that may be absent.
mod printable_member {
    use serde::{Deserialize, Deserializer, Serializer};

    #[expect(clippy::ref_option, reason = "serde hands over the field as it is")]
    pub(super) fn serialize<S: Serializer>(path: &Option<Vec<u8>>, serializer: S) -> Result<S::Ok, S::Error> {
        match path {
            Some(path) => super::printable_path::serialize(path, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Vec<u8>>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        Ok(text.map(|text| crate::model::text::unescape(&text)))
    }
}
