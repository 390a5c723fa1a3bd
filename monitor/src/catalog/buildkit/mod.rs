//! What BuildKit writes down about its work: `metadata_v2.db`, in a builder that runs for itself and in Docker's.
//!
//! Invariant: no lock is taken; of what a record says only what is checked is kept. A description is not read at all: it
//! holds the command of a step, and so whatever secret stands in it. Format: `cache/metadata.go`, `cache/refs.go` and
//! `cache/metadata/metadata.go` of BuildKit. Called by the readers of Docker's and of containerd's stores.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use super::bolt::{self, Database};
use super::containerd::values::{Fields, parts};
use super::problem::{ProblemKind, chain};
use crate::model::{BuildCache, BuildWork, Digest};

/// The database of records, below the builder's root.
pub(super) const RECORDS: &str = "metadata_v2.db";

/// What is being done when something of it cannot be read.
pub(super) const OPERATION: &str = "read BuildKit's metadata";

/// Records that are looked at: its garbage collection starts far below.
const MAX_RECORDS: usize = 100_000;

/// What a builder says of one of its snapshots.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Record {
    pub(super) cache: BuildCache,
    pub(super) created: Option<jiff::Timestamp>,
    pub(super) diff_id: Option<Digest>,
    /// As it was pulled, or is to be pushed.
    pub(super) blob: Option<Digest>,
    /// Its work is done: nothing is written there, or only by the next build that uses it.
    pub(super) is_finished: bool,
}

/// What cannot be read or believed: of which kind, where, why.
pub(super) type Complaint = (ProblemKind, PathBuf, String);

/// The records of a builder, by what it calls the snapshot.
#[derive(Debug, Default)]
pub(super) struct Records(BTreeMap<String, Record>);

impl Records {
    /// Adds those of the builder at `root`; none where there is no database.
    pub(super) fn read(&mut self, root: &Path, complaints: &mut Vec<Complaint>) {
        let file = root.join(RECORDS);
        if let Some(database) = open(&file, complaints) {
            // A name is random, so that two builders have none in common.
            let (records, left_out) = Self::of(&database);
            self.0.extend(records.0);
            complaints.extend(damage(&database, &file));
            complaints.extend(cut(left_out, &file));
        }
    }

    /// Those of a database, and how many were left out: of no name, or too many.
    pub(super) fn of(database: &Database) -> (Self, usize) {
        let rows = database.root().bucket("_main");
        let rows = rows.map(|rows| rows.buckets()).unwrap_or_default();
        let mut left_out = rows.len().saturating_sub(MAX_RECORDS);
        let mut records = BTreeMap::new();
        // Once a step is done, a second record stands for the first one's snapshot.
        let mut seconds = Vec::new();
        for (id, row) in rows.into_iter().take(MAX_RECORDS) {
            let Ok(id) = std::str::from_utf8(id) else {
                left_out += 1;
                continue;
            };
            let (fields, _) = parts(&row);
            let text = |key| value::<String>(&fields, key).filter(|text| !text.is_empty());
            let record = record(&fields);
            if let Some(first) = text("cache.equalMutable") {
                seconds.push((first, record));
            } else {
                let snapshot = text("cache.snapshot").unwrap_or_else(|| id.to_owned());
                records.entry(snapshot).or_insert(record);
            }
        }
        for (first, second) in seconds {
            if let Some(first) = records.get_mut(&first) {
                first.is_finished = true;
                first.cache.last_used = first.cache.last_used.max(second.cache.last_used);
                first.diff_id = first.diff_id.take().or(second.diff_id);
                first.blob = first.blob.take().or(second.blob);
            }
        }
        (Self(records), left_out)
    }

    /// What is said of a snapshot.
    pub(super) fn get(&self, snapshot: &str) -> Option<&Record> {
        self.0.get(snapshot)
    }
}

fn record(fields: &Fields<'_>) -> Record {
    let time = |key| {
        let nanoseconds: i64 = value(fields, key)?;
        jiff::Timestamp::from_nanosecond(nanoseconds.into()).ok()
    };
    let digest = |key| Digest::parse(&value::<String>(fields, key)?).ok();
    let work = value(fields, "cache.recordType").unwrap_or(BuildWork::Regular);
    let is_committed = value(fields, "snapshot.committed").unwrap_or(false);
    Record {
        cache: BuildCache {
            work,
            last_used: time("cache.lastUsedAt"),
        },
        created: time("cache.createdAt"),
        diff_id: digest("cache.diffID"),
        blob: digest("cache.blob"),
        is_finished: is_committed || work.is_reused(),
    }
}

/// A value as BuildKit wraps it: `{"value": …}`.
fn value<T: DeserializeOwned>(fields: &Fields<'_>, key: &str) -> Option<T> {
    #[derive(serde::Deserialize)]
    struct Wrapped<T> {
        value: T,
    }
    let bytes = fields.get(key.as_bytes())?;
    let wrapped: Wrapped<T> = serde_json::from_slice(bytes).ok()?;
    Some(wrapped.value)
}

/// A builder's database; a complaint where it is there and cannot be read.
pub(super) fn open(file: &Path, complaints: &mut Vec<Complaint>) -> Option<Database> {
    match bolt::read(file) {
        Ok(database) => Some(database),
        Err(error) if error.is_not_found() => None,
        Err(error) => {
            complaints.push((error.problem(), file.to_owned(), chain(&error)));
            None
        }
    }
}

/// What of a database is damaged.
pub(super) fn damage(database: &Database, file: &Path) -> impl Iterator<Item = Complaint> {
    let damage = database.damage().into_iter();
    damage.map(|what| (ProblemKind::Malformed, file.to_owned(), what))
}

/// Says how many rows of a database were left out.
pub(super) fn cut(left_out: usize, file: &Path) -> Option<Complaint> {
    let cause = format!("{left_out} rows are left out: their names are no text, or there are too many");
    (left_out > 0).then(|| (ProblemKind::BadRecord, file.to_owned(), cause))
}
