//! A store of the driver zfs without a pool: one that a real engine filled with the driver vfs, laid out as zfs's is.
//!
//! Both engines keep the same records whatever the driver, and both drivers keep a whole tree for each layer; a tmpfs with
//! the tree stands for the mounted dataset. Invariant: the engine does not run any more, and what is mounted goes with the
//! value. Used by the integration tests; a real pool is in the kernel tests.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use rustix::mount::UnmountFlags;
use serde_json::Value;

use crate::{run, text_of};

/// See the module.
#[derive(Debug)]
pub struct Datasets {
    root: PathBuf,
    trees: PathBuf,
    mounted: Vec<PathBuf>,
}

impl Datasets {
    /// Makes one of the store at `root`; the trees are kept beside it.
    pub fn of(root: &Path) -> Result<Self> {
        let trees = root.with_file_name("trees");
        fs::rename(root.join("vfs/dir"), &trees).context("put the trees aside")?;
        fs::remove_dir_all(root.join("vfs"))?;
        for name in ["image/vfs", "vfs-layers", "vfs-images", "vfs-containers"] {
            if root.join(name).exists() {
                fs::rename(root.join(name), root.join(name.replace("vfs", "zfs")))?;
            }
        }
        fs::create_dir_all(root.join("zfs/graph"))?;
        fs::set_permissions(root.join("zfs"), fs::Permissions::from_mode(0o700))?;
        Ok(Self {
            root: root.to_owned(),
            trees,
            mounted: Vec::new(),
        })
    }

    /// What the driver calls the only container's layer.
    pub fn container(&self) -> Result<String> {
        let mounts = self.root.join("image/zfs/layerdb/mounts");
        if let Ok(mut containers) = fs::read_dir(mounts) {
            let container = containers.next().context("a container")??;
            return Ok(text_of(&container.path().join("mount-id")));
        }
        let records = text_of(&self.root.join("zfs-containers/containers.json"));
        let records: Value = serde_json::from_str(&records)?;
        let layer = records.pointer("/0/layer").and_then(Value::as_str);
        Ok(layer.context("a layer")?.to_owned())
    }

    /// Mounts a layer as the drivers do, with its tree in it from the first moment on; where.
    pub fn mount(&mut self, layer: &str) -> Result<PathBuf> {
        let aside = self.root.with_file_name("dataset");
        let at = self.root.join("zfs/graph").join(layer);
        fs::create_dir_all(&aside)?;
        run(Command::new("mount")
            .args(["-t", "tmpfs", "-o", "mode=755", layer])
            .arg(&aside))?;
        self.mounted.push(aside.clone());
        run(Command::new("cp")
            .arg("-a")
            .arg(self.trees.join(layer).join("."))
            .arg(&aside))?;
        fs::create_dir(&at)?;
        run(Command::new("mount").arg("--bind").args([&aside, &at]))?;
        self.mounted.push(at.clone());
        Ok(at)
    }

    /// Unmounts everything and takes the mount points away, as the drivers do.
    pub fn unmount(&mut self) -> Result<()> {
        while let Some(at) = self.mounted.pop() {
            rustix::mount::unmount(&at, UnmountFlags::DETACH).with_context(|| at.display().to_string())?;
            fs::remove_dir(at)?;
        }
        Ok(())
    }

    /// Opens the way to what is mounted.
    pub fn misconfigure(&self) -> Result<()> {
        for directory in [self.root.clone(), self.root.join("zfs")] {
            fs::set_permissions(directory, fs::Permissions::from_mode(0o711))?;
        }
        Ok(())
    }
}

impl Drop for Datasets {
    fn drop(&mut self) {
        let unmounted = self.unmount();
        assert!(unmounted.is_ok() || std::thread::panicking(), "{unmounted:?}");
    }
}
