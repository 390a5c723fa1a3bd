//! Whether a file of a layer can still be seen under the layers above it.
//!
//! The marks are those of overlayfs (Documentation/filesystems/overlayfs.rst: whiteouts, opaque directories, metacopy),
//! of fuse-overlayfs and of OCI layers (`.wh.` files). Invariant: a mark that cannot be read (`trusted.*` attributes
//! need `CAP_SYS_ADMIN`) counts as absent, so that the answer errs towards visible. Called when knowledge is built.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Stat};

use crate::model::{LayerId, Visibility};

const PREFIXES: [&str; 3] = ["trusted.overlay.", "user.overlay.", "user.fuseoverlayfs."];

/// What one layer does to a path below it.
enum Effect {
    Nothing,
    Deletes,
    Replaces,
    Repermissions,
}

/// Whether the file `path` (below a layer's root) is visible through `above`: the layers on top of it, lowest first,
/// each with its content directory. `is_copy` says of a layer that replaces the file whether it puts the same secret there.
pub fn visibility(
    path: &[u8],
    above: &[(LayerId, &Path)],
    is_copy: &dyn Fn(&LayerId, &Path) -> bool,
) -> Visibility {
    let mut state = Visibility::Visible;
    for (layer, content) in above {
        let by = layer.clone();
        match effect(path, content) {
            Effect::Nothing => {}
            Effect::Deletes => return Visibility::Deleted { by },
            Effect::Replaces if !is_copy(layer, content) => return Visibility::Replaced { by },
            // What lies above may hide the copy again.
            Effect::Replaces | Effect::Repermissions => {
                if state == Visibility::Visible {
                    state = Visibility::Repermissioned { by };
                }
            }
        }
    }
    state
}

/// Whether two files differ in mode, owner or group; false where one cannot be looked at.
pub fn permissions_differ(one: &Path, other: &Path) -> bool {
    let of =
        |path| rustix::fs::lstat(path).map(|stat: Stat| (stat.st_mode & 0o7777, stat.st_uid, stat.st_gid));
    matches!((of(one), of(other)), (Ok(one), Ok(other)) if one != other)
}

fn effect(path: &[u8], content: &Path) -> Effect {
    let mut components = path
        .split(|b| *b == b'/')
        .filter(|c| !matches!(*c, b"" | b"." | b".."))
        .peekable();
    let mut directory = content.to_owned();
    let mut opaque = false;
    while let Some(component) = components.next() {
        let is_last = components.peek().is_none();
        if is_marked_deleted(&directory, component) {
            return Effect::Deletes;
        }
        let here = directory.join(OsStr::from_bytes(component));
        let Ok(stat) = rustix::fs::lstat(&here) else {
            return if opaque { Effect::Deletes } else { Effect::Nothing };
        };
        let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        if is_whiteout(&here, &stat) {
            return Effect::Deletes;
        }
        if is_last {
            // Only the metadata was copied up, as chmod and chown do: the content is still the lower file's.
            let metadata_only = !is_directory && attribute(&here, "metacopy").is_some();
            return if metadata_only {
                Effect::Repermissions
            } else {
                Effect::Replaces
            };
        }
        if !is_directory {
            return Effect::Deletes;
        }
        opaque |= is_opaque(&here);
        directory = here;
    }
    Effect::Nothing
}

/// An OCI whiteout beside it.
fn is_marked_deleted(directory: &Path, name: &[u8]) -> bool {
    let mut mark = OsString::from(".wh.");
    mark.push(OsStr::from_bytes(name));
    exists(directory.join(mark))
}

/// A character device 0:0, or an empty file with the attribute that kernels from 6.7 on know.
fn is_whiteout(path: &Path, stat: &Stat) -> bool {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::CharacterDevice => stat.st_rdev == 0,
        FileType::RegularFile => stat.st_size == 0 && attribute(path, "whiteout").is_some(),
        FileType::Directory
        | FileType::Symlink
        | FileType::Fifo
        | FileType::Socket
        | FileType::BlockDevice
        | FileType::Unknown => false,
    }
}

/// Nothing of the same directory in lower layers is seen; a directory that was renamed to here hides them too.
fn is_opaque(directory: &Path) -> bool {
    attribute(directory, "opaque").as_deref() == Some(b"y")
        || attribute(directory, "redirect").is_some()
        || exists(directory.join(".wh..wh..opq"))
}

fn exists(path: PathBuf) -> bool {
    rustix::fs::lstat(path).is_ok()
}

/// The beginning of an overlay attribute's value.
fn attribute(path: &Path, name: &str) -> Option<Vec<u8>> {
    PREFIXES.iter().find_map(|prefix| {
        let mut value = [0; 256];
        match rustix::fs::lgetxattr(path, format!("{prefix}{name}"), &mut value) {
            Ok(length) => value.get(..length).map(<[u8]>::to_vec),
            // It is there, and longer than any that this module compares.
            Err(rustix::io::Errno::RANGE) => Some(value.to_vec()),
            Err(_) => None,
        }
    })
}

#[cfg(test)]
mod tests;
