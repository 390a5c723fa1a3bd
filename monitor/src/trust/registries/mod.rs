//! `containers-registries.conf(5)`: which registries are blocked, and to which the engines talk without verifying.
//!
//! Invariant: rules that exist are those the engines would use: drop-ins merged in lexical order, a later table
//! replacing an earlier one of the same prefix, the longest matching prefix deciding. Only the system's files are read;
//! a user's own cannot speak for the administrator. Used by `evaluate`.

mod read;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::host_file;
use super::reference::{Reference, ReferenceError};
use crate::bounded::BoundedError;
use crate::model::text::printable;

/// One file, for fuzzing.
#[cfg(any(test, fuzzing))]
pub(super) fn parse(bytes: &[u8], file: &Path, is_drop_in: bool) -> bool {
    read::tables(bytes, file, is_drop_in).is_ok()
}

/// The main file.
const MAIN_FILE: &str = "/etc/containers/registries.conf";
/// The directory of the drop-ins.
const DROP_INS: &str = "/etc/containers/registries.conf.d";
/// The largest file that is read, in bytes.
const BYTES_MAX: u64 = 1 << 20;
/// The most drop-ins.
const FILES_MAX: usize = 4096;

/// Why the configuration is invalid as a whole: the engines then refuse to talk to any registry.
#[derive(Debug, thiserror::Error)]
#[error("registries configuration {} is invalid", file.display())]
pub struct RegistriesError {
    /// The file, as the host names it.
    pub file: PathBuf,
    /// What is wrong with it.
    #[source]
    pub fault: RegistriesFault,
}

/// What is wrong with a registries configuration.
#[derive(Debug, thiserror::Error)]
pub enum RegistriesFault {
    /// It cannot be read.
    #[error("the file cannot be read")]
    File {
        /// Why.
        #[source]
        source: BoundedError,
    },
    /// The drop-in directory cannot be listed.
    #[error("the directory cannot be listed")]
    Directory {
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is no TOML.
    #[error("the file is not TOML, at line {line}")]
    Syntax {
        /// The line, from 1.
        line: usize,
    },
    /// A value of another type than the format's.
    #[error("{key}: expected {expected}")]
    WrongType {
        /// The key.
        key: &'static str,
        /// What stands there in a valid file.
        expected: &'static str,
    },
    /// Keys of the first version in a drop-in.
    #[error("registry must be in v2 format but is in v1")]
    DropInV1,
    /// Keys of both versions.
    #[error("mixing sysregistry v1/v2 is not supported")]
    Mixed,
    /// A location with a scheme.
    #[error("invalid location \"{}\": URI schemes are not supported", printable(location.as_bytes()))]
    Scheme {
        /// The location.
        location: String,
    },
    /// A table, or a mirror in it, without what it is for.
    #[error("invalid condition: {rule}")]
    Condition {
        /// The rule that is broken.
        rule: &'static str,
    },
    /// The same location twice with different settings.
    #[error("registry \"{}\" is defined multiple times with conflicting '{setting}' setting", printable(location.as_bytes()))]
    Conflict {
        /// The location.
        location: String,
        /// `insecure` or `blocked`.
        setting: &'static str,
    },
    /// A wildcard that is more than `*.` and a domain.
    #[error("wildcarded prefix should be in the format *.example.com, not \"{}\"", printable(prefix.as_bytes()))]
    Wildcard {
        /// The prefix.
        prefix: String,
    },
    /// A value that is none of those the format knows.
    #[error("{key}: unknown value \"{}\"", printable(value.as_bytes()))]
    UnknownValue {
        /// The key.
        key: &'static str,
        /// The value.
        value: String,
    },
    /// A short-name alias that is none.
    #[error("validating short-name alias \"{}\"", printable(alias.as_bytes()))]
    Alias {
        /// The alias.
        alias: String,
    },
}

/// Where a registry's images are fetched from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Endpoint {
    /// What replaces the prefix; empty where a wildcard keeps the name as it is.
    pub location: String,
    /// TLS is not verified, and plain HTTP is tried.
    pub insecure: bool,
    /// For which references a mirror is asked.
    pub pull_from_mirror: MirrorUse,
}

/// For which references a mirror is asked (`pull-from-mirror`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum MirrorUse {
    /// All.
    #[default]
    All,
    /// Those with a digest.
    DigestOnly,
    /// Those without.
    TagOnly,
}

/// One `[[registry]]` table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Registry {
    /// The beginning of the names that it is for.
    pub prefix: String,
    /// Where it fetches from in the end.
    pub primary: Endpoint,
    /// Where it fetches from first.
    pub mirrors: Vec<Endpoint>,
    /// Nothing may be fetched.
    pub blocked: bool,
    /// Mirrors are asked for references with a digest only.
    pub mirror_by_digest_only: bool,
    /// The file that the table stands in, as the host names it.
    pub file: PathBuf,
}

