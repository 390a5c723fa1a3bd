//! A file system of a kind of its own under a scene, for drivers that need it.
//!
//! Invariant: it is a file on a loop device that the kernel lets go of with the last use, and is unmounted with the value.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use rustix::mount::UnmountFlags;

use crate::run;

/// A hole but for what is written.
const BYTES: u64 = 2 << 30;

/// See the module.
#[derive(Debug)]
pub(super) struct Volume {
    at: PathBuf,
    #[expect(dead_code, reason = "the file under the file system, removed with the value")]
    image: tempfile::NamedTempFile,
}

impl Volume {
    /// Makes one and mounts it over a directory.
    pub(super) fn on(at: &Path, kind: &str) -> Result<Self> {
        let image = tempfile::NamedTempFile::new_in("/var/tmp")?;
        File::set_len(image.as_file(), BYTES)?;
        run(Command::new(format!("mkfs.{kind}")).arg("-q").arg(image.path()))?;
        run(Command::new("mount")
            .args(["-t", kind, "-o", "loop"])
            .args([image.path(), at]))
        .with_context(|| format!("mount a {kind}"))?;
        Ok(Self {
            at: at.to_owned(),
            image,
        })
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        let unmounted = rustix::mount::unmount(&self.at, UnmountFlags::DETACH);
        assert!(
            unmounted.is_ok() || std::thread::panicking(),
            "{}: {unmounted:?}",
            self.at.display()
        );
    }
}
