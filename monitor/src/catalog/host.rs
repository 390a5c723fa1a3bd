//! The host's file system as this process sees it: at `/`, or below a prefix when the agent runs in a container.
//!
//! Invariant: an absolute symbolic link of the host is followed below the prefix, never out of it. Two kinds of paths
//! exist: *host paths*, which people and configuration files use, and *seen paths*, which this process can open; the
//! functions here are the only place that turns one into the other. Used by the catalog, exposure and the commands.

use std::path::{Component, Path, PathBuf};

/// More links than the kernel itself follows (`MAXSYMLINKS`, include/linux/namei.h).
const MAX_LINKS: usize = 40;

/// Why a host path could not be followed.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The caller does not want it looked at.
    #[error("{} is not to be looked at", path.display())]
    Forbidden {
        /// The first part of the path that is not.
        path: PathBuf,
    },
    /// A component could not be looked at.
    #[error("look at {}", path.display())]
    Inspect {
        /// The component, as a host path.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Links lead in a circle, or there are more than the kernel follows.
    #[error("{} goes through more than {MAX_LINKS} symbolic links", path.display())]
    TooManyLinks {
        /// The path that was asked for.
        path: PathBuf,
    },
    /// The path is relative or outside the host's root.
    #[error("{} is not a path of the host", path.display())]
    Outside {
        /// The path that was asked for.
        path: PathBuf,
    },
}

impl HostError {
    /// Whether the path does not exist.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Inspect { source, .. } if source.kind() == std::io::ErrorKind::NotFound)
    }
}

/// Where the host's root directory is mounted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Host {
    root: PathBuf,
}

impl Host {
    /// A host whose `/` is at `root`: `/` itself, or such as `/host` in a container.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Where the host's root is, as this process sees it.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The path by which this process opens `host_path`; links are not followed and `..` is refused by dropping it.
    pub fn path(&self, host_path: impl AsRef<Path>) -> PathBuf {
        let mut seen = self.root.clone();
        for component in host_path.as_ref().components() {
            if let Component::Normal(name) = component {
                seen.push(name);
            }
        }
        seen
    }

    /// Whether the host's processes are there to be seen; a pod that is given no `/proc` sees none of their users, mounts and
    /// engines, nor the sockets of these.
    pub fn shows_processes(&self) -> bool {
        self.path("/proc/1").exists()
    }

    /// The host's own name for a path that this process sees; `None` outside the host's root.
    pub fn host_path(&self, seen: &Path) -> Option<PathBuf> {
        let below = seen.strip_prefix(&self.root).ok()?;
        Some(Path::new("/").join(below))
    }

    /// The host path without symbolic links that `host_path` leads to.
    pub fn resolve(&self, host_path: &Path) -> Result<PathBuf, HostError> {
        self.resolve_where(host_path, &|_| true)
    }

    /// The same, but nothing is looked at that `may_look` forbids, by a host path without links: to look at an automounter's
    /// directory mounts what is behind it.
    pub(super) fn resolve_where(
        &self,
        host_path: &Path,
        may_look: &dyn Fn(&Path) -> bool,
    ) -> Result<PathBuf, HostError> {
        if !host_path.is_absolute() {
            return Err(HostError::Outside {
                path: host_path.to_owned(),
            });
        }
        let mut todo = names_reversed(host_path);
        let mut done = PathBuf::from("/");
        let mut links = 0;
        while let Some(step) = todo.pop() {
            let Step::Down(name) = step else {
                done.pop();
                continue;
            };
            done.push(name);
            if !may_look(&done) {
                return Err(HostError::Forbidden { path: done });
            }
            let Some(target) = self.link_target(&done)? else {
                continue;
            };
            links += 1;
            if links > MAX_LINKS {
                return Err(HostError::TooManyLinks {
                    path: host_path.to_owned(),
                });
            }
            done.pop();
            if target.is_absolute() {
                done = PathBuf::from("/");
            }
            todo.append(&mut names_reversed(&target));
        }
        Ok(done)
    }

    /// Where a symbolic link points; `None` when the path is something else.
    fn link_target(&self, host_path: &Path) -> Result<Option<PathBuf>, HostError> {
        let inspect = |source| HostError::Inspect {
            path: host_path.to_owned(),
            source,
        };
        let seen = self.path(host_path);
        if seen.symlink_metadata().map_err(inspect)?.is_symlink() {
            std::fs::read_link(&seen).map(Some).map_err(inspect)
        } else {
            Ok(None)
        }
    }
}

enum Step {
    Down(std::ffi::OsString),
    Up,
}

/// The components to walk, last one first, so that they pop in order.
fn names_reversed(path: &Path) -> Vec<Step> {
    path.components()
        .rev()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(Step::Down(name.to_owned())),
            Component::ParentDir => Some(Step::Up),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn host() -> (tempfile::TempDir, Host) {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(directory.path().join("data/real/in")).unwrap();
        std::fs::create_dir_all(directory.path().join("var/lib")).unwrap();
        symlink("/data/real", directory.path().join("var/lib/store")).unwrap();
        symlink("../../data/real/in", directory.path().join("var/lib/relative")).unwrap();
        symlink("../../../../../../etc", directory.path().join("var/lib/escape")).unwrap();
        symlink("loop2", directory.path().join("loop1")).unwrap();
        symlink("loop1", directory.path().join("loop2")).unwrap();
        let host = Host::new(directory.path());
        (directory, host)
    }

    #[test]
    fn links_are_followed_below_the_prefix() {
        let (_directory, host) = host();
        for (path, resolved) in [
            ("/", "/"),
            ("/data", "/data"),
            ("/var/lib/store", "/data/real"),
            ("/var/lib/store/in", "/data/real/in"),
            ("/var/lib/relative/../in", "/data/real/in"),
            ("/../../data", "/data"),
        ] {
            assert_eq!(
                host.resolve(Path::new(path)).unwrap(),
                Path::new(resolved),
                "{path}"
            );
        }
        // The prefix has no /etc: a link that climbs out ends at the prefix.
        let escape = host.resolve(Path::new("/var/lib/escape")).unwrap_err();
        assert!(
            escape.is_not_found()
                && matches!(escape, HostError::Inspect { path, .. } if path == Path::new("/etc"))
        );
    }

    #[test]
    fn circles_and_relative_paths_are_refused() {
        let (_directory, host) = host();
        assert!(matches!(
            host.resolve(Path::new("/loop1")),
            Err(HostError::TooManyLinks { .. })
        ));
        assert!(matches!(
            host.resolve(Path::new("data")),
            Err(HostError::Outside { .. })
        ));
    }

    #[test]
    fn seen_and_host_paths_turn_into_each_other() {
        for (root, host_path, seen) in [
            ("/", "/var/lib", "/var/lib"),
            ("/host", "/var/lib", "/host/var/lib"),
            ("/host", "/", "/host"),
            ("/host", "/../etc", "/host/etc"),
        ] {
            let host = Host::new(root);
            assert_eq!(host.path(host_path), Path::new(seen));
            let back = host.host_path(Path::new(seen)).unwrap();
            assert_eq!(host.path(back), Path::new(seen));
        }
        assert_eq!(Host::new("/host").host_path(Path::new("/etc")), None);
    }
}
