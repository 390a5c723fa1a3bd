//! The digests that rpm records: its database, as `SQLite` (Fedora, RHEL 9 and later) or ndb (SUSE).
//!
//! Invariant: total and bounded, read by position below the layer's root, one package at a time; a database that is
//! damaged claims what stands before the damage. Berkeley DB (RHEL 8 and before) is not read. The formats are read here
//! because `SQLite` is a large library in C for a walk over one table, and ndb has none. Called by `records`.

mod header;
mod ndb;
mod sqlite;
#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fs::File;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::FileExt as _;

use rustix::fs::OFlags;

use super::digest::Expected;
use super::open;

/// Where the database lies, newest first (`rpm --eval %_dbpath`).
const PLACES: [&str; 2] = ["usr/lib/sysimage/rpm", "var/lib/rpm"];
/// A package's header may have this many bytes, as in rpm (`HEADER_DATA_MAX` is more than any package has).
const MAX_HEADER: usize = 16 << 20;
/// Packages that are looked at.
const MAX_PACKAGES: usize = 50_000;

/// Bytes that are read of a database, also where it points to the same ones again and again.
const MAX_BYTES: usize = 512 << 20;

/// How many bytes may still be read.
struct Budget(Cell<usize>);

impl Budget {
    fn new() -> Self {
        Self(Cell::new(MAX_BYTES))
    }

    fn spend(&self, bytes: usize) -> Option<()> {
        self.0.set(self.0.get().checked_sub(bytes)?);
        Some(())
    }
}

/// Something that is read by position.
trait At {
    /// That many bytes from there; nothing if they are not all there.
    fn at(&self, offset: u64, length: usize) -> Option<Vec<u8>>;
}

impl At for File {
    fn at(&self, offset: u64, length: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.read_exact_at(&mut bytes, offset).ok()?;
        Some(bytes)
    }
}

impl At for [u8] {
    fn at(&self, offset: u64, length: usize) -> Option<Vec<u8>> {
        let start = usize::try_from(offset).ok()?;
        self.get(start..start.checked_add(length)?).map(<[u8]>::to_vec)
    }
}

/// Calls `claim` with each of `paths` that a package has, and its digest.
pub(super) fn each(root: BorrowedFd<'_>, paths: &BTreeSet<Vec<u8>>, claim: &mut dyn FnMut(&[u8], Expected)) {
    for place in PLACES {
        let file = |name: &str| regular(root, &format!("{place}/{name}"));
        let mut take = |package: &[u8]| {
            // A package that is damaged claims what stands before the damage.
            let _: Option<()> = header::files(package, paths, claim);
        };
        if let Some(database) = file("rpmdb.sqlite") {
            let _: Option<()> = sqlite::each_blob(&database, b"Packages", &mut take);
        }
        if let Some(database) = file("Packages.db") {
            let _: Option<()> = ndb::each_blob(&database, &mut take);
        }
    }
}

/// Both kinds of database and a package's header in the same bytes: what fuzzing calls.
#[cfg(any(test, fuzzing))]
pub(super) fn read_all(bytes: &[u8], paths: &BTreeSet<Vec<u8>>, claim: &mut dyn FnMut(&[u8], Expected)) {
    let mut take = |package: &[u8]| {
        // A package that is damaged claims what stands before the damage.
        let _: Option<()> = header::files(package, paths, claim);
    };
    take(bytes);
    let _: Option<()> = sqlite::each_blob(bytes, b"Packages", &mut take);
    let _: Option<()> = ndb::each_blob(bytes, &mut take);
}

fn regular(root: BorrowedFd<'_>, path: &str) -> Option<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(open(root, path.as_bytes(), flags)?);
    file.metadata().ok().filter(std::fs::Metadata::is_file)?;
    Some(file)
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let digits = bytes.get(at..)?.first_chunk::<4>()?;
    Some(u32::from_be_bytes(*digits))
}

fn size(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
