//! What tells whether a layer's file is still the one that was scanned, without opening it.
//!
//! Invariant: no link is followed, neither at the end nor on the way; nothing is opened. Size and time come with the
//! layer's archive, so that they are the same in each store the layer was unpacked to. Used by the cache.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{FileType, Stat};
use serde::{Deserialize, Serialize};

use super::super::engine::inode;
use crate::model::DevIno;

/// Size and time of change of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stamp {
    size: i64,
    seconds: i64,
}

/// The file's stamp and inode; nothing if there is no regular file below real directories.
pub(super) fn stamp(content: &Path, path: &[u8]) -> Option<(Stamp, DevIno)> {
    let mut at = content.to_owned();
    let mut components = path.split(|byte| *byte == b'/').peekable();
    while let Some(component) = components.next() {
        at.push(OsStr::from_bytes(component));
        let stat = rustix::fs::lstat(&at).ok()?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        match components.peek() {
            Some(_) if kind != FileType::Directory => return None,
            Some(_) => {}
            None => return (kind == FileType::RegularFile).then(|| (of(&stat), inode(&stat))),
        }
    }
    None
}

#[expect(clippy::unnecessary_cast, reason = "the fields' types differ by architecture")]
fn of(stat: &Stat) -> Stamp {
    Stamp {
        size: stat.st_size as i64,
        seconds: stat.st_mtime as i64,
    }
}
