//! Reading files whose size somebody else decides.
//!
//! Invariant: no call returns more than the limit it was given; a larger file is an error that names the file and the
//! limit, never a cut. Used by everything that reads store metadata, policies, procfs and configuration.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Why a bounded read gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum BoundedError {
    /// The file could not be opened.
    #[error("open {}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The file could not be read.
    #[error("read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The file is larger than it may be.
    #[error("{} is larger than {limit} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The most bytes that were allowed.
        limit: u64,
    },
    /// The file is not UTF-8.
    #[error("{} is not UTF-8", path.display())]
    NotText {
        /// The file.
        path: PathBuf,
        /// Where it stops being text.
        #[source]
        source: std::string::FromUtf8Error,
    },
}

impl BoundedError {
    /// Whether the file does not exist, which is often no error at all.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Open { source, .. } if source.kind() == std::io::ErrorKind::NotFound)
    }
}

/// Reads the whole of `path`, at most `limit` bytes.
///
/// Opened without blocking and never as a controlling terminal, so that a FIFO or a tty in a store cannot hold the agent.
pub fn read(path: &Path, limit: u64) -> Result<Vec<u8>, BoundedError> {
    let file = open(path).map_err(|source| BoundedError::Open {
        path: path.to_owned(),
        source,
    })?;
    read_file(&file, path, limit)
}

/// The same of a regular file: an empty FIFO or a device in its place is an error, and so is a link that leads nowhere.
pub fn read_regular(path: &Path, limit: u64) -> Result<Vec<u8>, BoundedError> {
    let regular = |file: File| {
        let is_regular = file.metadata()?.is_file();
        is_regular
            .then_some(file)
            .ok_or_else(|| std::io::Error::other("not a regular file"))
    };
    let file = open(path).and_then(regular).map_err(|source| {
        let is_link = source.kind() == std::io::ErrorKind::NotFound && path.symlink_metadata().is_ok();
        BoundedError::Open {
            path: path.to_owned(),
            source: if is_link {
                std::io::Error::other("the link leads nowhere")
            } else {
                source
            },
        }
    })?;
    read_file(&file, path, limit)
}

fn open(path: &Path) -> std::io::Result<File> {
    std::fs::OpenOptions::new()
        .read(true)
        .custom_flags(nonblocking_flags())
        .open(path)
}

/// Reads the whole of an open file; `path` only names it in errors.
pub fn read_file(file: &File, path: &Path, limit: u64) -> Result<Vec<u8>, BoundedError> {
    let mut bytes = Vec::new();
    file.take(limit.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|source| BoundedError::Read {
            path: path.to_owned(),
            source,
        })?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > limit {
        return Err(BoundedError::TooLarge {
            path: path.to_owned(),
            limit,
        });
    }
    Ok(bytes)
}

/// Reads the whole of `path` as UTF-8, at most `limit` bytes.
pub fn read_text(path: &Path, limit: u64) -> Result<String, BoundedError> {
    text(read(path, limit)?, path)
}

/// [`read_regular`] as UTF-8.
pub fn read_regular_text(path: &Path, limit: u64) -> Result<String, BoundedError> {
    text(read_regular(path, limit)?, path)
}

fn text(bytes: Vec<u8>, path: &Path) -> Result<String, BoundedError> {
    String::from_utf8(bytes).map_err(|source| BoundedError::NotText {
        path: path.to_owned(),
        source,
    })
}

fn nonblocking_flags() -> i32 {
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY | rustix::fs::OFlags::CLOEXEC;
    i32::try_from(flags.bits()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_up_to_the_limit_and_refused_above_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("f");
        std::fs::write(&path, b"12345").unwrap();
        for (limit, whole) in [(6, true), (5, true), (4, false), (0, false)] {
            let read = read(&path, limit);
            if whole {
                assert_eq!(read.unwrap(), b"12345");
            } else {
                assert!(
                    matches!(read, Err(BoundedError::TooLarge { limit: l, .. }) if l == limit),
                    "{limit}"
                );
            }
        }
    }

    #[test]
    fn what_is_missing_or_not_text_says_so() {
        let directory = tempfile::tempdir().unwrap();
        let missing = directory.path().join("missing");
        assert!(read(&missing, 1).unwrap_err().is_not_found());
        let path = directory.path().join("bytes");
        std::fs::write(&path, [0xff, 0xfe]).unwrap();
        let error = read_text(&path, 10).unwrap_err();
        assert!(matches!(error, BoundedError::NotText { .. }));
        assert!(!error.is_not_found());
    }

    #[test]
    fn a_fifo_does_not_hold_the_reader() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("fifo");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &path,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
        assert_eq!(read(&path, 10).unwrap(), b"");
    }
}
