//! Buckets: trees of pages with keys, whose values are bytes or buckets again.
//!
//! Invariant: each walk visits a page once and goes no deeper than [`MAX_DEPTH`], and all walks together look at no more
//! elements than the database allows, so circles and pages with many parents end. Called by the readers of a database.

use std::collections::BTreeSet;

use super::Database;
use super::page::{Header, Kind, branch_element, leaf_element, u64_at};

/// Levels of branches: with two keys a page, more than any file of the size has.
const MAX_DEPTH: usize = 40;

/// Root page and sequence, which stand before the page of a small bucket.
const BUCKET_HEADER: usize = 16;

/// A bucket of a database.
#[derive(Clone, Copy, Debug)]
pub(in crate::catalog) struct Bucket<'a> {
    database: &'a Database,
    place: Place<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Place<'a> {
    /// A tree of its own.
    Page(u64),
    /// A page inside its parent's value, on the page of this number.
    Inline(&'a [u8], u64),
}

/// What a key stands for.
#[derive(Clone, Copy, Debug)]
pub(in crate::catalog) enum Value<'a> {
    /// Bytes.
    Bytes(&'a [u8]),
    /// A bucket.
    Bucket(Bucket<'a>),
}

impl<'a> Bucket<'a> {
    pub(super) fn root(database: &'a Database) -> Self {
        Self {
            database,
            place: Place::Page(database.meta.root),
        }
    }

    /// Every key with its value, in order, as far as the pages are whole.
    pub(in crate::catalog) fn entries(&self) -> Vec<(&'a [u8], Value<'a>)> {
        let mut walk = Walk {
            database: self.database,
            visited: BTreeSet::new(),
            found: Vec::new(),
        };
        match self.place {
            Place::Page(page) => walk.page(page, 0),
            Place::Inline(bytes, page) => walk.inline(bytes, page),
        }
        walk.found
    }

    /// The bucket of a key.
    pub(in crate::catalog) fn bucket(&self, key: &str) -> Option<Bucket<'a>> {
        self.entries().into_iter().find_map(|(found, value)| match value {
            Value::Bucket(bucket) if found == key.as_bytes() => Some(bucket),
            Value::Bucket(_) | Value::Bytes(_) => None,
        })
    }

    /// The buckets in it, by their keys.
    pub(in crate::catalog) fn buckets(&self) -> Vec<(&'a [u8], Bucket<'a>)> {
        let entries = self.entries().into_iter();
        let buckets = entries.filter_map(|(key, value)| match value {
            Value::Bucket(bucket) => Some((key, bucket)),
            Value::Bytes(_) => None,
        });
        buckets.collect()
    }
}

struct Walk<'a> {
    database: &'a Database,
    visited: BTreeSet<u64>,
    found: Vec<(&'a [u8], Value<'a>)>,
}

impl<'a> Walk<'a> {
    fn page(&mut self, number: u64, depth: usize) {
        if depth > MAX_DEPTH {
            return self.database.damaged(number, "stands deeper than any tree is");
        }
        if !self.visited.insert(number) {
            return self.database.damaged(number, "is reached twice");
        }
        let (page, header) = match self.whole(number) {
            Ok(page) => page,
            Err(what) => return self.database.damaged(number, what),
        };
        match header.kind {
            Some(Kind::Leaf) => self.leaf(page, header.count, number),
            Some(Kind::Branch) => {
                for index in 0..header.count {
                    if !self.database.step() {
                        return self
                            .database
                            .damaged(number, "leads to more than the file can hold");
                    }
                    match branch_element(page, index) {
                        Some(next) => self.page(next, depth + 1),
                        None => return self.database.damaged(number, "has more elements than room"),
                    }
                }
            }
            None => self.database.damaged(number, "is no page of a tree"),
        }
    }

    /// A page with those that follow it, by its number.
    fn whole(&self, number: u64) -> Result<(&'a [u8], Header), &'static str> {
        let Database { bytes, meta, .. } = self.database;
        let outside = "lies outside the file";
        // The first two are headers.
        if number < 2 || number >= meta.pages {
            return Err(outside);
        }
        let at = |page: u64| usize::try_from(page).ok()?.checked_mul(meta.page_size);
        let rest = at(number).and_then(|start| bytes.get(start..)).ok_or(outside)?;
        let header = Header::of(rest).ok_or(outside)?;
        if header.id != number {
            return Err("says that it is another one");
        }
        let page = at(header.overflow.saturating_add(1)).and_then(|length| rest.get(..length));
        Ok((page.ok_or(outside)?, header))
    }

    fn inline(&mut self, bytes: &'a [u8], number: u64) {
        match Header::of(bytes) {
            Some(Header {
                kind: Some(Kind::Leaf),
                count,
                ..
            }) => self.leaf(bytes, count, number),
            Some(_) | None => self
                .database
                .damaged(number, "a bucket inside it is no page of keys"),
        }
    }

    fn leaf(&mut self, page: &'a [u8], count: usize, number: u64) {
        for index in 0..count {
            if !self.database.step() {
                return self
                    .database
                    .damaged(number, "leads to more than the file can hold");
            }
            let Some(element) = leaf_element(page, index) else {
                return self
                    .database
                    .damaged(number, "has a key or value that leads out of it");
            };
            let value = if element.is_bucket {
                let Some(root) = u64_at(element.value, 0) else {
                    self.database.damaged(number, "a bucket inside it has no root");
                    continue;
                };
                let place = match element.value.get(BUCKET_HEADER..) {
                    Some(inline) if root == 0 => Place::Inline(inline, number),
                    Some(_) | None => Place::Page(root),
                };
                Value::Bucket(Bucket {
                    database: self.database,
                    place,
                })
            } else {
                Value::Bytes(element.value)
            };
            self.found.push((element.key, value));
        }
    }
}
