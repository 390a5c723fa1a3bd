//! The devices and files that carry the layers of a store of driver devicemapper, beside what the store's root lies on.
//!
//! The driver makes its pool of two files behind loop devices, or is given one by `dm.thinpooldev`. Invariant: a device is
//! known by what device mapper calls it in sysfs; the pool of a daemon that does not run is not active, its files are
//! there all the same. Called by `raw_devices`.

use std::path::{Path, PathBuf};

use super::super::docker::devices;
use super::super::driver_options;
use super::super::host::Host;
use super::{Block, MAX_DEVICES};
use crate::bounded;
use crate::model::{DevIno, Driver, KernelDev, RawKey, Store};

/// What device mapper may call a device (`DM_NAME_LEN`).
const MAX_NAME: u64 = 256;
/// Block devices looked at for their names.
const MAX_BLOCKS: usize = 4096;

/// The active devices of the store's pool, the pool itself among them: each lies on what the pool lies on.
pub(super) fn active(host: &Host, sysfs: &Path, store: &Store) -> Vec<KernelDev> {
    if store.driver != Driver::Devicemapper {
        return Vec::new();
    }
    let prefix = devices::prefix(&store.root).map(|prefix| format!("{prefix}-"));
    let pools = driver_options::thin_pools(host);
    let entries = std::fs::read_dir(sysfs.join("block")).into_iter().flatten();
    let named = entries.take(MAX_BLOCKS).flatten().filter_map(|entry| {
        let directory = entry.path();
        let name = mapped_name(&directory)?;
        let is_stores =
            prefix.as_ref().is_some_and(|prefix| name.starts_with(prefix)) || pools.contains(&name);
        is_stores.then(|| super::number(&directory)).flatten()
    });
    named.take(MAX_DEVICES).collect()
}

/// The files that the pool is made of, where it is made of files.
pub(super) fn files(host: &Host, store: &Store) -> Vec<(RawKey, PathBuf)> {
    if store.driver != Driver::Devicemapper {
        return Vec::new();
    }
    let known = devices::loop_files(&store.root).into_iter().filter_map(|file| {
        let metadata = file.symlink_metadata().ok().filter(std::fs::Metadata::is_file)?;
        Some((RawKey::File(DevIno::of(&metadata)), host.host_path(&file)?))
    });
    known.collect()
}

/// What device mapper calls a device, if it made it.
pub(super) fn mapped_name(block: &Path) -> Option<String> {
    let name = bounded::read_text(&block.join("dm/name"), MAX_NAME).ok()?;
    Some(name.trim_end().to_owned())
}

impl Block {
    /// The node under `/dev/mapper`, where device mapper made the device and somebody made the node.
    pub(super) fn mapped_node(&self, host: &Host) -> Option<PathBuf> {
        let node = Path::new("/dev/mapper").join(mapped_name(&self.0)?);
        host.path(&node).exists().then_some(node)
    }
}
