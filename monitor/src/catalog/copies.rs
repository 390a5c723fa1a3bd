//! Stores whose layers are copies of the whole tree (driver vfs): which layer a file came with, and what later layers
//! made of it.
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
        let below = |layer: &Layer| self.lent_layer(&layer.key.store, layer.parent.as_ref()?);
        let has_it = |layer: &&Layer| look(&layer.content, path) == Some(own);
        // Chains may be circles; none is longer than all layers together.
        std::iter::successors(Some(layer), |layer| below(layer).filter(has_it))
            .take(self.layers.len())
            .last()
            .unwrap_or(layer)
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
        let own = Some(())
            .filter(|()| self.keeps_copies(&layer.key))
            .map(|()| look(&layer.content, path))?;
        let mut state = Visibility::Visible;
        for (layer, content) in above {
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
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::catalog::{Host, read};

    /// A store of layers `a`, `b` on it and `c` on that, each with a tree of its own; a `~` in a name is the layer.
    fn store(files: &[&str]) -> (tempfile::TempDir, Catalog) {
        let directory = tempfile::tempdir().unwrap();
        let host = Host::new(directory.path());
        for layer in ["a", "b", "c"] {
            std::fs::create_dir_all(host.path(format!("/s/vfs/dir/{layer}/etc"))).unwrap();
        }
        for file in files {
            let (name, content) = file.split_once('=').unwrap();
            let path = host.path(format!("/s/vfs/dir/{name}"));
            if let Some(target) = content.strip_prefix("->") {
                std::os::unix::fs::symlink(target, path).unwrap();
                continue;
            }
            std::fs::write(&path, content).unwrap();
            let time = std::fs::FileTimes::new().set_modified(std::time::UNIX_EPOCH);
            std::fs::File::options()
                .write(true)
                .open(path)
                .unwrap()
                .set_times(time)
                .unwrap();
        }
        std::fs::create_dir_all(host.path("/s/vfs-layers")).unwrap();
        std::fs::create_dir_all(host.path("/s/vfs-images")).unwrap();
        let layers = r#"[{"id":"a"},{"id":"b","parent":"a"},{"id":"c","parent":"b"}]"#;
        std::fs::write(host.path("/s/vfs-layers/layers.json"), layers).unwrap();
        std::fs::write(
            host.path("/s/vfs-images/images.json"),
            r#"[{"id":"1","layer":"c"}]"#,
        )
        .unwrap();
        let catalog = read(&host, &[PathBuf::from("/s")]);
        (directory, catalog)
    }

    fn layer<'a>(catalog: &'a Catalog, id: &str) -> &'a Layer {
        catalog
            .layers
            .values()
            .find(|layer| layer.key.layer.as_str() == id)
            .unwrap()
    }

    /// Where `etc/f` of a layer came from, and what its image makes of it.
    fn check(files: &[&str], held_in: &str, origin: &str, state: &str) {
        let (_directory, catalog) = store(files);
        let found = catalog.origin(layer(&catalog, held_in), b"etc/f");
        let above: Vec<_> = catalog
            .layers_above(&catalog.images[0], &found.key)
            .into_iter()
            .map(|layer| (layer.key.layer.clone(), layer.content.as_path()))
            .collect();
        let visibility = match catalog
            .visibility_in_copies(found, b"etc/f", &above, &|_, _| false)
            .unwrap()
        {
            Visibility::Visible => "visible".to_owned(),
            Visibility::Deleted { by } => format!("deleted by {by}"),
            Visibility::Replaced { by } => format!("replaced by {by}"),
            Visibility::Repermissioned { by } => format!("under other permissions in {by}"),
        };
        assert_eq!(
            (found.key.layer.as_str(), visibility.as_str()),
            (origin, state),
            "{files:?}"
        );
    }

    #[test]
    fn a_file_is_its_origins_until_a_layer_changes_it() {
        check(&["a/etc/f=1", "b/etc/f=1", "c/etc/f=1"], "c", "a", "visible");
        check(&["a/etc/f=1", "b/etc/f=1", "c/etc/f=1"], "a", "a", "visible");
        check(&["b/etc/f=1", "c/etc/f=1"], "c", "b", "visible");
        check(&["a/etc/f=1", "b/etc/f=1"], "b", "a", "deleted by c");
        check(&["a/etc/f=1"], "a", "a", "deleted by b");
        check(&["a/etc/f=1", "b/etc/f=22", "c/etc/f=22"], "c", "b", "visible");
        check(
            &["a/etc/f=1", "b/etc/f=22", "c/etc/f=22"],
            "a",
            "a",
            "replaced by b",
        );
        // Deleted and made again is another file.
        check(&["a/etc/f=1", "c/etc/f=1"], "c", "c", "visible");
        check(&[], "c", "c", "visible");
    }

    #[test]
    fn no_link_of_a_layer_leads_to_another_file() {
        let links = ["a/etc/f=->../../b/etc/f", "b/etc/f=1", "c/etc/f=1"];
        check(&links, "c", "b", "visible");
        let (directory, catalog) = store(&["a/etc/f=1", "b/etc/f=1"]);
        let etc = directory.path().join("s/vfs/dir/b/etc");
        std::fs::remove_dir_all(&etc).unwrap();
        std::os::unix::fs::symlink("../a/etc", &etc).unwrap();
        assert_eq!(look(&layer(&catalog, "b").content, b"etc/f"), None);
        assert_eq!(look(&layer(&catalog, "b").content, b"../a/etc/f"), None);
    }

    #[test]
    fn a_circle_of_parents_ends() {
        let (_directory, mut catalog) = store(&["a/etc/f=1", "b/etc/f=1", "c/etc/f=1"]);
        for one in catalog.layers.values_mut().filter(|one| one.parent.is_none()) {
            one.parent = Some(LayerId::new("c"));
        }
        assert!(catalog.layers.len() == 3);
        catalog.origin(layer(&catalog, "c"), b"etc/f");
    }
}
