//! What of the agent stays in the kernel when it ends, and the farewell that removes it.
//!
//! Invariant: one agent at a time has the pins of a state directory; another that finds them taken runs without, loudly.
//! Called by `start` and by `layerwatch uninstall`.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, Result, bail};
use rustix::fs::FlockOperation;
use rustix::io::Errno;

use crate::config::Config;
use crate::kernel::{self, PinBase};
use crate::model::DevIno;

/// The right to a state directory's pins, as long as it lives.
#[derive(Debug)]
pub struct Kept {
    /// Where they lie.
    pub base: PinBase,
    _lock: File,
}

/// Opens the pins of the configured state directory; `None` when the configuration wants none.
///
/// # Errors
/// When another agent has them, or there is no BPF file system.
pub(super) fn open(config: &Config) -> Result<Option<Kept>> {
    let (Some(directory), Some(digest)) = (&config.pins, kernel::loaded_digest()) else {
        return Ok(None);
    };
    let state = &config.state_directory;
    let lock = lock(state)?;
    let metadata = std::fs::metadata(state).with_context(|| format!("look at {}", state.display()))?;
    // A directory of the state's own, so that two agents of one host stay apart.
    let key = DevIno::of(&metadata);
    let own = directory.join(format!("{:x}-{:x}", key.dev.0, key.ino));
    let base = PinBase::open(&own, &digest).context("keep ring, maps and programs in the kernel")?;
    Ok(Some(Kept { base, _lock: lock }))
}

/// Removes what an agent left in the kernel and, unless it is to be kept, its state.
///
/// # Errors
/// When an agent runs, or something cannot be removed.
pub fn uninstall(config: &Config, keep_state: bool) -> Result<()> {
    let state = &config.state_directory;
    if !state.exists() {
        return Ok(());
    }
    let kept = open(config)?;
    if let Some(kept) = kept {
        kept.base.remove()?;
    }
    if !keep_state {
        std::fs::remove_dir_all(state).with_context(|| format!("remove {}", state.display()))?;
    }
    Ok(())
}

fn lock(state: &Path) -> Result<File> {
    let path = state.join("lock");
    let file = std::fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&path)
        .with_context(|| format!("open {}", path.display()))?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(Errno::WOULDBLOCK) => bail!("another agent runs with the state directory {}", state.display()),
        Err(error) => Err(error).with_context(|| format!("lock {}", path.display())),
    }
}
