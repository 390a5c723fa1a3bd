//! A real ZFS pool in a file, with datasets as the driver zfs makes them: cloned, mounted by their names only.
//!
//! Invariant: the pool goes with the value, and what is mounted of it before.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use layerwatch_tests::run;

use crate::fixture::Mounted;

/// A hole but for what is written.
const BYTES: u64 = 128 << 20;

/// See the module.
pub(super) struct Zpool {
    name: String,
    root: PathBuf,
    mounted: Vec<Mounted>,
}

fn zfs(arguments: &[&str]) -> Result<()> {
    run(Command::new("zfs").args(arguments)).map(drop)
}

impl Zpool {
    /// Makes one in `file`, with a dataset that is mounted at `root`: there a store is to be.
    pub(super) fn new(file: &Path, root: &Path) -> Result<Self> {
        File::create(file)?.set_len(BYTES)?;
        let name = format!("layerwatch-{}", std::process::id());
        run(Command::new("zpool")
            .args(["create", "-f", "-O", "mountpoint=none", &name])
            .arg(file))?;
        let pool = Self {
            name,
            root: root.to_owned(),
            mounted: Vec::new(),
        };
        let at = format!("mountpoint={}", root.display());
        zfs(&["create", "-o", &at, &format!("{}/docker", pool.name)])?;
        // As by `zfs.fsname`: the layers are not below the root's own dataset.
        zfs(&["create", &pool.parent()])?;
        Ok(pool)
    }

    /// What the layers' datasets are below.
    pub(super) fn parent(&self) -> String {
        format!("{}/layers", self.name)
    }

    /// Makes a layer's dataset, on the one below.
    pub(super) fn create(&self, layer: &str, below: Option<&str>) -> Result<()> {
        let name = format!("{}/{layer}", self.parent());
        let legacy = ["-o", "mountpoint=legacy"];
        let Some(below) = below else {
            return zfs(&[&["create"], &legacy[..], &[&name]].concat());
        };
        let snapshot = format!("{}/{below}@1", self.parent());
        zfs(&["snapshot", &snapshot])?;
        zfs(&[&["clone"], &legacy[..], &[&snapshot, &name]].concat())?;
        zfs(&["destroy", "-d", &snapshot])
    }

    /// Makes a snapshot of a layer that is mounted at `at`, and mounts it where snapshots are shown.
    pub(super) fn snapshot(&mut self, layer: &str, at: &Path) -> Result<PathBuf> {
        zfs(&["snapshot", &format!("{}/{layer}@kept", self.parent())])?;
        let shown = at.join(".zfs/snapshot/kept");
        self.mount_at(&format!("{layer}@kept"), &shown)?;
        Ok(shown)
    }

    /// Mounts a layer's dataset where the driver does.
    pub(super) fn mount(&mut self, layer: &str) -> Result<PathBuf> {
        let at = self.root.join("zfs/graph").join(layer);
        fs::create_dir_all(&at)?;
        self.mount_at(layer, &at)?;
        Ok(at)
    }

    fn mount_at(&mut self, name: &str, at: &Path) -> Result<()> {
        run(Command::new("mount")
            .args(["-t", "zfs", &format!("{}/{name}", self.parent())])
            .arg(at))?;
        self.mounted.push(Mounted::of(at));
        Ok(())
    }

    /// Unmounts everything, what was mounted last first, and takes the mount points away.
    pub(super) fn unmount(&mut self) -> Result<()> {
        while let Some(mounted) = self.mounted.pop() {
            drop(mounted);
        }
        let home = fs::read_dir(self.root.join("zfs/graph"))?;
        home.into_iter()
            .try_for_each(|point| Ok(fs::remove_dir(point?.path())?))
    }
}

impl Drop for Zpool {
    fn drop(&mut self) {
        while let Some(mounted) = self.mounted.pop() {
            drop(mounted);
        }
        let destroyed = run(Command::new("zpool").args(["destroy", "-f", &self.name]));
        assert!(destroyed.is_ok() || std::thread::panicking(), "{destroyed:?}");
    }
}
