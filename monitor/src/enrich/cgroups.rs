//! The path of a cgroup by its id, for a process that was gone before procfs could say it.
//!
//! Invariant: bounded in directories and depth, at most one walk a second; what was learned from a living process
//! outlives the cgroup, as that of a container which is gone with its only process; only where the hierarchy is version 2
//! alone, for elsewhere the id may be that of the root while the process sits in a container's version 1 cgroup. Used
//! by `Enricher`.

use std::collections::HashMap;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};

use crate::model::text::printable;

/// A host with a thousand pods has some ten thousand cgroups.
const DIRECTORIES_MAX: usize = 32_768;
/// Nested engines are deep; nobody is deeper.
const DEPTH_MAX: usize = 24;
/// Paths learned from processes that began there; the younger half of it at least.
const LEARNED_MAX: usize = 8192;
/// Between two walks.
const PAUSE: SignedDuration = SignedDuration::from_secs(1);

/// See the module.
#[derive(Debug)]
pub(super) struct Cgroups {
    root: PathBuf,
    walked: Option<Timestamp>,
    paths: HashMap<u64, String>,
    learned: HashMap<u64, String>,
    learned_before: HashMap<u64, String>,
}

impl Cgroups {
    pub(super) fn new(root: PathBuf) -> Self {
        Self {
            root,
            walked: None,
            paths: HashMap::new(),
            learned: HashMap::new(),
            learned_before: HashMap::new(),
        }
    }

    /// Whether nothing is known of this id yet.
    pub(super) fn is_new(&self, id: u64) -> bool {
        !self.learned.contains_key(&id) && !self.learned_before.contains_key(&id)
    }

    /// Learns the path of a cgroup from the `cgroup` file of a process that was in it a moment ago; held against the
    /// hierarchy, since the process may have moved.
    pub(super) fn learn(&mut self, id: u64, cgroups: &str) {
        let Some(path) = cgroups.lines().find_map(|line| line.strip_prefix("0::/")) else {
            return;
        };
        let is_plain = path.split('/').all(|component| component != "..");
        let same = is_plain
            && is_version_2(&self.root)
            && std::fs::symlink_metadata(self.root.join(path)).is_ok_and(|metadata| metadata.ino() == id);
        if !same {
            return;
        }
        if self.learned.len() >= LEARNED_MAX / 2 {
            self.learned_before = std::mem::take(&mut self.learned);
        }
        let shown = printable(path.as_bytes());
        self.learned.insert(id, format!("/{shown}"));
    }

    /// The path of the cgroup with this id (`kernfs` inode number), escaped; absent when it is unknown or gone.
    pub(super) fn path_of(&mut self, id: u64, now: Timestamp) -> Option<String> {
        let learned = self.learned.get(&id).or_else(|| self.learned_before.get(&id));
        if let Some(path) = learned {
            return Some(path.clone());
        }
        let due = self
            .walked
            .is_none_or(|walked| now.duration_since(walked).abs() >= PAUSE);
        if !self.paths.contains_key(&id) && due {
            self.walked = Some(now);
            self.paths = walk(&self.root);
        }
        self.paths.get(&id).cloned()
    }
}

fn walk(root: &Path) -> HashMap<u64, String> {
    let mut paths = HashMap::new();
    if !is_version_2(root) {
        return paths;
    }
    let mut waiting = vec![(root.to_owned(), 0)];
    while let Some((directory, depth)) = waiting.pop() {
        let Ok(metadata) = std::fs::symlink_metadata(&directory) else {
            continue;
        };
        let relative = directory.strip_prefix(root).unwrap_or(&directory);
        let shown = printable(relative.as_os_str().as_bytes());
        paths.insert(metadata.ino(), format!("/{shown}"));
        if depth >= DEPTH_MAX {
            continue;
        }
        for entry in std::fs::read_dir(&directory).into_iter().flatten().flatten() {
            let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if is_directory && paths.len() + waiting.len() < DIRECTORIES_MAX {
                waiting.push((entry.path(), depth + 1));
            }
        }
    }
    paths
}

/// Only the root of a version 2 hierarchy has this file (Documentation/admin-guide/cgroup-v2.rst).
fn is_version_2(root: &Path) -> bool {
    root.join("cgroup.controllers").exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_found_where_the_hierarchy_is_version_2() {
        let root = tempfile::tempdir().unwrap();
        let scope = root.path().join("system.slice/docker-x.scope");
        std::fs::create_dir_all(&scope).unwrap();
        let id = std::fs::metadata(&scope).unwrap().ino();
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        let mut cgroups = Cgroups::new(root.path().to_owned());
        assert_eq!(cgroups.path_of(id, at(0)), None, "not version 2");
        std::fs::write(root.path().join("cgroup.controllers"), "").unwrap();
        assert_eq!(cgroups.path_of(id, at(0)), None, "no second walk yet");
        assert_eq!(
            cgroups.path_of(id, at(1)).as_deref(),
            Some("/system.slice/docker-x.scope")
        );
        assert_eq!(cgroups.path_of(u64::MAX, at(5)), None);

        let short = root.path().join("machine.slice/libpod-x.scope");
        std::fs::create_dir_all(&short).unwrap();
        let id = std::fs::metadata(&short).unwrap().ino();
        for wrong in [
            "0::/../libpod-x.scope",
            "0::/system.slice",
            "1:cpu:/machine.slice/libpod-x.scope",
        ] {
            cgroups.learn(id, wrong);
            assert!(cgroups.is_new(id), "{wrong}");
        }
        cgroups.learn(id, "0::/machine.slice/libpod-x.scope\n");
        std::fs::remove_dir(&short).unwrap();
        assert_eq!(
            cgroups.path_of(id, at(9)).as_deref(),
            Some("/machine.slice/libpod-x.scope"),
            "gone with its container"
        );
    }
}
