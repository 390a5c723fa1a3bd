//! Where ring, maps and links lie while no agent runs: a directory of a BPF file system.
//!
//! What is pinned there stays attached when the agent ends, so that its successor finds in the ring what happened in
//! between. Layout: `BASE/DIGEST/TIER/{map-NAME,link-NAME,program-NAME}`, with a directory `complete` made last. The digest
//! is that of the kernel programs and the offsets they got, so an agent takes over only what it would have loaded itself;
//! anything else is removed.
//!
//! Invariant: a set without `complete` is never used. Used by `tracer` alone; nothing outside the base is touched.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::tiers::Tier;

/// `BPF_FS_MAGIC`, include/uapi/linux/magic.h.
const BPF_FS_MAGIC: u32 = 0xcafe_4a11;
/// Directories below the base: a set for each of a few versions, and the tier in it.
const MAX_ENTRIES: usize = 4096;
/// Hex digits of the digest: a name in a BPF file system has at most 63 bytes.
const DIGEST_LENGTH: usize = 32;
const COMPLETE: &str = "complete";

/// Why nothing can be kept in the kernel.
#[derive(Debug, thiserror::Error)]
pub enum PinError {
    /// No BPF file system there.
    #[error("{} is not on a BPF file system (`mount -t bpf bpf /sys/fs/bpf`)", base.display())]
    NotBpf {
        /// The directory that was asked for.
        base: PathBuf,
    },
    /// A directory or an entry could not be dealt with.
    #[error("{operation} {}", path.display())]
    Entry {
        /// What was done.
        operation: &'static str,
        /// To what.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

fn failed(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> PinError {
    move |source| PinError::Entry {
        operation,
        path: path.to_owned(),
        source,
    }
}

/// One agent's directory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PinBase {
    base: PathBuf,
    digest: String,
}

/// The set of one tier's pins.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct PinSet {
    directory: PathBuf,
    pub(super) tier: Tier,
}

impl PinBase {
    /// Makes the directory `base`, for root alone, for programs with this digest.
    ///
    /// # Errors
    /// When there is no BPF file system, or it does not take the directory.
    pub fn open(base: &Path, digest: &str) -> Result<Self, PinError> {
        let existing = base.ancestors().find(|ancestor| ancestor.is_dir());
        let is_bpf = existing.is_some_and(|existing| {
            rustix::fs::statfs(existing).is_ok_and(|answer| {
                u32::try_from(answer.f_type & i64::from(u32::MAX)).is_ok_and(|magic| magic == BPF_FS_MAGIC)
            })
        });
        if !is_bpf {
            return Err(PinError::NotBpf {
                base: base.to_owned(),
            });
        }
        directory(base)?;
        Ok(Self {
            base: base.to_owned(),
            digest: digest.chars().take(DIGEST_LENGTH).collect(),
        })
    }

    /// The complete set that an agent with the same programs left.
    pub(super) fn left_behind(&self) -> Option<PinSet> {
        let sets = Tier::ALL.into_iter().map(|tier| self.set(tier));
        sets.into_iter().find(|set| set.directory.join(COMPLETE).is_dir())
    }

    /// An empty set for a tier: what lay there is removed.
    pub(super) fn begin(&self, tier: Tier) -> Result<PinSet, PinError> {
        self.clear()?;
        let set = self.set(tier);
        directory(&set.directory)?;
        Ok(set)
    }

    /// Removes every pin, and so detaches what nobody else holds.
    ///
    /// # Errors
    /// When an entry cannot be removed.
    pub fn clear(&self) -> Result<(), PinError> {
        for version in entries(&self.base)? {
            for tier in entries(&version)? {
                for pin in entries(&tier)? {
                    let removed = if pin.is_dir() {
                        fs::remove_dir(&pin)
                    } else {
                        fs::remove_file(&pin)
                    };
                    removed.map_err(failed("remove", &pin))?;
                }
                fs::remove_dir(&tier).map_err(failed("remove", &tier))?;
            }
            fs::remove_dir(&version).map_err(failed("remove", &version))?;
        }
        Ok(())
    }

    /// [`PinBase::clear`], and the directory itself with the one above, where no other agent has one there.
    ///
    /// # Errors
    /// As there.
    pub fn remove(self) -> Result<(), PinError> {
        self.clear()?;
        fs::remove_dir(&self.base).map_err(failed("remove", &self.base))?;
        match self.base.parent().map(fs::remove_dir) {
            // The root of the file system is busy.
            Some(Err(error))
                if !matches!(
                    error.kind(),
                    io::ErrorKind::DirectoryNotEmpty
                        | io::ErrorKind::ResourceBusy
                        | io::ErrorKind::PermissionDenied
                ) =>
            {
                Err(failed("remove", &self.base)(error))
            }
            _ => Ok(()),
        }
    }

    fn set(&self, tier: Tier) -> PinSet {
        let letter = tier.as_str().to_lowercase();
        PinSet {
            directory: self.base.join(&self.digest).join(letter),
            tier,
        }
    }
}

impl PinSet {
    /// Where a map is pinned.
    pub(super) fn map(&self, name: &str) -> PathBuf {
        self.directory.join(format!("map-{name}"))
    }

    /// Where a program's link is pinned.
    pub(super) fn link(&self, program: &str) -> PathBuf {
        self.directory.join(format!("link-{program}"))
    }

    /// Where a program itself is pinned, for its figures.
    pub(super) fn program(&self, program: &str) -> PathBuf {
        self.directory.join(format!("program-{program}"))
    }

    /// The programs whose links are pinned.
    pub(super) fn links(&self) -> Result<Vec<String>, PinError> {
        let names = entries(&self.directory)?.into_iter().filter_map(|path| {
            let name = path.file_name()?.to_str()?;
            name.strip_prefix("link-").map(str::to_owned)
        });
        Ok(names.collect())
    }

    /// Says that everything is pinned.
    pub(super) fn complete(&self) -> Result<(), PinError> {
        directory(&self.directory.join(COMPLETE))
    }
}

fn directory(path: &Path) -> Result<(), PinError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(failed("make", path))
}

fn entries(directory: &Path) -> Result<Vec<PathBuf>, PinError> {
    match fs::read_dir(directory) {
        Ok(entries) => entries
            .take(MAX_ENTRIES)
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<Result<_, _>>()
            .map_err(failed("list", directory)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(failed("list", directory)(error)),
    }
}
