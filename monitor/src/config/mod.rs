//! The configuration: what was asked for, then what was meant.
//!
//! Invariant: a [`Config`] that exists is complete and valid. Each value comes from the first of flags, `LAYERWATCH_*`
//! variables, the file and the defaults that has it, and [`Settings`] says from which. An unknown key is an error that
//! names the nearest known one; no error shows a value, and secrets come from files named here, never from here.
//! `keys` is the one table that the reader, the documentation and the shipped example are made of. Used by `cli`, `app`.

mod alertmanager;
mod document;
mod duration;
mod keys;
mod raw;
mod render;
mod resolve;
mod resolved;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::bounded::{self, BoundedError};

pub use keys::{KEYS, Key, Kind, nearest};
pub use render::{example, reference};
pub use resolved::{
    Alertmanager, Authentication, ClientCertificate, Config, LogFormat, LogSink, LogTarget, Logging,
    Privilege, Scan, Stores, Tier, TierChoice, Watch, Web,
};

use document::Document;

/// Where the configuration is looked for when no path is given.
pub const DEFAULT_FILE: &str = "/etc/layerwatch/config.toml";
/// What the names of variables begin with.
const VARIABLE_PREFIX: &str = "LAYERWATCH_";
/// The largest file that is read, in bytes.
const BYTES_MAX: u64 = 1 << 20;

/// Where in a file something stands; lines and columns count from 1, columns in characters.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Position {
    /// The file.
    pub path: PathBuf,
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.path.display(), self.line, self.column)
    }
}

/// Where a value comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// The configuration file.
    File(Position),
    /// A variable of the environment, by its name.
    Environment(String),
    /// The command line.
    Flag,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(position) => position.fmt(f),
            Self::Environment(variable) => f.write_str(variable),
            Self::Flag => f.write_str("command line"),
        }
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file that was asked for cannot be read, or the default one is there and cannot be.
    #[error("read the configuration")]
    Read {
        /// Why; it names the file.
        #[source]
        source: BoundedError,
    },
    /// The file is not TOML.
    #[error("{at}: not TOML: {what}")]
    Syntax {
        /// Where.
        at: Position,
        /// What the grammar misses there; never a part of the file.
        what: String,
    },
    /// A key that does not exist.
    #[error("{origin}: unknown key \"{key}\"{}", did_you_mean(*.suggestion))]
    UnknownKey {
        /// Who set it.
        origin: Origin,
        /// The key, escaped.
        key: String,
        /// The nearest key that does.
        suggestion: Option<&'static str>,
    },
    /// A value where a section belongs.
    #[error("{at}: \"{section}\" is a section, not a key: write [{section}]")]
    NotASection {
        /// Where.
        at: Position,
        /// The section.
        section: String,
    },
    /// A value of another type than the key's.
    #[error("{origin}: {key}: expected {expected}")]
    WrongType {
        /// Who set it.
        origin: Origin,
        /// The key.
        key: &'static str,
        /// What the key takes.
        expected: String,
    },
    /// A value that the key cannot have, alone or together with others.
    #[error("{origin}: {key}: {rule}")]
    Invalid {
        /// Who set it.
        origin: Origin,
        /// The key.
        key: &'static str,
        /// The rule that is broken.
        rule: &'static str,
    },
    /// The table of keys and the reader of them differ: a defect, found by the tests.
    #[error("the table of keys does not fit its reader")]
    Table {
        /// How.
        #[source]
        source: toml::de::Error,
    },
}

fn did_you_mean(suggestion: Option<&str>) -> String {
    suggestion.map_or(String::new(), |key| format!(", did you mean \"{key}\"?"))
}

/// What the command line sets, each by its key's full name and in the form that a variable would have.
#[derive(Clone, Default, Debug)]
pub struct FlagOverrides {
    values: Vec<(String, String)>,
}

impl FlagOverrides {
    /// Sets a key, such as `web.listen`; a later one wins.
    pub fn set(&mut self, key: &str, value: &str) {
        self.values.push((key.to_owned(), value.to_owned()));
    }
}

