//! Small files of one line, and the entries of a metadata directory.
//!
//! Invariant: bounded in bytes and in entries; what vanished while the store was read is no problem. Used by the
//! readers of layers and images.

use std::path::Path;

use super::super::problem::{ProblemKind, Problems, chain};
use crate::bounded::{self, BoundedError};

/// A digest, an id or a number: far below it.
const LINE_LIMIT: u64 = 4096;

/// The names in a directory, sorted, at most `limit`; a missing directory has none, `None` if it cannot be read.
pub(super) fn names(directory: &Path, limit: usize, problems: &mut Problems) -> Option<Vec<String>> {
    let operation = "list the store's metadata";
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Some(Vec::new()),
        Err(error) => {
            problems.add(ProblemKind::Unreadable, directory, operation, &error.to_string());
            return None;
        }
    };
    let mut names = Vec::new();
    for entry in entries {
        if names.len() == limit {
            let cause = format!("more than {limit} entries, only as many are read");
            problems.add(ProblemKind::TooLarge, directory, operation, &cause);
            break;
        }
        match entry.map(|entry| entry.file_name().into_string()) {
            Ok(Ok(name)) => names.push(name),
            Ok(Err(name)) => {
                let cause = format!("{}: the name is not UTF-8", name.display());
                problems.add(ProblemKind::BadRecord, directory, operation, &cause);
            }
            Err(error) => {
                problems.add(ProblemKind::Unreadable, directory, operation, &error.to_string());
                return None;
            }
        }
    }
    names.sort_unstable();
    Some(names)
}

/// The one line of a file; `None` without a problem where there is none.
pub(super) fn line(file: &Path, problems: &mut Problems) -> Option<String> {
    match bounded::read_text(file, LINE_LIMIT) {
        Ok(text) => Some(text.trim_end_matches('\n').to_owned()),
        Err(error) if error.is_not_found() => None,
        Err(error) => {
            unreadable(&error, file, problems);
            None
        }
    }
}

/// Reports a file that is there and cannot be read.
pub(super) fn unreadable(error: &BoundedError, file: &Path, problems: &mut Problems) {
    let kind = match error {
        BoundedError::TooLarge { .. } => ProblemKind::TooLarge,
        BoundedError::NotText { .. } => ProblemKind::Malformed,
        BoundedError::Open { .. } | BoundedError::Read { .. } => ProblemKind::Unreadable,
    };
    problems.add(kind, file, "read the store's metadata", &chain(error));
}
