//! A real thin pool as Docker's driver devicemapper makes it: two files behind loop devices, a device for each layer.
//!
//! Invariant: what it makes in the kernel goes with the value, the newest first.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use layerwatch_tests::{output, run};

use crate::fixture::Mounted;

/// Holes but for what is written.
const DATA_BYTES: u64 = 96 << 20;
const METADATA_BYTES: u64 = 8 << 20;
/// Of a thin device, in sectors of 512 bytes.
const SECTORS: u64 = 24 << 11;

/// See the module.
pub(super) struct Pool {
    name: String,
    made: Vec<Made>,
}

enum Made {
    Loop(PathBuf),
    Device(String),
    Mounted(#[expect(dead_code, reason = "unmounted with the value")] Mounted),
}

fn dmsetup(arguments: &[&str]) -> Result<()> {
    // Without udev nobody else makes the nodes.
    run(Command::new("dmsetup")
        .env("DM_DISABLE_UDEV", "1")
        .args(arguments))
    .map(drop)
}

impl Pool {
    /// Makes the pool of the store at `root`, whose devices' names begin with `prefix`.
    pub(super) fn new(root: &Path, prefix: &str) -> Result<Self> {
        let mut pool = Self {
            name: format!("{prefix}-pool"),
            made: Vec::new(),
        };
        let files = root.join("devicemapper/devicemapper");
        let data = pool.lend(&files.join("data"), DATA_BYTES)?;
        let metadata = pool.lend(&files.join("metadata"), METADATA_BYTES)?;
        let table = format!(
            "0 {} thin-pool {} {} 128 0 1 skip_block_zeroing",
            DATA_BYTES >> 9,
            metadata.display(),
            data.display()
        );
        let name = pool.name.clone();
        pool.create(&name, &table)?;
        Ok(pool)
    }

    fn lend(&mut self, file: &Path, bytes: u64) -> Result<PathBuf> {
        File::create(file)?.set_len(bytes)?;
        let free = output(Command::new("losetup").arg("-f"))?;
        let device = PathBuf::from(String::from_utf8(free.stdout)?.trim());
        run(Command::new("losetup").args([&device, file])).with_context(|| device.display().to_string())?;
        self.made.push(Made::Loop(device.clone()));
        Ok(device)
    }

    fn create(&mut self, name: &str, table: &str) -> Result<()> {
        dmsetup(&["create", name, "--table", table])?;
        self.made.push(Made::Device(name.to_owned()));
        Ok(())
    }

    /// The pool's node.
    pub(super) fn node(&self) -> PathBuf {
        Path::new("/dev/mapper").join(&self.name)
    }

    /// Tells the pool to make a device, as `create_thin 2` or `create_snap 3 2`.
    pub(super) fn tell(&self, message: &str) -> Result<()> {
        dmsetup(&["message", &self.name, "0", message])
    }

    /// Activates a device and mounts it.
    pub(super) fn mount(&mut self, name: &str, number: u32, at: &Path, is_new: bool) -> Result<()> {
        let table = format!("0 {SECTORS} thin {} {number}", self.node().display());
        self.create(name, &table)?;
        let node = Path::new("/dev/mapper").join(name);
        if is_new {
            run(Command::new("mke2fs").args(["-q", "-F", "-t", "ext4"]).arg(&node))?;
        }
        fs::create_dir_all(at)?;
        run(Command::new("mount").args(["-t", "ext4"]).args([&node, at]))?;
        self.made.push(Made::Mounted(Mounted::of(at)));
        Ok(())
    }

    /// Unmounts and deactivates what was mounted last.
    pub(super) fn unmount(&mut self) -> Result<()> {
        for _ in 0..2 {
            self.made.pop().context("nothing is mounted")?.undo()?;
        }
        Ok(())
    }
}

impl Made {
    fn undo(self) -> Result<()> {
        match self {
            Self::Loop(device) => run(Command::new("losetup").arg("-d").arg(device)).map(drop),
            Self::Device(name) => dmsetup(&["remove", "--retry", &name]),
            Self::Mounted(_) => Ok(()),
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        while let Some(made) = self.made.pop() {
            let undone = made.undo();
            assert!(undone.is_ok() || std::thread::panicking(), "{undone:?}");
        }
    }
}
