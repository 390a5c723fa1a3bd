//! A file of accepted findings: what stands in it is known, and the next scan is about the rest.
//!
//! Invariant: it holds fingerprints and paths, never a secret; a file that was written with another node's key is
//! refused, since its fingerprints would match nothing and everything would look new. Used by `scan`.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

use super::FindingRow;
use crate::bounded;

const KIND: &str = "baseline";
const MAX_BYTES: u64 = 64 << 20;

/// The key of this host.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) id: String,
    /// Whether the next run has the same.
    pub(super) is_kept: bool,
    pub(super) directory: PathBuf,
}

/// The file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Baseline {
    schema_version: u32,
    kind: String,
    /// Recognises the key that the fingerprints were made with.
    key: String,
    accepted: BTreeSet<Accepted>,
    #[serde(skip)]
    is_kept: bool,
    #[serde(skip)]
    directory: PathBuf,
}

/// One accepted secret at one place; its line may change.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Accepted {
    rule: String,
    fingerprint: String,
    path: String,
}

impl Accepted {
    fn of(row: &FindingRow) -> Self {
        Self {
            rule: row.finding.rule.to_string(),
            fingerprint: row.finding.fingerprint.0.clone(),
            path: row.full_path(),
        }
    }
}

impl Baseline {
    /// All of these are accepted.
    pub(super) fn of(key: &Key, rows: &[FindingRow]) -> Self {
        Self {
            schema_version: 1,
            kind: KIND.to_owned(),
            key: key.id.clone(),
            accepted: rows.iter().map(Accepted::of).collect(),
            is_kept: key.is_kept,
            directory: key.directory.clone(),
        }
    }

    /// Replaces the file as a whole.
    pub(super) fn write(&self, file: &Path) -> Result<()> {
        if !self.is_kept {
            bail!(
                "{} cannot keep this host's key, so that no later scan would recognise what is accepted; name another \
                 directory with --set state_directory=DIRECTORY",
                self.directory.display()
            );
        }
        let mut name = file.as_os_str().to_owned();
        name.push(".new");
        let new = PathBuf::from(name);
        let mut text = serde_json::to_vec_pretty(self).context("write the baseline")?;
        text.push(b'\n');
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        options
            .open(&new)
            .and_then(|mut out| out.write_all(&text).and_then(|()| out.sync_all()))
            .and_then(|()| std::fs::rename(&new, file))
            .with_context(|| format!("write {}", file.display()))
    }

    /// Reads what was accepted with this key.
    pub(super) fn read(file: &Path, key: &Key) -> Result<Self> {
        let bytes = bounded::read_regular(file, MAX_BYTES)?;
        let baseline: Self =
            serde_json::from_slice(&bytes).with_context(|| format!("{} is no baseline", file.display()))?;
        if baseline.kind != KIND || baseline.schema_version != 1 {
            bail!("{} is a baseline of another version", file.display());
        }
        if baseline.key != key.id {
            bail!(
                "{} was written with another host's key; use the state directory it was made with \
                 (--set state_directory=DIRECTORY), or write it again with --write-baseline",
                file.display()
            );
        }
        Ok(baseline)
    }

    /// Whether the finding is in it.
    pub(super) fn accepts(&self, row: &FindingRow) -> bool {
        self.accepted.contains(&Accepted::of(row))
    }
}
