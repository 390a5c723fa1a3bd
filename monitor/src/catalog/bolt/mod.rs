//! Reads bolt files (bbolt, as containerd keeps its metadata in) that another process has open and writes.
//!
//! Invariant: no lock is taken and nothing is written, since containerd holds the file's lock for its life; every number of
//! the file is checked before it leads anywhere, so whatever the bytes are, reading ends, within the file's size in work and
//! memory. What is damaged is named with its page, and the rest is read. Format: `page.go`, `bucket.go`, `db.go` of
//! go.etcd.io/bbolt. Called by the reader of containerd's stores.

mod file;
mod meta;
mod page;
#[cfg(test)]
pub(super) mod tests;
mod tree;

use std::cell::{Cell, RefCell};

pub(in crate::catalog) use self::file::read;
use self::meta::Meta;
pub(in crate::catalog) use self::tree::{Bucket, Value};
use super::problem::ProblemKind;
use crate::bounded::BoundedError;

/// Why a file could not be read at all.
#[derive(Debug, thiserror::Error)]
pub(super) enum BoltError {
    /// It could not be opened or read, or is too large.
    #[error(transparent)]
    File(#[from] BoundedError),
    /// Neither of its two first pages is a whole header.
    #[error("no header with a right checksum in {bytes} bytes")]
    NoHeader {
        /// The file's length.
        bytes: usize,
    },
    /// It was changed each time it was read.
    #[error("changed each of the {tries} times it was read")]
    Changing {
        /// How often it was read.
        tries: usize,
    },
}

impl BoltError {
    /// Whether there is no file.
    pub(super) fn is_not_found(&self) -> bool {
        matches!(self, Self::File(error) if error.is_not_found())
    }

    /// What kind of problem it is.
    pub(super) fn problem(&self) -> ProblemKind {
        match self {
            Self::File(BoundedError::TooLarge { .. }) => ProblemKind::TooLarge,
            Self::NoHeader { .. } => ProblemKind::Malformed,
            Self::File(_) | Self::Changing { .. } => ProblemKind::Unreadable,
        }
    }
}

/// How many pieces of damage are named; the others are counted with the last.
const MAX_DAMAGE: usize = 20;

/// One state of a database, as of its newest transaction.
#[derive(Debug)]
pub(super) struct Database {
    bytes: Vec<u8>,
    meta: Meta,
    /// Elements that may yet be looked at: a hostile file can name one page from many places.
    steps_left: Cell<usize>,
    damage: RefCell<Vec<String>>,
}

impl Database {
    /// The newest state in the bytes of a file.
    ///
    /// # Errors
    /// No header is whole.
    pub(super) fn parse(bytes: Vec<u8>) -> Result<Self, BoltError> {
        let meta = Meta::newest(&bytes).ok_or(BoltError::NoHeader { bytes: bytes.len() })?;
        Ok(Self {
            // An element takes 16 bytes; the readers look at each a few times.
            steps_left: Cell::new(bytes.len() / 2 + 1000),
            damage: RefCell::default(),
            bytes,
            meta,
        })
    }

    /// The bucket that holds the others.
    pub(in crate::catalog) fn root(&self) -> Bucket<'_> {
        Bucket::root(self)
    }

    /// What was found to be damaged while buckets were read.
    pub(in crate::catalog) fn damage(&self) -> Vec<String> {
        self.damage.borrow().clone()
    }

    fn damaged(&self, page: u64, what: &str) {
        let mut damage = self.damage.borrow_mut();
        let text = format!("page {page}: {what}");
        if damage.len() < MAX_DAMAGE && !damage.contains(&text) {
            damage.push(text);
        }
    }

    /// Counts one element that is looked at; `false` when there were too many.
    fn step(&self) -> bool {
        let left = self.steps_left.get();
        self.steps_left.set(left.saturating_sub(1));
        left > 0
    }
}
