//! Stores whose layers are copies of the whole tree (drivers vfs, btrfs, devicemapper and zfs): which layer a file came with, and
//! what later layers made of it.
//!
//! Invariant: a file is the same in two copies when its type, mode, owner, size and time of change are, for that is what
//! the copying keeps; no link of a layer is followed. Looks at the files; called when knowledge is built and by
//! `explain`.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{Mode, OFlags, ResolveFlags, Stat};

use super::Catalog;
use super::tar_split;
use crate::model::{Layer, LayerId, LayerKey, Visibility};

/// What tells whether a copy is still the copy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Look {
    mode: u32,
    owner: (u32, u32),
    size: i64,
    changed: (i64, i64),
}

impl From<Stat> for Look {
    fn from(stat: Stat) -> Self {
        Self {
            mode: stat.st_mode,
            owner: (stat.st_uid, stat.st_gid),
            size: stat.st_size,
            changed: (stat.st_mtime, stat.st_mtime_nsec.cast_signed()),
        }
    }
}

/// The file below a layer's content, if it is there.
fn look(content: &Path, path: &[u8]) -> Option<Look> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let root: OwnedFd = rustix::fs::open(content, flags | OFlags::DIRECTORY, Mode::empty()).ok()?;
    let below = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let path = Path::new(OsStr::from_bytes(path));
    let file = rustix::fs::openat2(&root, path, flags, Mode::empty(), below).ok()?;
    rustix::fs::fstat(&file).ok().map(Look::from)
}

impl Catalog {
    /// Whether the layers of the store are copies.
    fn keeps_copies(&self, layer: &LayerKey) -> bool {
        self.store(&layer.store)
            .is_some_and(|store| store.driver.keeps_copies())
    }

    /// The layer that a file of `layer` came with: itself, or in a store of copies the lowest one below that has the
    /// same file.
    pub fn origin<'a>(&'a self, layer: &'a Layer, path: &[u8]) -> &'a Layer {
        if !self.keeps_copies(&layer.key) {
            return layer;
        }
        let Some(own) = look(&layer.content, path) else {
            return layer;
        };
        if layer.device.is_some() {
            return self.origin_by_record(layer, path, own.size).unwrap_or(layer);
        }
        let below = |layer: &Layer| self.lent_layer(&layer.key.store, layer.parent.as_ref()?);
        let has_it = |layer: &&Layer| look(&layer.content, path) == Some(own);
        // Chains may be circles; none is longer than all layers together.
        std::iter::successors(Some(layer), |layer| below(layer).filter(has_it))
            .take(self.layers.len())
            .last()
            .unwrap_or(layer)
    }

    /// The nearest layer, from `layer` down, whose own record has the file: what is below is seldom mounted.
    fn origin_by_record<'a>(&'a self, layer: &'a Layer, path: &[u8], size: i64) -> Option<&'a Layer> {
        let mark = tar_split::mark(path, size.try_into().ok()?);
        let below = |layer: &&'a Layer| self.lent_layer(&layer.key.store, layer.parent.as_ref()?);
        let came_with = |layer: &&Layer| {
            let files = layer.device.as_ref().and_then(|device| device.files.as_ref());
            files.is_some_and(|files| files.binary_search(&mark).is_ok())
        };
        std::iter::successors(Some(layer), below)
            .take(self.layers.len())
            .find(came_with)
    }

    /// In a store of copies, whether the file that came with `layer` is still there through `above`: the layers on top
    /// of it, lowest first; `None` in other stores.
    pub fn visibility_in_copies(
        &self,
        layer: &Layer,
        path: &[u8],
        above: &[(LayerId, &Path)],
        is_copy: &dyn Fn(&LayerId, &Path) -> bool,
    ) -> Option<Visibility> {
        if !self.keeps_copies(&layer.key) {
            return None;
        }
        let Some(own) = look(&layer.content, path) else {
            // It was found in a copy above: this one is not mounted.
            return Some(Visibility::Visible);
        };
        let own = Some(own);
        let mut state = Visibility::Visible;
        // What is not mounted says nothing, though its mount point may be there.
        let store = &layer.key.store;
        let is_here = |id: &LayerId, content: &Path| {
            content.exists() && !self.lent_layer(store, id).is_some_and(Layer::is_unmounted)
        };
        for (layer, content) in above.iter().filter(|(id, content)| is_here(id, content)) {
            let by = layer.clone();
            match look(content, path) {
                None => return Some(Visibility::Deleted { by }),
                found if found == own || state != Visibility::Visible => {}
                Some(_) if is_copy(layer, content) => state = Visibility::Repermissioned { by },
                Some(_) => return Some(Visibility::Replaced { by }),
            }
        }
        Some(state)
    }
}

#[cfg(test)]
mod tests;
