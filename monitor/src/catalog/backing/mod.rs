//! What lies under a store: the block devices and image files that hold its file system.
//!
//! Whoever can open one of them reads every layer without opening a file of the store. Invariant: read from sysfs alone,
//! bounded in number and depth; a store on a file system without a device (tmpfs, NFS, an overlay) has none. The kernel
//! numbers a device as sysfs names it, `major:minor`. Used by the survey, which has the kernel watch them.

mod pools;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::bounded;
use crate::model::{DevIno, KernelDev, RawDevice, RawKey, Store};

use super::host::Host;
use super::mounts::MountTable;

/// Devices looked at for one store: a stack of RAID, LVM and encryption over some disks stays far below.
const MAX_DEVICES: usize = 64;
/// The longest file read from sysfs: a path and a newline.
const MAX_TEXT: u64 = 4200;

/// The devices and image files under each store, without repeats.
pub(crate) fn raw_devices(host: &Host, stores: &[Store], mounts: &MountTable) -> Vec<RawDevice> {
    let sysfs = host.path("/sys");
    let mut known = BTreeSet::new();
    let mut found = Vec::new();
    for store in stores {
        for (key, path) in under(host, &sysfs, store, mounts) {
            if known.insert((key, store.id.clone())) {
                found.push(RawDevice {
                    key,
                    path,
                    store: store.id.clone(),
                });
            }
        }
    }
    found
}

fn under(host: &Host, sysfs: &Path, store: &Store, mounts: &MountTable) -> Vec<(RawKey, PathBuf)> {
    let mut todo: Vec<KernelDev> = first(host, store, mounts).into_iter().collect();
    todo.extend(pools::active(host, sysfs, store));
    let mut seen = BTreeSet::new();
    let mut found = pools::files(host, store);
    while let Some(device) = todo.pop() {
        if seen.len() >= MAX_DEVICES || !seen.insert(device) {
            continue;
        }
        let Some(block) = Block::open(sysfs, device) else {
            continue;
        };
        let node = block.mapped_node(host).unwrap_or_else(|| block.node());
        found.push((RawKey::Device(device), node));
        todo.extend(block.slaves());
        todo.extend(block.whole_disk());
        if let Some(file) = block.backing_file() {
            let seen_path = host.path(&file);
            if let Ok(metadata) = std::fs::metadata(&seen_path) {
                found.push((RawKey::File(DevIno::of(&metadata)), file));
            }
        }
    }
    found
}

/// The device of the store's file system: its own number, or for a file system that hands out anonymous numbers (btrfs)
/// the one that the mount table names.
fn first(host: &Host, store: &Store, mounts: &MountTable) -> Option<KernelDev> {
    let own = store.device();
    if own.major() != 0 {
        return Some(own);
    }
    let source = mounts.source_of(&store.root)?;
    if !source.is_absolute() {
        return None;
    }
    let metadata = std::fs::metadata(host.path(source)).ok()?;
    metadata
        .file_type()
        .is_block_device()
        .then(|| KernelDev::from_stat(metadata.rdev()))
}

/// A block device's directory in sysfs.
struct Block(PathBuf);

impl Block {
    fn open(sysfs: &Path, device: KernelDev) -> Option<Self> {
        let name = format!("{}:{}", device.major(), device.minor());
        std::fs::canonicalize(sysfs.join("dev/block").join(name))
            .ok()
            .map(Self)
    }

    /// The device's name in `/dev`: `!` stands for a slash (`Documentation/ABI/testing/sysfs-block`).
    fn node(&self) -> PathBuf {
        let name = self.0.file_name().unwrap_or_default().to_string_lossy();
        Path::new("/dev").join(name.replace('!', "/"))
    }

    /// What a mapped or RAID device lies on.
    fn slaves(&self) -> Vec<KernelDev> {
        let Ok(entries) = std::fs::read_dir(self.0.join("slaves")) else {
            return Vec::new();
        };
        let entries = entries.take(MAX_DEVICES).flatten();
        entries.filter_map(|entry| number(&entry.path())).collect()
    }

    /// The disk that a partition is a part of: its directory is the one above.
    fn whole_disk(&self) -> Option<KernelDev> {
        self.0.join("partition").exists().then_some(())?;
        number(self.0.parent()?)
    }

    /// The file behind a loop device, as the host names it.
    fn backing_file(&self) -> Option<PathBuf> {
        let mut text = bounded::read(&self.0.join("loop/backing_file"), MAX_TEXT).ok()?;
        text.pop_if(|last| *last == b'\n');
        let path = PathBuf::from(OsString::from_vec(text));
        path.is_absolute().then_some(path)
    }
}

/// The number in a device directory's file `dev`.
fn number(directory: &Path) -> Option<KernelDev> {
    let text = bounded::read(&directory.join("dev"), MAX_TEXT).ok()?;
    let text = std::str::from_utf8(&text).ok()?;
    let (major, minor) = text.trim_end().split_once(':')?;
    KernelDev::from_numbers(major.parse().ok()?, minor.parse().ok()?)
}

#[cfg(test)]
mod tests;
