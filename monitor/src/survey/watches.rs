//! What the kernel should watch, from a snapshot.
//!
//! Invariant: every finding's inode, every layer's content directory, every index directory and every directory that
//! new layers appear in. A container's writable layer counts as scanned: its own files are no image content; where it
//! holds the image's whole tree it is scanned as the image's layers are. Pure.

use layerwatch_ebpf::watch_flags;

use crate::kernel::WatchSet;
use crate::knowledge::Knowledge;
use crate::model::{DevIno, LayerState, Place, RawKey};

/// The watch set for a snapshot, with the agent's canary.
pub fn watch_set(knowledge: &Knowledge, canary: DevIno) -> WatchSet {
    let parts = knowledge.parts();
    let mut set = WatchSet::default();
    for store in &parts.stores {
        for (_, key) in &store.index_directories {
            *set.directories.entry(*key).or_default() |= watch_flags::INDEX;
        }
        for (_, key) in &store.layer_directories {
            *set.directories.entry(*key).or_default() |= watch_flags::STORE;
        }
    }
    for layer in &parts.layers {
        let Some(key) = layer.content_key else { continue };
        let needs_no_scan = layer.state == LayerState::Container && !layer.is_scannable();
        let settled = needs_no_scan || knowledge.is_scanned(&layer.key);
        let flags = if settled {
            watch_flags::LAYER | watch_flags::SCANNED
        } else {
            watch_flags::LAYER
        };
        *set.directories.entry(key).or_default() |= flags;
    }
    for known in &parts.findings {
        if let Place::File { key, generation, .. } = &known.finding.place {
            set.files.insert(*key, 0);
            if *generation != 0 {
                set.generations.insert(*key, *generation);
            }
        }
    }
    let configs = parts.configs.iter().map(|config| config.key);
    for key in configs.chain(parts.blobs.iter().map(|blob| blob.key)) {
        set.files.insert(key, 0);
    }
    for device in &parts.raw_devices {
        let key = match device.key {
            RawKey::Device(dev) => DevIno { dev, ino: 0 },
            RawKey::File(key) => key,
        };
        set.block_devices.insert(key, 0);
    }
    for socket in &parts.engine_sockets {
        set.sockets.insert(socket.key, watch_flags::SOCKET);
    }
    set.files.insert(canary, watch_flags::CANARY);
    set
}
