//! Reading a file while its owner commits to it.
//!
//! Invariant: what is given back is one transaction's state. A commit writes only pages that the state before it does not
//! use, and then a header; pages of that state are used again by the commit after it (`Tx.Commit`, `db.freePages`). So a
//! reading is good when the newest header is the same before and after it, and is made again otherwise. Called by the
//! reader of containerd's stores.

use std::fs::File;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;

use super::meta::{HEADERS, Meta};
use super::{BoltError, Database};
use crate::bounded::BoundedError;

/// Some 50 000 images with their layers; a node keeps a hundred.
pub(super) const FILE_LIMIT: usize = 64 << 20;

/// A commit takes milliseconds on a disk that is asked to be sure.
const TRIES: usize = 8;
const PAUSE: std::time::Duration = std::time::Duration::from_millis(3);

/// Reads the newest state of a file.
///
/// # Errors
/// The file cannot be opened or read, is no bolt file, is too large, or is changed all the time.
pub(in crate::catalog) fn read(path: &Path) -> Result<Database, BoltError> {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let file = File::options()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)
        .map_err(|source| BoundedError::Open {
            path: path.to_owned(),
            source,
        })?;
    read_while(|| pages_in_use(&file, path), || newest(&file, path))
}

/// Reads until the newest header is the same before and after.
pub(super) fn read_while(
    mut pages: impl FnMut() -> Result<Vec<u8>, BoundedError>,
    mut newest: impl FnMut() -> Result<Option<Meta>, BoundedError>,
) -> Result<Database, BoltError> {
    for attempt in 0..TRIES {
        if attempt > 0 {
            std::thread::sleep(PAUSE);
        }
        let before = newest()?;
        let bytes = pages()?;
        let after = newest()?;
        if before == after {
            return Database::parse(bytes);
        }
    }
    Err(BoltError::Changing { tries: TRIES })
}

fn newest(file: &File, path: &Path) -> Result<Option<Meta>, BoundedError> {
    Ok(Meta::newest(&beginning(file, path, HEADERS)?))
}

/// The pages in use: bolt makes a file longer than it needs, by up to 16 MiB. Of a file without a header its beginning.
fn pages_in_use(file: &File, path: &Path) -> Result<Vec<u8>, BoundedError> {
    let used = newest(file, path)?.map_or(Some(HEADERS), |meta| {
        let pages = usize::try_from(meta.pages).ok()?;
        pages.checked_mul(meta.page_size)
    });
    match used.filter(|used| *used <= FILE_LIMIT) {
        Some(used) => beginning(file, path, used),
        None => Err(BoundedError::TooLarge {
            path: path.to_owned(),
            limit: u64::try_from(FILE_LIMIT).unwrap_or(u64::MAX),
        }),
    }
}

/// The first bytes of a file, fewer where it ends before.
fn beginning(file: &File, path: &Path, length: usize) -> Result<Vec<u8>, BoundedError> {
    let failed = |source| BoundedError::Read {
        path: path.to_owned(),
        source,
    };
    // What a header claims to be in use need not be there.
    let there = file.metadata().map_err(failed)?.len();
    let length = length.min(usize::try_from(there).unwrap_or(usize::MAX));
    let mut bytes = vec![0; length];
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        let offset = u64::try_from(filled).unwrap_or(u64::MAX);
        match file.read_at(rest, offset) {
            Ok(0) => break,
            Ok(more) => filled += more,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(source) => return Err(failed(source)),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}
