//! The walk over one layer's directory entries.
//!
//! Invariant: no link is followed, and nothing is opened but directories below the layer's root. Bounded in depth.

use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags};

use super::pattern::Pattern;
use super::{EntryKind, Found, Hit, MAX_HITS};
use crate::catalog::Catalog;
use crate::model::Layer;

/// Deeper trees are cut and told.
const MAX_DEPTH: usize = 256;

/// The walk over one layer.
pub(super) struct Walk<'a> {
    pub(super) catalog: &'a Catalog,
    pub(super) layer: &'a Layer,
    pub(super) pattern: &'a Pattern,
    pub(super) found: &'a mut Found,
}

impl Walk<'_> {
    pub(super) fn walk(&mut self) {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let Ok(root) = rustix::fs::open(&self.layer.content, flags, Mode::empty()) else {
            self.found.unread += 1;
            return;
        };
        let mut todo: Vec<(Vec<u8>, usize)> = vec![(Vec::new(), 0)];
        while let Some((path, depth)) = todo.pop() {
            match open_below(&root, &path) {
                Ok(directory) => self.entries(directory, &path, depth, &mut todo),
                Err(_) => self.found.unread += 1,
            }
        }
    }

    fn entries(&mut self, mut directory: Dir, path: &[u8], depth: usize, todo: &mut Vec<(Vec<u8>, usize)>) {
        while let Some(entry) = directory.read() {
            let Ok(entry) = entry else {
                self.found.unread += 1;
                return;
            };
            let name = entry.file_name().to_bytes();
            if matches!(name, b"." | b"..") {
                continue;
            }
            self.found.entries += 1;
            let kind = kind_of(&directory, entry.file_name(), entry.file_type());
            if kind == FileType::Directory {
                if depth == MAX_DEPTH {
                    self.found.unread += 1;
                } else {
                    todo.push((join(path, name), depth + 1));
                }
            }
            if self.pattern.matches(path, name) {
                self.hit(&directory, path, entry.file_name(), kind);
            }
        }
    }

    /// Notes a hit, unless it is a mark that a file is gone, or a copy of what a lower layer brought.
    fn hit(&mut self, directory: &Dir, path: &[u8], name: &std::ffi::CStr, kind: FileType) {
        if self.found.hits.len() > MAX_HITS {
            self.found.is_cut = true;
            return;
        }
        if kind == FileType::CharacterDevice {
            let stat = directory
                .fd()
                .and_then(|fd| rustix::fs::statat(fd, name, AtFlags::SYMLINK_NOFOLLOW));
            let whiteout = stat.is_ok_and(|stat| {
                FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
            });
            if whiteout {
                return;
            }
        }
        let path = join(path, name.to_bytes());
        if self.catalog.origin(self.layer, &path).key != self.layer.key {
            return;
        }
        self.found.hits.push(Hit {
            layer: self.layer.key.clone(),
            path,
            kind: match kind {
                FileType::Directory => EntryKind::Directory,
                FileType::Symlink => EntryKind::Link,
                FileType::RegularFile | FileType::Unknown => EntryKind::File,
                FileType::CharacterDevice | FileType::BlockDevice | FileType::Fifo | FileType::Socket => {
                    EntryKind::Special
                }
            },
        });
    }
}

/// What an entry is, also where the file system's directories do not say (xfs without `ftype`, some network ones).
fn kind_of(directory: &Dir, name: &std::ffi::CStr, told: FileType) -> FileType {
    if told != FileType::Unknown {
        return told;
    }
    let stat = directory
        .fd()
        .and_then(|fd| rustix::fs::statat(fd, name, AtFlags::SYMLINK_NOFOLLOW));
    stat.map_or(FileType::Unknown, |stat| FileType::from_raw_mode(stat.st_mode))
}

/// Opens a directory below the layer's root, never out of it.
fn open_below(root: &OwnedFd, path: &[u8]) -> rustix::io::Result<Dir> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let path = if path.is_empty() { b"." } else { path };
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let path = Path::new(std::ffi::OsStr::from_bytes(path));
    let directory = rustix::fs::openat2(root, path, flags, Mode::empty(), resolve)?;
    Dir::new(directory)
}

fn join(path: &[u8], name: &[u8]) -> Vec<u8> {
    if path.is_empty() {
        name.to_vec()
    } else {
        [path, b"/", name].concat()
    }
}
