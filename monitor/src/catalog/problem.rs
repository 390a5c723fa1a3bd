//! What the catalog could not read or would not believe.
//!
//! Invariant: a problem is text that is safe to print (names from a store come escaped) and a kind from a closed set.
//! Made by the readers of this module; shown by `doctor` and `stores`, counted by kind in the metrics.

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::model::StoreId;
use crate::model::text::printable;

/// The kind of a problem; a closed set, so that it can be a metric label.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProblemKind {
    /// A store exists whose engine or driver is not read yet: its content is not watched.
    UnsupportedStore,
    /// A layer is stored in a form that is not read yet.
    UnsupportedLayer,
    /// A root that the configuration names does not exist.
    MissingStore,
    /// A file or directory could not be read.
    Unreadable,
    /// A file is larger than any engine writes it.
    TooLarge,
    /// A file is not in its format from some place on.
    Malformed,
    /// One record of an index makes no sense; the others stay.
    BadRecord,
    /// Two records have the same id; the first one counts.
    DuplicateId,
    /// A layer that another layer or an image needs is not in any store that may lend it.
    MissingLayer,
    /// Layers are each other's parents.
    ParentCycle,
    /// A layer's directory is missing or is no directory.
    MissingContent,
    /// Layers are on devices that are not mounted: they have no files that could be scanned or watched.
    NotMounted,
}

impl ProblemKind {
    /// All, for metrics.
    pub const ALL: [Self; 12] = [
        Self::UnsupportedStore,
        Self::UnsupportedLayer,
        Self::MissingStore,
        Self::Unreadable,
        Self::TooLarge,
        Self::Malformed,
        Self::BadRecord,
        Self::DuplicateId,
        Self::MissingLayer,
        Self::ParentCycle,
        Self::MissingContent,
        Self::NotMounted,
    ];

    /// The name in output and in metric labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UnsupportedStore => "unsupported-store",
            Self::UnsupportedLayer => "unsupported-layer",
            Self::MissingStore => "missing-store",
            Self::Unreadable => "unreadable",
            Self::TooLarge => "too-large",
            Self::Malformed => "malformed",
            Self::BadRecord => "bad-record",
            Self::DuplicateId => "duplicate-id",
            Self::MissingLayer => "missing-layer",
            Self::ParentCycle => "parent-cycle",
            Self::MissingContent => "missing-content",
            Self::NotMounted => "not-mounted",
        }
    }
}

/// Something the catalog could not read or would not believe.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Problem {
    /// What kind.
    pub kind: ProblemKind,
    /// The store, as far as it was recognised.
    pub store: Option<StoreId>,
    /// The file or directory, escaped.
    pub file: String,
    /// What was being done.
    pub operation: String,
    /// Why it failed, escaped.
    pub cause: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.file, self.operation, self.cause)
    }
}

impl Problem {
    pub(crate) fn new(kind: ProblemKind, file: &Path, operation: &str, cause: &str) -> Self {
        use std::os::unix::ffi::OsStrExt;
        Self {
            kind,
            store: None,
            file: printable(file.as_os_str().as_bytes()).to_string(),
            operation: operation.to_owned(),
            cause: printable(cause.as_bytes())
                .to_string()
                .chars()
                .take(CAUSE_CHARS)
                .collect(),
        }
    }

    /// Whether it is the same as one that was told: how many layers are not mounted changes with each container that starts.
    pub(crate) fn is_told_by(&self, told: &Self) -> bool {
        let counts = self.kind == ProblemKind::NotMounted && self.kind == told.kind;
        (counts && self.store == told.store && self.file == told.file) || self == told
    }

    pub(crate) fn of_store(mut self, store: &StoreId) -> Self {
        self.store = Some(store.clone());
        self
    }
}

/// The longest cause that is kept: a parser may repeat what it read.
const CAUSE_CHARS: usize = 300;

/// An error and what caused it, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// The problems of one store, bounded: a hostile index cannot fill the memory with complaints.
#[derive(Debug)]
pub(crate) struct Problems {
    store: StoreId,
    list: Vec<Problem>,
    suppressed: u64,
}

impl Problems {
    /// More than anybody reads.
    const LIMIT: usize = 200;

    pub(crate) fn of(store: &StoreId) -> Self {
        Self {
            store: store.clone(),
            list: Vec::new(),
            suppressed: 0,
        }
    }

    pub(crate) fn add(&mut self, kind: ProblemKind, file: &Path, operation: &str, cause: &str) {
        if self.list.len() < Self::LIMIT {
            self.list
                .push(Problem::new(kind, file, operation, cause).of_store(&self.store));
        } else {
            self.suppressed += 1;
        }
    }

    /// How many were added so far.
    pub(crate) fn count(&self) -> u64 {
        let listed = u64::try_from(self.list.len()).unwrap_or(u64::MAX);
        listed.saturating_add(self.suppressed)
    }

    /// The list, with one more entry that counts what did not fit.
    pub(crate) fn into_list(mut self, root: &Path) -> Vec<Problem> {
        if self.suppressed > 0 {
            let cause = format!("{} more problems are not listed", self.suppressed);
            self.list.push(
                Problem::new(ProblemKind::BadRecord, root, "read the store", &cause).of_store(&self.store),
            );
        }
        self.list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_number_of_unmounted_layers_is_no_other_problem() {
        let problem = |kind, file: &str, cause| Problem::new(kind, Path::new(file), "look", cause);
        let told = problem(ProblemKind::NotMounted, "/a", "4 layers");
        for (kind, file, cause, is_told) in [
            (ProblemKind::NotMounted, "/a", "4 layers", true),
            (ProblemKind::NotMounted, "/a", "3 layers", true),
            (ProblemKind::NotMounted, "/b", "4 layers", false),
            (ProblemKind::Unreadable, "/a", "4 layers", false),
        ] {
            assert_eq!(
                problem(kind, file, cause).is_told_by(&told),
                is_told,
                "{file} {cause}"
            );
        }
        let other = problem(ProblemKind::Unreadable, "/a", "another error");
        assert!(!other.is_told_by(&problem(ProblemKind::Unreadable, "/a", "an error")));
        let others = told.clone().of_store(&StoreId::new("zfs@/s"));
        assert!(!others.is_told_by(&told));
    }
}