/// One value with its origin, for `config show`.
#[derive(Clone, PartialEq, Debug)]
pub struct Setting {
    /// The key.
    pub key: &'static str,
    /// The value as TOML.
    pub value: toml::Value,
    /// Where it comes from.
    pub origin: Origin,
}

/// A variable with the prefix that is no key; Kubernetes makes such ones for a service of the same name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IgnoredVariable {
    /// Its name.
    pub name: String,
    /// The nearest variable that is one, if any is near.
    pub suggestion: Option<String>,
}

/// Every key's value with its origin, in the order of the table.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Settings {
    /// All of them.
    pub all: Vec<Setting>,
    /// Variables that look meant for the agent and are not.
    pub ignored: Vec<IgnoredVariable>,
}

impl Settings {
    fn find(&self, key: &str) -> Option<&Setting> {
        self.all.iter().find(|setting| setting.key == key)
    }

    /// Where the key's value comes from.
    pub fn origin(&self, key: &str) -> Origin {
        self.find(key)
            .map_or(Origin::Default, |setting| setting.origin.clone())
    }
}

/// Reads the configuration: the file at `path`, or the default one if there is one, under `env` and `flags`.
///
/// `env` is the environment, whole; only names that begin with `LAYERWATCH_` and `CREDENTIALS_DIRECTORY` are looked at.
pub fn load(
    path: Option<&Path>,
    env: &BTreeMap<String, String>,
    flags: &FlagOverrides,
) -> Result<Config, ConfigError> {
    let document = match path {
        Some(path) => Document::parse(&read(path)?, path)?,
        None => match read(Path::new(DEFAULT_FILE)) {
            Ok(text) => Document::parse(&text, Path::new(DEFAULT_FILE))?,
            Err(ConfigError::Read { source }) if source.is_not_found() => Document::default(),
            Err(error) => return Err(error),
        },
    };
    let hostname = bounded::read_text(Path::new("/proc/sys/kernel/hostname"), 256).unwrap_or_default();
    resolve::resolve(settings(document, env, flags)?, env, hostname.trim())
}

fn read(path: &Path) -> Result<String, ConfigError> {
    bounded::read_text(path, BYTES_MAX).map_err(|source| ConfigError::Read { source })
}

/// Lays the sources over each other.
fn settings(
    mut document: Document,
    env: &BTreeMap<String, String>,
    flags: &FlagOverrides,
) -> Result<Settings, ConfigError> {
    for (key, _) in &flags.values {
        if keys::find(key).is_none() {
            return Err(document::unknown(Origin::Flag, key));
        }
    }
    let mut all = Vec::with_capacity(KEYS.len());
    for key in KEYS {
        let flag = flags.values.iter().rev().find(|(name, _)| name == key.name);
        let variable = key.variable();
        let (value, origin) = if let Some((_, text)) = flag {
            (key.kind.read_text(text), Origin::Flag)
        } else if let Some(text) = env.get(&variable) {
            (key.kind.read_text(text), Origin::Environment(variable))
        } else if let Some((value, position)) = document.take(key.name) {
            (key.kind.check(value), Origin::File(position))
        } else {
            (key.default_value(), Origin::Default)
        };
        let value = value.ok_or_else(|| ConfigError::WrongType {
            origin: origin.clone(),
            key: key.name,
            expected: key.kind.to_string(),
        })?;
        all.push(Setting {
            key: key.name,
            value,
            origin,
        });
    }
    Ok(Settings {
        all,
        ignored: ignored(env),
    })
}

fn ignored(env: &BTreeMap<String, String>) -> Vec<IgnoredVariable> {
    let known: Vec<String> = KEYS.iter().map(Key::variable).collect();
    env.keys()
        .filter(|name| name.starts_with(VARIABLE_PREFIX) && !known.contains(name))
        .map(|name| IgnoredVariable {
            name: name.clone(),
            suggestion: nearest(name, known.iter().map(String::as_str)).map(str::to_owned),
        })
        .collect()
}
