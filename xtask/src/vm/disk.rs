//! Disk images of a test machine, made and read without mounting anything, so without being root.
//!
//! /data is an empty ext4 file system; /share is one that holds a copy of a folder of the host.

use std::fs::File;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::process;

const DATA_BYTES: u64 = 256 << 20;
/// Room for what the command writes to /share.
const SHARE_SLACK_BYTES: u64 = 128 << 20;

/// Makes the empty disk at `path`.
pub(super) fn empty(path: &Path) -> Result<()> {
    format(path, DATA_BYTES, None)
}

/// Makes a disk that holds a copy of `folder`.
pub(super) fn holding(path: &Path, folder: &Path) -> Result<()> {
    anyhow::ensure!(folder.is_dir(), "{} is not a folder", folder.display());
    let used = process::output(Command::new("du").args(["-s", "--block-size=1"]).arg(folder))?;
    let used: u64 = used
        .split_whitespace()
        .next()
        .unwrap_or_default()
        .parse()
        .context("du printed no size")?;
    format(path, used + used / 4 + SHARE_SLACK_BYTES, Some(folder))
}

/// Copies what is on a disk over `folder`.
pub(super) fn copy_back(path: &Path, folder: &Path) -> Result<()> {
    let request = "ls -p /";
    let printed = process::output(Command::new(debugfs()).args(["-R", request]).arg(path))?;
    for name in names_in(&printed) {
        let request = format!("rdump \"/{name}\" \"{}\"", folder.display());
        process::run_quietly(Command::new(debugfs()).args(["-R", &request]).arg(path))?;
    }
    Ok(())
}

fn format(path: &Path, bytes: u64, folder: Option<&Path>) -> Result<()> {
    let file = File::create(path).with_context(|| format!("cannot create {}", path.display()))?;
    file.set_len(bytes)
        .with_context(|| format!("cannot size {}", path.display()))?;
    let mut command = Command::new(process::find("mke2fs").context("there is no mke2fs")?);
    command.args([
        "-q",
        "-F",
        "-t",
        "ext4",
        "-m",
        "0",
        "-E",
        "lazy_itable_init=1,root_owner=0:0",
    ]);
    if let Some(folder) = folder {
        command.arg("-d").arg(folder);
    }
    process::run_quietly(command.arg(path))
}

fn debugfs() -> std::path::PathBuf {
    process::find("debugfs").unwrap_or_else(|| "debugfs".into())
}

/// The names in the answer to `ls -p`: `/inode/mode/uid/gid/name/size/`, one a line.
fn names_in(listing: &str) -> Vec<&str> {
    let names = listing.lines().filter_map(|line| line.split('/').nth(5));
    names
        .filter(|name| !matches!(*name, "" | "." | ".." | "lost+found"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files;

    #[test]
    fn a_folder_goes_to_a_disk_and_comes_back() {
        let host = tempfile::tempdir().unwrap();
        std::fs::create_dir(host.path().join("a folder")).unwrap();
        std::fs::write(host.path().join("a folder/file"), "inside").unwrap();
        std::fs::write(host.path().join("top"), "outside").unwrap();
        let disk = tempfile::NamedTempFile::new().unwrap();
        holding(disk.path(), host.path()).unwrap();
        let back = tempfile::tempdir().unwrap();
        std::fs::write(back.path().join("top"), "old").unwrap();
        copy_back(disk.path(), back.path()).unwrap();
        assert_eq!(
            files::read_text(&back.path().join("a folder/file")).unwrap(),
            "inside"
        );
        assert_eq!(files::read_text(&back.path().join("top")).unwrap(), "outside");
        assert!(!back.path().join("lost+found").exists());
    }

    #[test]
    fn what_is_no_folder_is_refused() {
        let disk = tempfile::NamedTempFile::new().unwrap();
        assert!(
            holding(disk.path(), disk.path())
                .unwrap_err()
                .to_string()
                .contains("is not a folder")
        );
    }
}
