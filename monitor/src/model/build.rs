//! What builders say of what they keep.
//!
//! Invariant: words of a fixed list and times; a step's command, which may hold a secret, is nowhere here. Part of a layer.

use serde::{Deserialize, Serialize};

/// What a builder says of something that it keeps.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BuildCache {
    /// What it came from.
    pub work: BuildWork,
    /// When a build used it last; what is used again may have been changed then.
    pub last_used: Option<jiff::Timestamp>,
}

/// What something that a builder keeps came from, in BuildKit's words (`UsageRecordType`, client/diskusage.go).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum BuildWork {
    /// A step's result, or an image that was pulled for a build.
    #[serde(rename = "regular")]
    Regular,
    /// A directory that a client sent: a context with all that was not ignored, or a Dockerfile.
    #[serde(rename = "source.local")]
    LocalSource,
    /// What was checked out of a repository.
    #[serde(rename = "source.git.checkout")]
    GitSource,
    /// A cache that steps mount (`RUN --mount=type=cache`).
    #[serde(rename = "exec.cachemount")]
    CacheMount,
    /// What reads Dockerfiles.
    #[serde(rename = "frontend")]
    Frontend,
    /// The builder's own.
    #[serde(rename = "internal")]
    Internal,
}

impl BuildWork {
    /// Whether later builds write to the same directory.
    pub fn is_reused(self) -> bool {
        match self {
            Self::LocalSource | Self::CacheMount => true,
            Self::Regular | Self::GitSource | Self::Frontend | Self::Internal => false,
        }
    }

    /// In words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Regular => "a step's result",
            Self::LocalSource => "a directory that a client sent",
            Self::GitSource => "a checkout",
            Self::CacheMount => "a cache that steps mount",
            Self::Frontend => "a frontend",
            Self::Internal => "the builder's own",
        }
    }
}
