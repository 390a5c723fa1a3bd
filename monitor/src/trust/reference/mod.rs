//! Names of images: the grammar and normalisation of the `distribution/reference` project.
//!
//! Invariant: a [`Reference`] prints as the fully expanded name that policies and registry rules are matched against
//! (`busybox` is `docker.io/library/busybox`), and no default tag is ever added: a name without a tag stays one. The
//! public test rows of distribution/reference define the behaviour. Used by `scope`, `registries`, `policy`, `evaluate`.

use std::fmt;

use crate::model::Digest;
use crate::model::text::printable;

/// The registry that names without one belong to.
const DOCKER_HUB: &str = "docker.io";
/// Docker Hub's former name, still written by people.
const DOCKER_HUB_LEGACY: &str = "index.docker.io";
/// The namespace of Docker Hub's names of one component.
const OFFICIAL: &str = "library/";
/// The longest path of a repository, without the registry (`RepositoryNameTotalLengthMax`).
const PATH_MAX: usize = 255;
/// The longest tag.
const TAG_MAX: usize = 128;
/// Nothing longer than this is looked at: 255 for each of registry, path and tag, and the longest digest.
const TEXT_MAX: usize = 1024;

/// Why a text is not an image reference.
#[derive(Debug, thiserror::Error)]
pub enum ReferenceError {
    /// It has no name, or characters out of place.
    #[error("invalid reference format: \"{}\"", printable(text.as_bytes()))]
    Format {
        /// The beginning of the text.
        text: String,
    },
    /// 64 hexadecimal digits: an image's id, which a name must not look like.
    #[error("a name cannot be 64 hexadecimal digits")]
    Identifier,
    /// A repository name with upper-case letters.
    #[error("repository name must be lowercase: \"{}\"", printable(text.as_bytes()))]
    Uppercase {
        /// The beginning of the text.
        text: String,
    },
    /// The repository's path is longer than 255 bytes, or the whole is longer than any reference.
    #[error("repository name is longer than {PATH_MAX} bytes")]
    TooLong,
    /// The part after `@` is no digest of a known algorithm.
    #[error("invalid or unsupported digest: \"{}\"", printable(text.as_bytes()))]
    Digest {
        /// The beginning of the part after `@`.
        text: String,
    },
    /// A full name was needed, and this one is short for another.
    #[error("not a fully expanded name: \"{}\"", printable(text.as_bytes()))]
    NotCanonical {
        /// The beginning of the text.
        text: String,
    },
}

impl ReferenceError {
    fn format(text: &str) -> Self {
        Self::Format {
            text: beginning(text),
        }
    }
}

