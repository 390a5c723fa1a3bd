//! Results of scans on disk, so that a restart or an unchanged host opens no file of a layer again.
//!
//! A result is kept under the layer's diff id, the rule table's digest, the engine's version and a scope: all of root's
//! stores share one, each store of somebody else has its own, since its owner can claim any id and would blind the scan
//! of the layer that really has it. Invariant: nothing in the file can be turned back into a secret; each result carries
//! a MAC under the node's key, and what it says is believed no more than a worker's answer; the file is 0600 and bounded;
//! a damaged one is made anew, and that is said. A finding is restored only while its file has the size and time it had.
//!
//! redb: pure Rust, copy-on-write with checksums, several processes at a time (the agent and a command), no C and no
//! server. Called by `survey`, on threads that may block.

mod file;
mod place;
mod record;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::Path;

use redb::{Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition};

use super::ENGINE_VERSION;
use super::redact::FingerprintKey;
use super::rules::RuleSet;
use super::summary::{LayerScan, ProblemKind, SkipReason};
use crate::model::{Digest, Layer, Store};
pub use file::CacheError;
use file::{is_damage, open_file};
use record::Record;

/// The file in the state directory.
const FILE: &str = "scans.redb";
/// Results that are kept; the oldest go first.
const MAX_RESULTS: u64 = 20_000;
/// The largest result that is kept.
const MAX_RESULT_BYTES: usize = 2 << 20;
/// All results together.
const MAX_BYTES: u64 = 128 << 20;

/// Number and sealed record, by key.
const RESULTS: TableDefinition<'_, &str, (u64, &[u8])> = TableDefinition::new("results");
/// Keys by number, which rises.
const ORDER: TableDefinition<'_, u64, &str> = TableDefinition::new("order");

/// Whose results a result is shared with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Scope<'a> {
    /// Every store of root.
    Root,
    /// This store alone.
    Own(&'a Store),
}

/// See the module.
pub struct ScanCache {
    database: Database,
    rules: RuleSet,
    key: FingerprintKey,
}

impl fmt::Debug for ScanCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ScanCache")
    }
}

impl ScanCache {
    /// Opens the cache in the state directory, or makes it; true if what was there was damaged and is gone.
    pub fn open(directory: &Path, rules: RuleSet, key: FingerprintKey) -> Result<(Self, bool), CacheError> {
        let path = directory.join(FILE);
        let (database, anew) = match open_file(&path) {
            Ok(database) => (database, false),
            Err(CacheError::Open { source, .. }) if is_damage(&source) => {
                let removed = std::fs::remove_file(&path);
                removed.map_err(|source| CacheError::File {
                    path: path.clone(),
                    source,
                })?;
                (open_file(&path)?, true)
            }
            Err(error) => return Err(error),
        };
        Ok((Self { database, rules, key }, anew))
    }

    /// What was found in the layer before, if its files are still the same.
    pub fn layer(&self, store: &Store, layer: &Layer) -> Result<Option<LayerScan>, CacheError> {
        let Some(key) = self.key_of(store, layer) else {
            return Ok(None);
        };
        let Some(record) = self.get(&key)? else {
            return Ok(None);
        };
        Ok(record.layer_scan(&self.rules, layer))
    }

    /// Keeps what was found in a layer, if another scan would find the same.
    pub fn keep(&self, store: &Store, layer: &Layer, scan: &LayerScan) -> Result<(), CacheError> {
        if !is_final(scan) {
            return Ok(());
        }
        let Some((key, record)) = self.key_of(store, layer).zip(Record::of(layer, scan)) else {
            return Ok(());
        };
        let sealed = record.seal(&self.key, &key);
        if sealed.len() <= MAX_RESULT_BYTES {
            self.put(&key, &sealed)?;
        }
        Ok(())
    }

    fn key_of(&self, store: &Store, layer: &Layer) -> Option<String> {
        let scope = if store.owner_uid == 0 {
            Scope::Root
        } else {
            Scope::Own(store)
        };
        let diff_id: &Digest = layer.diff_id.as_ref()?;
        let scope = match scope {
            Scope::Root => "root".to_owned(),
            // Another store may be at the same place later: its root is another inode.
            Scope::Own(store) => format!("{}#{}.{}", store.id, store.root_key.dev.0, store.root_key.ino),
        };
        // A copy of the whole tree is another one on each parent, and none is the layer's own files alone.
        let tree = if store.driver.keeps_copies() {
            format!("/{}", layer.key.layer)
        } else {
            String::new()
        };
        Some(format!(
            "{ENGINE_VERSION}/{}/{scope}/{diff_id}{tree}",
            self.rules.digest()
        ))
    }

    fn get(&self, key: &str) -> Result<Option<Record>, CacheError> {
        let read = || -> Result<Option<Vec<u8>>, redb::Error> {
            let transaction = self.database.begin_read()?;
            let table = match transaction.open_table(RESULTS) {
                Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
                other => other?,
            };
            Ok(table.get(key)?.map(|value| value.value().1.to_vec()))
        };
        let sealed = read().map_err(|error| CacheError::Use(Box::new(error)))?;
        Ok(sealed.and_then(|sealed| Record::unseal(&sealed, &self.key, key)))
    }

    fn put(&self, key: &str, sealed: &[u8]) -> Result<(), CacheError> {
        let write = || -> Result<(), redb::Error> {
            let transaction = self.database.begin_write()?;
            {
                let mut results = transaction.open_table(RESULTS)?;
                let mut order = transaction.open_table(ORDER)?;
                let number = order.last()?.map_or(0, |(number, _)| number.value() + 1);
                if let Some(old) = results.insert(key, (number, sealed))? {
                    order.remove(old.value().0)?;
                }
                order.insert(number, key)?;
                while results.len()? > MAX_RESULTS || results.stats()?.stored_bytes() > MAX_BYTES {
                    let Some((_, oldest)) = order.pop_first()? else {
                        break;
                    };
                    results.remove(oldest.value())?;
                }
            }
            transaction.commit()?;
            Ok(())
        };
        write().map_err(|error| CacheError::Use(Box::new(error)))
    }
}

/// Whether a later scan of the same layer would say the same: nothing was kept from this one by rights, by a change or
/// by something that is mounted there.
fn is_final(scan: &LayerScan) -> bool {
    let passes = |kind| {
        matches!(
            kind,
            ProblemKind::Open | ProblemKind::Read | ProblemKind::Changed | ProblemKind::Directory
        )
    };
    let summary = &scan.summary;
    let all_known = u64::try_from(summary.problems.len()).is_ok_and(|known| known == summary.problems_total);
    all_known
        && !summary.problems.iter().any(|problem| passes(problem.kind))
        && !summary.skipped.contains_key(&SkipReason::OtherFileSystem)
}
