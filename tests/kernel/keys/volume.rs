//! File systems to try things on, made when they are needed.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use layerwatch::model::KernelDev;
use layerwatch_tests::run;

use crate::fixture::{Mounted, directory, key};

/// The smallest that all of them take (xfs); a hole but for what is written.
const IMAGE_BYTES: u64 = 320 << 20;

/// How long a number that is free again may stay unused.
const NUMBER_DEADLINE: Duration = Duration::from_mins(1);

/// A file system, mounted.
pub(super) struct Volume {
    kind: &'static str,
    at: PathBuf,
    mounted: Option<Mounted>,
    // Removed when nothing is mounted in it any more.
    directory: tempfile::TempDir,
}

impl Volume {
    pub(super) fn new(kind: &'static str) -> Result<Self> {
        let directory = directory()?;
        let at = directory.path().join("at");
        fs::create_dir(&at)?;
        let mut volume = Self {
            kind,
            at,
            mounted: None,
            directory,
        };
        volume.format("image").with_context(|| format!("a new {kind}"))?;
        Ok(volume)
    }

    /// Makes it, and mounts it.
    fn format(&mut self, name: &str) -> Result<()> {
        if self.kind == "tmpfs" {
            self.mounted = Some(Mounted::tmpfs(&self.at)?);
            return Ok(());
        }
        let image = self.directory.path().join(name);
        File::create(&image)?.set_len(IMAGE_BYTES)?;
        let mut make = match self.kind {
            "ext4" => Command::new("mke2fs"),
            other => Command::new(format!("mkfs.{other}")),
        };
        match self.kind {
            // One group, so that numbers are given out in order.
            "ext4" => make.args(["-q", "-F", "-t", "ext4", "-b", "4096", "-g", "32768"]),
            _ => make.args(["-q", "-f"]),
        };
        run(make.arg(&image))?;
        self.mounted = Some(Mounted::image(self.kind, &image, &self.at)?);
        fs::set_permissions(&self.at, fs::Permissions::from_mode(0o755))?;
        Ok(())
    }

    /// A directory; on btrfs it is a subvolume, which begins to count its inodes anew.
    pub(super) fn part(&self, name: &str) -> Result<PathBuf> {
        let part = self.at.join(name);
        if self.kind == "btrfs" {
            run(Command::new("btrfs")
                .args(["-q", "subvolume", "create"])
                .arg(&part))?;
        } else {
            fs::create_dir(&part)?;
        }
        Ok(part)
    }

    /// Where the same numbers are given out again: on btrfs itself, else another of the kind.
    pub(super) fn sibling(&self) -> Result<Self> {
        let mut sibling = Self::new(self.kind)?;
        if self.kind == "btrfs" {
            sibling.mounted = None;
            sibling.mounted = Some(Mounted::bind(&self.at, &sibling.at)?);
        }
        Ok(sibling)
    }

    /// Unmounts it and mounts another of the kind, until it has the same number as the first.
    pub(super) fn replace(&mut self, dev: KernelDev) -> Result<()> {
        const TRIES: usize = 50;
        for number in 0..TRIES {
            self.mounted = None;
            self.format(&format!("image-{number}"))?;
            if key(&self.at)?.dev == dev {
                return Ok(());
            }
        }
        bail!("no other file system got the number {dev}")
    }
}

/// A new file of this inode number in `directory` or below, made by making many.
pub(super) fn file_with_number(directory: &Path, number: u64) -> Result<PathBuf> {
    // xfs frees the inode of a removed file some time later (inodegc).
    let until = Instant::now() + NUMBER_DEADLINE;
    loop {
        let mut made = Vec::new();
        if let Some(file) = try_for_number(directory, number, &mut made)? {
            return Ok(file);
        }
        ensure!(Instant::now() < until, "no file got the number {number}");
        for path in made.iter().rev() {
            if path.is_dir() {
                fs::remove_dir(path)?;
            } else {
                fs::remove_file(path)?;
            }
        }
    }
}

fn try_for_number(directory: &Path, number: u64, made: &mut Vec<PathBuf>) -> Result<Option<PathBuf>> {
    const DIRECTORIES: usize = 16;
    const FILES: usize = 200;
    let mut at = directory.to_owned();
    for outer in 0..DIRECTORIES {
        for inner in 0..FILES {
            let file = at.join(format!("file-{inner}"));
            fs::write(&file, "nothing\n").with_context(|| file.display().to_string())?;
            if key(&file)?.ino == number {
                return Ok(Some(file));
            }
            made.push(file);
        }
        // A file system may put each directory, and what is in it, into a part of its own.
        at = directory.join(outer.to_string());
        fs::create_dir(&at)?;
        made.push(at.clone());
    }
    Ok(None)
}