/// A normalised image name with its tag, its digest, both or neither.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Reference {
    domain: String,
    path: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl Reference {
    /// Parses a name as people write it, expanding `busybox` to `docker.io/library/busybox` (`ParseNormalizedNamed`).
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        if text.len() == 64 && text.bytes().all(is_lower_hex) {
            return Err(ReferenceError::Identifier);
        }
        if text.len() > TEXT_MAX {
            return Err(ReferenceError::TooLong);
        }
        let (domain, remainder) = split_domain(text);
        let remote = remainder.split(':').next().unwrap_or(&remainder);
        if remote.to_lowercase() != remote {
            return Err(ReferenceError::Uppercase {
                text: beginning(remote),
            });
        }
        Self::parse_parts(domain, &remainder, text)
    }

    /// Parses a name that must be fully expanded already (`ParseNamed`).
    pub fn parse_canonical(text: &str) -> Result<Self, ReferenceError> {
        let reference = Self::parse(text)?;
        if reference.to_string() == text {
            Ok(reference)
        } else {
            Err(ReferenceError::NotCanonical {
                text: beginning(text),
            })
        }
    }

    fn parse_parts(domain: &str, remainder: &str, text: &str) -> Result<Self, ReferenceError> {
        let (name, digest) = match remainder.split_once('@') {
            Some((name, digest)) => (name, Some(digest)),
            None => (remainder, None),
        };
        let (path, tag) = match name.rsplit_once(':') {
            Some((path, tag)) => (path, Some(tag)),
            None => (name, None),
        };
        if !path.split('/').all(is_path_component) || !tag.is_none_or(is_tag) {
            return Err(ReferenceError::format(text));
        }
        // As in the original's grammar, a first component that can be no registry may still be part of the path.
        let (domain, path) = if is_domain(domain) {
            (domain.to_owned(), path.to_owned())
        } else if is_path_component(domain) {
            (String::new(), format!("{domain}/{path}"))
        } else {
            return Err(ReferenceError::format(text));
        };
        if path.len() > PATH_MAX {
            return Err(ReferenceError::TooLong);
        }
        let digest = match digest {
            None => None,
            Some(text) => Some(Digest::parse(text).ok().ok_or_else(|| ReferenceError::Digest {
                text: beginning(text),
            })?),
        };
        Ok(Self {
            domain,
            path,
            tag: tag.map(str::to_owned),
            digest,
        })
    }

    /// The registry, `host` or `host:port`; empty for a first component that can be no host.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The repository's path within the registry.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Registry and path, without tag and digest.
    pub fn name(&self) -> String {
        if self.domain.is_empty() {
            self.path.clone()
        } else {
            format!("{}/{}", self.domain, self.path)
        }
    }

    /// The tag, if the name has one.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The manifest digest, if the name has one.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// Whether it has neither a tag nor a digest.
    pub fn is_name_only(&self) -> bool {
        self.tag.is_none() && self.digest.is_none()
    }

    /// The same with `latest` where it has neither tag nor digest (`TagNameOnly`): what the docker transport asks for.
    #[must_use]
    pub fn with_default_tag(mut self) -> Self {
        if self.is_name_only() {
            self.tag = Some("latest".to_owned());
        }
        self
    }

    /// The same without the tag where it also has a digest, as Podman and CRI-O reduce such a name before they pull it.
    #[must_use]
    pub fn without_redundant_tag(mut self) -> Self {
        if self.digest.is_some() {
            self.tag = None;
        }
        self
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

/// Which registry a name means, and the rest of it.
fn split_domain(text: &str) -> (&str, String) {
    let Some((first, rest)) = text.split_once('/') else {
        return (DOCKER_HUB, format!("{OFFICIAL}{text}"));
    };
    let (domain, rest) = if first == DOCKER_HUB_LEGACY {
        (DOCKER_HUB, rest)
    } else if first == "localhost" || first.contains(['.', ':']) || first.to_lowercase() != first {
        (first, rest)
    } else {
        (DOCKER_HUB, text)
    };
    if domain == DOCKER_HUB && !rest.contains('/') {
        (domain, format!("{OFFICIAL}{rest}"))
    } else {
        (domain, rest.to_owned())
    }
}

/// Whether the text is a registry, `host[:port]`: a DNS name, an IPv4 address or an IPv6 address in brackets.
pub(crate) fn is_domain(text: &str) -> bool {
    let (host, port) = match (text.rfind(']'), text.rsplit_once(':')) {
        (Some(close), Some((host, _))) if host.len() <= close => (text, None),
        (_, Some((host, port))) => (host, Some(port)),
        (_, None) => (text, None),
    };
    let port_is_good = port.is_none_or(|port| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()));
    let is_address = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .is_some_and(|address| {
            !address.is_empty() && address.bytes().all(|b| b.is_ascii_hexdigit() || b == b':')
        });
    port_is_good && (is_address || host.split('.').all(is_domain_component))
}

fn is_domain_component(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with('-')
        && !text.ends_with('-')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// Whether the text is one component of a repository's path: lower-case words joined by `.`, `_`, `__` or dashes.
pub(crate) fn is_path_component(text: &str) -> bool {
    let is_word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bounded = |b: Option<u8>| b.is_some_and(is_word);
    bounded(text.bytes().next())
        && bounded(text.bytes().last())
        && text
            .split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
            .all(|separator| {
                matches!(separator, "" | "." | "_" | "__") || separator.bytes().all(|b| b == b'-')
            })
}

fn is_tag(text: &str) -> bool {
    let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    text.len() <= TAG_MAX
        && text.bytes().next().is_some_and(is_word)
        && text.bytes().all(|b| is_word(b) || b == b'.' || b == b'-')
}

fn is_lower_hex(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

fn beginning(text: &str) -> String {
    text.chars().take(120).collect()
}

#[cfg(test)]
mod tests;
