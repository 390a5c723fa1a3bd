//! Which layers are mounted, in a store whose layers are file systems of their own.
//!
//! Invariant: looks at mount points and mounts nothing; a layer that is not mounted here has no file that could be scanned or
//! watched, and how many there are is said once for the store. Used by the readers of the drivers devicemapper and zfs.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::problem::{ProblemKind, Problems};

/// The mount points of one store.
#[derive(Debug)]
pub(super) struct MountPoints {
    home: PathBuf,
    unmounted: u64,
}

impl MountPoints {
    /// Those in a directory.
    pub(super) fn in_directory(home: PathBuf) -> Self {
        Self { home, unmounted: 0 }
    }

    /// Whether something is mounted where the layer of this name would be; counted where nothing is.
    pub(super) fn has(&mut self, name: &str) -> bool {
        let is_mounted = is_mounted(&self.home, name);
        self.unmounted += u64::from(!is_mounted);
        is_mounted
    }

    /// Says how many layers have no files here: they are `what`, and are read by `whom` all the same.
    pub(super) fn finish(self, what: &str, whom: &str, problems: &mut Problems) {
        if self.unmounted == 0 {
            return;
        }
        let cause = format!(
            "{} layers are {what} that are not mounted here: they are neither scanned nor watched, and whoever can {whom} \
             reads them",
            self.unmounted
        );
        problems.add(ProblemKind::NotMounted, &self.home, "look at the layers", &cause);
    }
}

/// A file system of its own begins at its mount point.
pub(super) fn is_mounted(home: &Path, name: &str) -> bool {
    let device = |path: &Path| Some(path.symlink_metadata().ok()?.dev());
    let point = device(&home.join(name));
    point.is_some() && point != device(home)
}
