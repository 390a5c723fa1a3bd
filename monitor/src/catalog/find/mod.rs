//! Where a file name lies in the layers: a walk over directory entries alone, over several layers at once.
//!
//! Invariant: no link of a layer is followed, nothing is opened but directories, and a file is told of the layer that it
//! came with, also where layers are copies of the whole tree. Bounded in depth and in hits. Called by `layerwatch find`.

mod pattern;
mod walk;

use std::sync::atomic::{AtomicUsize, Ordering};

pub use pattern::Pattern;
use walk::Walk;

use super::Catalog;
use crate::model::{Layer, LayerKey};

/// More hits than anybody reads.
const MAX_HITS: usize = 100_000;
/// Walking waits for the disk more than for the processor, and is not to take all of either.
const MAX_THREADS: usize = 4;

/// What an entry is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Link,
    /// A device, a FIFO or a socket.
    Special,
}

/// One place where the name lies.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Hit {
    /// The layer that it came with.
    pub layer: LayerKey,
    /// Raw bytes, without a leading slash.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: EntryKind,
}

/// All hits, and what was not looked at.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Found {
    /// By layer and path.
    pub hits: Vec<Hit>,
    /// Directories that could not be read, or lie too deep.
    pub unread: u64,
    /// There were more hits.
    pub is_cut: bool,
    /// Entries that were looked at.
    pub entries: u64,
}

impl Catalog {
    /// Looks for a name in every layer.
    pub fn find(&self, pattern: &Pattern) -> Found {
        let layers: Vec<&Layer> = self
            .layers
            .values()
            .filter(|layer| layer.content_key.is_some())
            .collect();
        let next = AtomicUsize::new(0);
        let threads = std::thread::available_parallelism()
            .map_or(1, usize::from)
            .min(MAX_THREADS);
        let work = || {
            let mut found = Found::default();
            while let Some(layer) = layers.get(next.fetch_add(1, Ordering::Relaxed)) {
                Walk {
                    catalog: self,
                    layer,
                    pattern,
                    found: &mut found,
                }
                .walk();
            }
            found
        };
        let mut all = Found::default();
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            for thread in threads {
                // A thread that died has looked at nothing that could be told.
                match thread.join() {
                    Ok(found) => all.add(found),
                    Err(_) => all.unread += 1,
                }
            }
        });
        all.hits.sort();
        all.is_cut |= all.hits.len() > MAX_HITS;
        all.hits.truncate(MAX_HITS);
        all
    }
}

impl Found {
    fn add(&mut self, other: Self) {
        self.hits.extend(other.hits);
        self.unread += other.unread;
        self.is_cut |= other.is_cut;
        self.entries += other.entries;
    }
}
