//! `containers-policy.json(5)`: what the administrator lets run, read with the strictness of the original.
//!
//! Invariant: a [`Policy`] that exists is one that the engines accept too; an unknown key, a duplicate key, an empty
//! requirement list, a missing default or a wrong type makes the whole file invalid, and the error names the place.
//! Requirements that need a signature are parsed and validated here; nothing here evaluates one. Used by `evaluate`.

mod fields;
mod identity;
mod read;
mod requirement;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use super::reference::{Reference, ReferenceError};
use super::scope::{ImageIdentity, ScopeFault};
use super::strict_json::JsonError;
use crate::model::text::printable;

pub use fields::Place;

/// Why a policy file is invalid as a whole; each names its place in the file.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// It is no JSON, or has a key twice.
    #[error(transparent)]
    Json {
        /// What and where, with line and column.
        source: JsonError,
    },
    /// A key that the format does not know.
    #[error("{place}: Unknown key \"{}\"", printable(key.as_bytes()))]
    UnknownKey {
        /// The object that has it.
        place: Place,
        /// The key.
        key: String,
    },
    /// A key that the format requires.
    #[error("{place}: Key \"{key}\" missing in a JSON object")]
    MissingKey {
        /// The object that lacks it.
        place: Place,
        /// The key.
        key: &'static str,
    },
    /// A value of another type than the format's.
    #[error("{place}: expected {expected}")]
    WrongType {
        /// The value.
        place: Place,
        /// What stands there in a valid file.
        expected: &'static str,
    },
    /// There is no `default`.
    #[error("Default policy is missing")]
    NoDefault,
    /// A requirement list is empty.
    #[error("{place}: List of verification policy requirements must not be empty")]
    EmptyRequirements {
        /// The list.
        place: Place,
    },
    /// A `type` that names no requirement or no way to match an identity.
    #[error("{place}: Unknown type \"{}\"", printable(found.as_bytes()))]
    UnknownType {
        /// The object.
        place: Place,
        /// Its `type`, empty if it has none.
        found: String,
    },
    /// A scope that its transport can never have.
    #[error("{place}: invalid scope for the transport")]
    InvalidScope {
        /// The scope.
        place: Place,
        /// Why.
        #[source]
        source: ScopeFault,
    },
    /// A combination of options that the requirement does not allow.
    #[error("{place}: {rule}")]
    Options {
        /// The requirement.
        place: Place,
        /// The rule that is broken.
        rule: &'static str,
    },
    /// A reference that is none.
    #[error("{place}: invalid format of a reference")]
    Reference {
        /// The reference.
        place: Place,
        /// Why.
        #[source]
        source: ReferenceError,
    },
}

impl PolicyError {
    /// The place in the file, as in `transports.docker."example.com"[0]`, or line and column where it is no JSON.
    pub fn place(&self) -> String {
        match self {
            Self::Json { source } => {
                let (line, column) = source.position();
                format!("line {line} column {column}")
            }
            Self::NoDefault => "default".to_owned(),
            Self::UnknownKey { place, .. }
            | Self::MissingKey { place, .. }
            | Self::WrongType { place, .. }
            | Self::EmptyRequirements { place }
            | Self::UnknownType { place, .. }
            | Self::InvalidScope { place, .. }
            | Self::Options { place, .. }
            | Self::Reference { place, .. } => place.to_string(),
        }
    }
}

/// A valid policy file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Policy {
    default: Vec<Requirement>,
    transports: BTreeMap<String, BTreeMap<String, Vec<Requirement>>>,
}

/// One requirement; a list of them must be met altogether.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Requirement {
    /// Anything is accepted, and nothing counts as verified.
    InsecureAcceptAnything,
    /// Nothing is accepted.
    Reject,
    /// A simple signing signature by one of the keys.
    SignedBy(SignedBy),
    /// Parsed by the engines, which then always reject it: they do not implement it.
    SignedBaseLayer(SignedIdentity),
    /// A sigstore signature.
    SigstoreSigned(SigstoreSigned),
}

/// The options of `signedBy`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SignedBy {
    /// What kind of keys; only GPG keys are ever evaluated.
    pub key_type: KeyType,
    /// The keyrings.
    pub keys: KeySource,
    /// What the signature must say about the image's name.
    pub identity: SignedIdentity,
}

/// `keyType` of `signedBy`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyType {
    /// `GPGKeys`.
    GpgKeys,
    /// `signedByGPGKeys`: parsed by the engines and always rejected.
    SignedByGpgKeys,
    /// `X509Certificates`: parsed by the engines and always rejected.
    X509Certificates,
    /// `signedByX509CAs`: parsed by the engines and always rejected.
    SignedByX509Cas,
}

