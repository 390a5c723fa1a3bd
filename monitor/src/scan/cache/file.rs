//! The file that results are kept in: made 0600, checked when it is opened.
//!
//! Invariant: no link is followed; what is no database of this form is told from one that cannot be had. Used by the cache.

use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use redb::{ConcurrencyMode, Database};

/// Pages that are kept in memory.
const MEMORY_BYTES: usize = 1 << 20;
/// Why there is no cache, or not this time.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The file could not be made or opened.
    #[error("open the scan cache {}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: Box<redb::Error>,
    },
    /// The file's system refused.
    #[error("open the scan cache {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Reading or writing failed.
    #[error("use the scan cache")]
    Use(#[source] Box<redb::Error>),
}

pub(super) fn open_file(path: &Path) -> Result<Database, CacheError> {
    // Made here, so that it never has another mode.
    let made = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(no_follow())
        .open(path);
    let made = made.map_err(|source| CacheError::File {
        path: path.to_owned(),
        source,
    })?;
    drop(made);
    let mut builder = Database::builder();
    builder
        .set_cache_size(MEMORY_BYTES)
        .set_concurrency_mode(ConcurrencyMode::MultiWriter)
        // Whatever was done to the file while nobody looked is found here and not later.
        .set_check_integrity_on_open(true);
    builder.create(path).map_err(|error| CacheError::Open {
        path: path.to_owned(),
        source: Box::new(error.into()),
    })
}

fn no_follow() -> i32 {
    i32::try_from((rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::CLOEXEC).bits()).unwrap_or(0)
}

/// Whether the file is no database, or one that is broken or of another time.
pub(super) fn is_damage(error: &redb::Error) -> bool {
    if let redb::Error::Io(error) = error {
        let kind = error.kind();
        return matches!(
            kind,
            std::io::ErrorKind::InvalidData | std::io::ErrorKind::UnexpectedEof
        );
    }
    matches!(
        error,
        redb::Error::Corrupted(_) | redb::Error::UpgradeRequired(_) | redb::Error::RepairAborted
    )
}
