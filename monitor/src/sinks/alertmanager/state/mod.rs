//! The active alerts on disk, so that a restart of the agent sends them again.
//!
//! Invariant: the file is 0600 and is replaced as a whole (written beside, synced, renamed), so it is never half. One that
//! cannot be understood is set aside under `.unreadable`, never overwritten in silence. Used by `dispatch`.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::active::Entry;
use crate::bounded::{self, BoundedError};

const NAME: &str = "alertmanager.json";
const VERSION: u32 = 1;
/// Room for the most alerts, each with the longest texts that are usual.
const LIMIT: u64 = 64 << 20;

/// Why the state could not be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The file could not be read.
    #[error("read the active alerts")]
    Read(#[source] BoundedError),
    /// The file is not what this version writes; it was set aside.
    #[error("parse {}, now set aside", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The file is of another version; it was set aside.
    #[error("{} has version {version}, now set aside", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: u32,
    },
    /// The alerts could not be made into JSON.
    #[error("encode the active alerts")]
    Encode(#[source] serde_json::Error),
    /// The file could not be written.
    #[error("write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

#[derive(Serialize, Deserialize)]
struct Kept {
    version: u32,
    alerts: Vec<Entry>,
}

/// The file.
#[derive(Clone, Debug)]
pub(super) struct StateFile {
    path: PathBuf,
}

impl StateFile {
    pub(super) fn new(directory: &Path) -> Self {
        Self {
            path: directory.join(NAME),
        }
    }

    /// What a former run left; nothing if there was none.
    pub(super) fn load(&self) -> Result<Vec<Entry>, StateError> {
        let bytes = match bounded::read(&self.path, LIMIT) {
            Ok(bytes) => bytes,
            Err(error) if error.is_not_found() => return Ok(Vec::new()),
            Err(error) => return Err(StateError::Read(error)),
        };
        let path = self.path.clone();
        match serde_json::from_slice::<Kept>(&bytes) {
            Ok(kept) if kept.version == VERSION => Ok(kept.alerts),
            Ok(Kept { version, .. }) => {
                self.set_aside()?;
                Err(StateError::Version { path, version })
            }
            Err(source) => {
                self.set_aside()?;
                Err(StateError::Parse { path, source })
            }
        }
    }

    /// Replaces the file.
    pub(super) fn save(&self, alerts: Vec<Entry>) -> Result<(), StateError> {
        let version = VERSION;
        let bytes = serde_json::to_vec(&Kept { version, alerts }).map_err(StateError::Encode)?;
        self.replace(&bytes).map_err(|source| StateError::Write {
            path: self.path.clone(),
            source,
        })
    }

    fn replace(&self, bytes: &[u8]) -> std::io::Result<()> {
        let new = self.path.with_extension("json.new");
        // What a crash left is removed, so that `create_new` gives a file of our own with our mode.
        match std::fs::remove_file(&new) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&new, &self.path)?;
        self.path
            .parent()
            .map_or(Ok(()), |directory| File::open(directory)?.sync_all())
    }

    fn set_aside(&self) -> Result<(), StateError> {
        let path = self.path.with_extension("json.unreadable");
        std::fs::rename(&self.path, &path).map_err(|source| StateError::Write { path, source })
    }
}

#[cfg(test)]
mod tests;
