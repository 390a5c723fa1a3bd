//! The trust verdict on a cached image under one of its names: provenance and quality, each with its reasons.
//!
//! Invariant: absent, invalid and could-not-evaluate are three different answers, and unknown never looks like good.
//! The states are those of containers-policy.json(5) evaluated on what is on the disk (ARCHITECTURE.md, "Trust").

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Where an image came from, as far as it can be proved; ordered from the worst to the best.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Provenance {
    /// The policy rejects it, its registry is blocked, or a signature is present and invalid.
    Violates,
    /// It may have come over a connection that nobody verified.
    WeakPath,
    /// Evidence is missing or could not be evaluated.
    Unknown,
    /// Built, loaded or imported on this host.
    Local,
    /// Accepted without any signature.
    Unattested,
    /// An allow-listed registry over a verified connection.
    KnownSource,
    /// The engine enforced a signature when it pulled; the signature was not kept.
    VerifiedAtPull,
    /// A signature was verified now.
    Verified,
}

impl Provenance {
    /// All, from the worst to the best.
    pub const ALL: [Self; 8] = [
        Self::Violates,
        Self::WeakPath,
        Self::Unknown,
        Self::Local,
        Self::Unattested,
        Self::KnownSource,
        Self::VerifiedAtPull,
        Self::Verified,
    ];

    /// The name in output and in metric labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Violates => "violates",
            Self::WeakPath => "weak-path",
            Self::Unknown => "unknown",
            Self::Local => "local",
            Self::Unattested => "unattested",
            Self::KnownSource => "known-source",
            Self::VerifiedAtPull => "verified-at-pull",
            Self::Verified => "verified",
        }
    }
}

/// Quality by the age of the oldest unapplied critical or important advisory.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Grade {
    /// None unapplied.
    A,
    /// At most 7 days (critical) or 30 days (important).
    B,
    /// At most 30 or 90 days.
    C,
    /// At most 90 or 365 days.
    D,
    /// At most 365 days.
    E,
    /// Older.
    F,
    /// No inventory or no advisories to compare with.
    #[serde(rename = "unknown")]
    Unknown,
}

impl Grade {
    /// The name in output and in metric labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::B => "B",
            Self::C => "C",
            Self::D => "D",
            Self::E => "E",
            Self::F => "F",
            Self::Unknown => "unknown",
        }
    }
}

/// What an engine that asks the policy would do.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decision {
    /// The policy lets it run.
    Accepted,
    /// The policy refuses it.
    Rejected,
    /// The policy file itself is invalid, so every engine refuses everything.
    InvalidPolicy,
    /// It could not be evaluated.
    Unknown,
}

/// What a reason rests on.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Evidence {
    /// The file that says so.
    #[serde(with = "super::path")]
    pub file: PathBuf,
    /// The place in it, such as `transports.docker."example.com"`.
    pub place: Option<String>,
}

/// One stable reason code with its evidence.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Reason {
    /// Stable, such as `policy.reject`; the list stands in ARCHITECTURE.md.
    pub code: String,
    /// One sentence for people.
    pub detail: String,
    /// What it rests on.
    pub evidence: Option<Evidence>,
}

/// The verdict on one image under one name.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Verdict {
    /// The name it was judged under; absent for an untagged image.
    pub name: Option<String>,
    /// A trusted source?
    pub provenance: Provenance,
    /// A trusted thing?
    pub quality: Grade,
    /// What an engine would do.
    pub decision: Decision,
    /// Why, the decisive reason first.
    pub reasons: Vec<Reason>,
}
