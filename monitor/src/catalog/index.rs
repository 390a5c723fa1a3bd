//! Reading one index file of JSON: an array of records, or what the caller's parser makes of it.
//!
//! Invariant: bounded in bytes, records and depth; never panics; what stands before a damage is kept and the damage is
//! named with the file and its offset. A record of the wrong shape is passed over alone. Called by the engines' modules.

use std::path::Path;

use serde::Deserializer;
use serde::de::{DeserializeOwned, DeserializeSeed, SeqAccess, Visitor};

use super::problem::{ProblemKind, Problems, chain};
use crate::bounded::{self, BoundedError};

/// About 50 000 layers; engines are unusable long before.
const FILE_LIMIT: u64 = 32 << 20;

/// Records of one index.
pub(super) const RECORD_LIMIT: usize = 50_000;

/// A file that was replaced while it was read is whole at the next try.
const TRIES: usize = 3;

/// The records of one file.
#[derive(Debug)]
pub(super) struct Index<T> {
    pub(super) records: Vec<T>,
    /// Reading ended early; there may have been more. (A record of the wrong shape stays so: it is no reason to wait.)
    pub(super) incomplete: bool,
}

impl<T> Index<T> {
    fn broken() -> Self {
        Self {
            records: Vec::new(),
            incomplete: true,
        }
    }
}

/// Reads an array of records; a missing file has none.
pub(super) fn read<T: DeserializeOwned>(file: &Path, problems: &mut Problems) -> Index<T> {
    read_by(parse, file, problems)
}

/// Reads what a parser makes of the file; a missing one is empty.
pub(super) fn read_by<T>(
    parse: impl Fn(&[u8]) -> Parsed<T>,
    file: &Path,
    problems: &mut Problems,
) -> Index<T> {
    let mut last: Option<(Vec<u8>, Parsed<T>)> = None;
    for _ in 0..TRIES {
        let bytes = match bounded::read_regular(file, FILE_LIMIT) {
            Ok(bytes) => bytes,
            Err(error) if error.is_not_found() => Vec::new(),
            Err(error) => {
                let kind = if matches!(error, BoundedError::TooLarge { .. }) {
                    ProblemKind::TooLarge
                } else {
                    ProblemKind::Unreadable
                };
                problems.add(kind, file, "read the index", &chain(&error));
                return Index::broken();
            }
        };
        if last.as_ref().is_some_and(|(before, _)| *before == bytes) {
            break;
        }
        let parsed = parse(&bytes);
        let whole = parsed.damage.is_none();
        last = Some((bytes, parsed));
        if whole {
            break;
        }
    }
    let Some((_, parsed)) = last else {
        return Index::broken();
    };
    for bad in &parsed.bad_records {
        problems.add(ProblemKind::BadRecord, file, "read a record", bad);
    }
    if let Some(damage) = &parsed.damage {
        problems.add(ProblemKind::Malformed, file, "parse the index", damage);
    }
    Index {
        incomplete: parsed.damage.is_some(),
        records: parsed.records,
    }
}

/// What the bytes of an index say.
#[derive(Debug)]
pub(super) struct Parsed<T> {
    pub(super) records: Vec<T>,
    /// Why single records were passed over.
    pub(super) bad_records: Vec<String>,
    /// Why and where reading ended early.
    pub(super) damage: Option<String>,
}

impl<T> Default for Parsed<T> {
    fn default() -> Self {
        Self {
            records: Vec::new(),
            bad_records: Vec::new(),
            damage: None,
        }
    }
}

/// Parses an array of records; an empty file and `null` are empty indexes, as they are for the engines.
pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Parsed<T> {
    parse_by(bytes, |parsed, deserializer| {
        Records(parsed).deserialize(deserializer)
    })
}

/// A reader of JSON text that is in memory.
pub(super) type JsonBytes<'a> = serde_json::Deserializer<serde_json::de::SliceRead<'a>>;

/// Parses by a visitor that puts what it has read so far into `Parsed`.
pub(super) fn parse_by<'a, T>(
    bytes: &'a [u8],
    read: impl FnOnce(&mut Parsed<T>, &mut JsonBytes<'a>) -> serde_json::Result<()>,
) -> Parsed<T> {
    let mut parsed = Parsed::default();
    if bytes.is_empty() {
        return parsed;
    }
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let result = read(&mut parsed, &mut deserializer);
    if let Err(error) = result.and_then(|()| deserializer.end()) {
        let offset = offset_of(bytes, error.line(), error.column());
        parsed.damage = Some(format!("{error} (offset {offset} of {} bytes)", bytes.len()));
    }
    parsed
}

/// The byte offset of a place that the parser names by line and column.
fn offset_of(bytes: &[u8], line: usize, column: usize) -> usize {
    let lines = bytes.split_inclusive(|b| *b == b'\n');
    lines.take(line.saturating_sub(1)).map(<[u8]>::len).sum::<usize>() + column
}

struct Records<'a, T>(&'a mut Parsed<T>);

impl<'de, T: DeserializeOwned> DeserializeSeed<'de> for Records<'_, T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, T: DeserializeOwned> Visitor<'de> for Records<'_, T> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an array of records")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<(), A::Error> {
        let mut count = 0_usize;
        while let Some(value) = sequence.next_element::<serde_json::Value>()? {
            count += 1;
            if count > RECORD_LIMIT {
                return Err(serde::de::Error::custom(format_args!(
                    "more than {RECORD_LIMIT} records"
                )));
            }
            match serde_json::from_value(value) {
                Ok(record) => self.0.records.push(record),
                Err(error) => self.0.bad_records.push(format!("record {count}: {error}")),
            }
        }
        Ok(())
    }
}
