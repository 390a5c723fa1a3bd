//! Other mounts through which the same file can be reached: in the host's mount table, in the mount namespaces of running
//! processes, and overlays above a layer.
//!
//! Invariant: a candidate counts only if it leads to the same inode now (through an overlay: the same inode number), so a
//! mount that another one hides is none. Bounded. Used by `Surroundings`.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::look::{Looker, Wanted};
use super::processes::{Credentials, Processes};
use super::readers::readers_of;
use super::way::{Subject, Way};
use crate::catalog::{Host, Mount, MountTable};

/// Other mounts of one file that are followed.
const MAX_OTHERS: usize = 16;

/// Another way to a file on the host.
pub(super) struct OtherWay {
    /// Where it is mounted, as a host path.
    pub(super) point: PathBuf,
    pub(super) way: Way,
}

/// The host's mounts.
#[derive(Debug)]
pub(super) struct Mounts {
    table: MountTable,
    /// Overlays whose mount point somebody besides root gets to.
    open_overlays: Vec<PathBuf>,
    namespaces: Vec<Inside>,
}

/// Another mount namespace, with its mounts of the file systems that stores are on.
#[derive(Debug)]
struct Inside {
    looker: Looker,
    name: String,
    subjects: BTreeSet<Credentials>,
    mounts: Vec<Mount>,
}

impl Mounts {
    /// `roots` are the stores' roots, as this process sees them.
    pub(super) fn look<'a>(
        looker: &Looker,
        processes: &Processes,
        roots: impl Iterator<Item = &'a Path>,
    ) -> Self {
        // Without a table there are no other ways that could be seen, which the paths' own answer does not depend on.
        let table = MountTable::read().unwrap_or_default();
        let devices: BTreeSet<Vec<u8>> = roots
            .filter_map(|root| table.of(root).map(|mount| mount.device.clone()))
            .collect();
        let host_mounts: BTreeSet<(&Path, &Path)> = table
            .mounts
            .iter()
            .map(|one| (one.root.as_path(), one.point.as_path()))
            .collect();
        let is_other = |mount: &Mount| {
            devices.contains(&mount.device)
                && !host_mounts.contains(&(mount.root.as_path(), mount.point.as_path()))
        };
        let namespaces = processes.namespaces.iter().filter_map(|namespace| {
            let mounts = MountTable::read_from(&namespace.table).ok()?.mounts.into_iter();
            let mounts: Vec<Mount> = mounts.filter(is_other).collect();
            (!mounts.is_empty()).then(|| Inside {
                looker: Looker::new(&Host::new(&namespace.root)),
                name: namespace.name.clone(),
                subjects: namespace.subjects.clone(),
                mounts,
            })
        });
        let namespaces = namespaces.collect();
        let overlays = table.mounts.iter().filter(|mount| mount.filesystem == "overlay");
        let open_overlays = overlays
            .map(|mount| mount.point.clone())
            .filter(|point| point != looker.host().root())
            .filter(|point| !readers_of(&looker.walk(point, Wanted::Read)).readers.is_empty());
        Self {
            open_overlays: open_overlays.collect(),
            namespaces,
            table,
        }
    }

    /// The other ways to `path` (as this process sees it), whose place below its layer is `in_layer`.
    pub(super) fn others(&self, looker: &Looker, path: &Path, in_layer: Option<&Path>) -> Vec<OtherWay> {
        let Some((file, below)) = self.place(path) else {
            return Vec::new();
        };
        let mut found = Vec::new();
        let same_system = self.table.mounts.iter().filter(|mount| {
            self.table
                .of(path)
                .is_some_and(|own| own.point != mount.point && own.device == mount.device)
        });
        for mount in same_system {
            let Ok(rest) = below.strip_prefix(&mount.root) else {
                continue;
            };
            let other = join(&mount.point, rest);
            let same = |one: &std::fs::Metadata| (one.dev(), one.ino()) == (file.dev(), file.ino());
            if other != path && std::fs::symlink_metadata(&other).is_ok_and(|one| same(&one)) {
                found.push((mount.point.clone(), other));
            }
        }
        for point in in_layer.iter().flat_map(|_| &self.open_overlays) {
            let other = join(point, in_layer.unwrap_or(Path::new("")));
            let same = |one: &std::fs::Metadata| one.ino() == file.ino() && one.len() == file.len();
            if std::fs::symlink_metadata(&other).is_ok_and(|one| same(&one)) {
                found.push((point.clone(), other));
            }
        }
        found.truncate(MAX_OTHERS);
        let host = looker.host();
        let ways = found.into_iter().filter_map(|(point, other)| {
            Some(OtherWay {
                point: host.host_path(&point)?,
                way: looker.walk(&other, Wanted::Read),
            })
        });
        ways.collect()
    }

    /// Users in other mount namespaces who get to `path`, and where it is there.
    pub(super) fn inside(&self, path: &Path) -> BTreeSet<(u32, String)> {
        let mut found = BTreeSet::new();
        let (Some((file, below)), Some(own)) = (self.place(path), self.table.of(path)) else {
            return found;
        };
        for inside in &self.namespaces {
            let mounts = inside
                .mounts
                .iter()
                .filter(|mount| mount.device == own.device)
                .take(MAX_OTHERS);
            for mount in mounts {
                let Ok(rest) = below.strip_prefix(&mount.root) else {
                    continue;
                };
                let seen = inside.looker.host().path(join(&mount.point, rest));
                let same = |one: &std::fs::Metadata| (one.dev(), one.ino()) == (file.dev(), file.ino());
                if !std::fs::symlink_metadata(&seen).is_ok_and(|one| same(&one)) {
                    continue;
                }
                let way = inside.looker.walk(&seen, Wanted::Read);
                let through = inside.subjects.iter().filter(|one| one.uid != 0).filter(|one| {
                    way.admits(&Subject {
                        uid: Some(one.uid),
                        gids: &one.gids,
                        takes_on: None,
                    })
                });
                let at = format!("{} of {}", mount.point.display(), inside.name);
                found.extend(through.map(|one| (one.uid, at.clone())));
            }
        }
        found
    }

    /// The file, and its path inside its file system.
    fn place(&self, path: &Path) -> Option<(std::fs::Metadata, PathBuf)> {
        let mount = self.table.of(path)?;
        let below = join(&mount.root, path.strip_prefix(&mount.point).ok()?);
        Some((std::fs::symlink_metadata(path).ok()?, below))
    }
}

/// Without a slash at the end where there is nothing to add.
fn join(directory: &Path, rest: &Path) -> PathBuf {
    if rest.as_os_str().is_empty() {
        directory.to_owned()
    } else {
        directory.join(rest)
    }
}