/// Where keys or certificates come from. They are public: nothing here is a secret.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum KeySource {
    /// One file.
    Path(String),
    /// Several files, any of whose keys will do.
    Paths(Vec<String>),
    /// The bytes themselves.
    Inline(Vec<u8>),
    /// Several times the bytes themselves.
    Inlines(Vec<Vec<u8>>),
}

/// The options of `sigstoreSigned`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SigstoreSigned {
    /// What the signature is verified with.
    pub authority: SigstoreAuthority,
    /// The transparency log's keys.
    pub rekor: Option<KeySource>,
    /// What the signature must say about the image's name.
    pub identity: SignedIdentity,
}

/// What a sigstore signature is verified with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SigstoreAuthority {
    /// Public keys.
    Keys(KeySource),
    /// Short-lived certificates bound to an identity provider's subject.
    Fulcio {
        /// The certificate authority.
        ca: KeySource,
        /// The identity provider.
        oidc_issuer: String,
        /// The subject's mail address, compared whole.
        subject_email: String,
    },
    /// Certificates of an own authority.
    Pki {
        /// The roots.
        roots: KeySource,
        /// The intermediates.
        intermediates: Option<KeySource>,
        /// The subject's mail address.
        subject_email: Option<String>,
        /// The subject's host name.
        subject_hostname: Option<String>,
    },
}

/// What the reference inside a signature must be (`signedIdentity`).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SignedIdentity {
    /// The image's own reference.
    MatchExact,
    /// The image's own reference, or its repository where the image is named by digest: the default.
    MatchRepoDigestOrExact,
    /// Any reference of the image's repository.
    MatchRepository,
    /// This reference.
    ExactReference(Reference),
    /// Any reference of this repository.
    ExactRepository(Reference),
    /// As `MatchRepoDigestOrExact` after one prefix was replaced by another.
    RemapIdentity {
        /// What the image's name begins with.
        prefix: String,
        /// What the signed name begins with instead.
        signed_prefix: String,
    },
}

/// The requirements that apply to an image, and the entry that says so.
#[derive(Clone, Debug)]
pub struct Applicable<'a> {
    /// The entry, as in `transports.docker."example.com"`, or `default`.
    pub place: Place,
    /// The scope that matched; absent for the policy's default.
    pub scope: Option<&'a str>,
    /// Never empty.
    pub requirements: &'a [Requirement],
}

impl Policy {
    /// Reads the content of a policy file.
    pub fn parse(bytes: &[u8]) -> Result<Self, PolicyError> {
        read::policy(bytes)
    }

    /// The requirements of the most specific scope that matches; a scope inherits nothing from a wider one.
    pub fn requirements_for<'a>(&'a self, image: &ImageIdentity) -> Applicable<'a> {
        let entry = self
            .transports
            .get(image.transport())
            .and_then(|scopes| image.scopes().find_map(|scope| scopes.get_key_value(scope)));
        match entry {
            Some((scope, requirements)) => Applicable {
                place: Place::top().key("transports").key(image.transport()).key(scope),
                scope: Some(scope),
                requirements,
            },
            None => Applicable {
                place: Place::top().key("default"),
                scope: None,
                requirements: &self.default,
            },
        }
    }
}

/// What a list of requirements comes to while no signature has been looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// All of them accept anything.
    Accepted,
    /// The requirement at this index rejects everything.
    Rejected(usize),
    /// The requirement at this index is one that the engines parse and then always reject.
    Unimplemented(usize),
    /// No requirement rejects everything, and the one at this index wants a signature.
    NeedsSignature(usize),
}

impl Outcome {
    /// Judges the requirements: one that rejects everything decides, whatever the others would say.
    pub fn of(requirements: &[Requirement]) -> Self {
        let mut outcome = Self::Accepted;
        for (index, requirement) in requirements.iter().enumerate() {
            match requirement {
                Requirement::Reject => return Self::Rejected(index),
                Requirement::SignedBaseLayer(_) => return Self::Unimplemented(index),
                Requirement::SignedBy(signed) if signed.key_type != KeyType::GpgKeys => {
                    return Self::Unimplemented(index);
                }
                Requirement::SignedBy(_) | Requirement::SigstoreSigned(_) if outcome == Self::Accepted => {
                    outcome = Self::NeedsSignature(index);
                }
                Requirement::SignedBy(_)
                | Requirement::SigstoreSigned(_)
                | Requirement::InsecureAcceptAnything => {}
            }
        }
        outcome
    }
}
