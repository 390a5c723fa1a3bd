//! Configuration files of the host, read under the root that the host's file system is mounted at.
//!
//! Invariant: symbolic links, absolute ones too, stay inside that root (`openat2(2)`, `RESOLVE_IN_ROOT`), and no more
//! than a bound is read. Used by `evaluate` and `registries`.

use std::fs::File;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags};

use crate::bounded::{self, BoundedError};

/// Reads `path`, absolute as the host sees it, under `root`; at most `limit` bytes.
pub(super) fn read(root: &Path, path: &Path, limit: u64) -> Result<Vec<u8>, BoundedError> {
    let open_error = |source| BoundedError::Open {
        path: path.to_owned(),
        source,
    };
    let file = open(root, path, OFlags::NONBLOCK | OFlags::NOCTTY).map_err(open_error)?;
    bounded::read_file(&file, path, limit)
}

/// The names in a directory of the host that are not directories, sorted; at most `limit`.
pub(super) fn file_names(root: &Path, path: &Path, limit: usize) -> std::io::Result<Vec<PathBuf>> {
    let directory = open(root, path, OFlags::DIRECTORY)?;
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(&directory)?.take(limit) {
        let entry = entry?;
        if entry.file_type() != rustix::fs::FileType::Directory {
            use std::os::unix::ffi::OsStrExt;
            names.push(PathBuf::from(std::ffi::OsStr::from_bytes(
                entry.file_name().to_bytes(),
            )));
        }
    }
    names.sort();
    Ok(names)
}

/// Whether the host has the file, whatever it is.
pub(super) fn exists(root: &Path, path: &Path) -> bool {
    open(root, path, OFlags::PATH).is_ok()
}

fn open(root: &Path, path: &Path, flags: OFlags) -> std::io::Result<File> {
    let directory = rustix::fs::open(
        root,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let opened = rustix::fs::openat2(
        &directory,
        path,
        flags | OFlags::RDONLY | OFlags::CLOEXEC,
        Mode::empty(),
        ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS,
    )?;
    Ok(File::from(opened))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_stay_inside_the_root() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("etc")).unwrap();
        std::fs::write(root.path().join("real"), "inside").unwrap();
        for (link, target) in [
            ("absolute", "/real"),
            ("up", "../../../real"),
            ("plain", "../real"),
        ] {
            let path = Path::new("/etc").join(link);
            std::os::unix::fs::symlink(target, root.path().join("etc").join(link)).unwrap();
            assert_eq!(read(root.path(), &path, 100).unwrap(), b"inside", "{link}");
            assert!(exists(root.path(), &path));
        }
        assert!(!exists(root.path(), Path::new("/etc/missing")));
        assert!(
            read(root.path(), Path::new("/etc/missing"), 1)
                .unwrap_err()
                .is_not_found()
        );
        assert!(matches!(
            read(root.path(), Path::new("/real"), 3),
            Err(BoundedError::TooLarge { limit: 3, .. })
        ));
    }

    #[test]
    fn names_are_sorted_and_without_directories() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("d/sub.conf")).unwrap();
        for name in ["b.conf", "a.conf", "c"] {
            std::fs::write(root.path().join("d").join(name), "").unwrap();
        }
        let names = file_names(root.path(), Path::new("/d"), 100).unwrap();
        assert_eq!(names, ["a.conf", "b.conf", "c"].map(PathBuf::from));
        assert!(file_names(root.path(), Path::new("/missing"), 100).is_err());
    }
}