impl Registry {
    /// The places that would be asked for the reference, in order: the mirrors for such references, then the primary.
    pub fn endpoints_for<'a>(&'a self, reference: &Reference) -> impl Iterator<Item = &'a Endpoint> {
        let has_digest = reference.digest().is_some();
        let mirrors = self.mirrors.iter().filter(move |mirror| {
            if self.mirror_by_digest_only {
                return has_digest;
            }
            match mirror.pull_from_mirror {
                MirrorUse::All => true,
                MirrorUse::DigestOnly => has_digest,
                MirrorUse::TagOnly => !has_digest,
            }
        });
        mirrors.chain([&self.primary])
    }

    /// The reference that is really asked for at an endpoint of this table, or why it is none.
    pub fn physical(&self, endpoint: &Endpoint, reference: &Reference) -> Result<Reference, ReferenceError> {
        let text = reference.to_string();
        let rest = match_prefix(&text, &self.prefix).and_then(|end| text.get(end..));
        match rest {
            Some(rest) if !endpoint.location.is_empty() => {
                Reference::parse_canonical(&format!("{}{rest}", endpoint.location))
            }
            _ => Ok(reference.clone()),
        }
    }
}

/// The rules of a host, merged.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Registries {
    /// By prefix.
    registries: BTreeMap<String, Registry>,
}

impl Registries {
    /// Reads the system's configuration of the host under `root`; no main file means no rules but those of drop-ins.
    pub fn read(root: &Path) -> Result<Self, RegistriesError> {
        let mut merged = Self::default();
        let main = PathBuf::from(MAIN_FILE);
        match host_file::read(root, &main, BYTES_MAX) {
            Ok(bytes) => merged.add(&bytes, main, false)?,
            Err(error) if error.is_not_found() => {}
            Err(source) => {
                return Err(RegistriesError {
                    file: main,
                    fault: RegistriesFault::File { source },
                });
            }
        }
        for file in drop_ins(root)? {
            match host_file::read(root, &file, BYTES_MAX) {
                Ok(bytes) => merged.add(&bytes, file, true)?,
                Err(error) if error.is_not_found() => {}
                Err(source) => {
                    return Err(RegistriesError {
                        file,
                        fault: RegistriesFault::File { source },
                    });
                }
            }
        }
        Ok(merged)
    }

    /// Adds one file's tables; each replaces one of the same prefix from an earlier file.
    fn add(&mut self, bytes: &[u8], file: PathBuf, is_drop_in: bool) -> Result<(), RegistriesError> {
        match read::tables(bytes, &file, is_drop_in) {
            Ok(tables) => {
                self.registries.extend(tables);
                Ok(())
            }
            Err(fault) => Err(RegistriesError { file, fault }),
        }
    }

    /// The rule for a reference: the table with the longest prefix that its repository's name begins with.
    pub fn find(&self, reference: &Reference) -> Option<&Registry> {
        let name = reference.name();
        // Equal lengths cannot both match, but for a wildcard and a plain prefix; the first in order stays then.
        let mut best: Option<&Registry> = None;
        for registry in self.registries.values() {
            let longer = best.is_none_or(|best| registry.prefix.len() > best.prefix.len());
            if longer && match_prefix(&name, &registry.prefix).is_some() {
                best = Some(registry);
            }
        }
        best
    }
}

fn drop_ins(root: &Path) -> Result<Vec<PathBuf>, RegistriesError> {
    let directory = Path::new(DROP_INS);
    match host_file::file_names(root, directory, FILES_MAX) {
        Ok(names) => Ok(names
            .into_iter()
            .filter(|name| name.to_string_lossy().ends_with(".conf"))
            .map(|name| directory.join(name))
            .collect()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(source) => Err(RegistriesError {
            file: directory.to_owned(),
            fault: RegistriesFault::Directory { source },
        }),
    }
}

/// Where the prefix ends in the name, if the name begins with it as a whole component.
///
/// Kept from the original, which documents it as not intended: `example.com` also matches `example.com:5000`.
fn match_prefix(name: &str, prefix: &str) -> Option<usize> {
    let end = match prefix.strip_prefix('*') {
        Some(domain) if domain.starts_with('.') => {
            let start = name.find(domain)?;
            let is_in_host = !name.get(..start)?.contains('/');
            is_in_host.then_some(start + domain.len())?
        }
        _ => name.starts_with(prefix).then_some(prefix.len())?,
    };
    matches!(name.as_bytes().get(end), None | Some(b':' | b'/' | b'@')).then_some(end)
}
