//! Looking at the components of a path, each once.
//!
//! Invariant: one `Looker` is one moment: what it has looked at it remembers, so that a thousand findings of a layer cost
//! the directories above them once. Made by `Surroundings`.

use std::cell::RefCell;
use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::acl::{self, Acl};
use super::way::{Component, Way};
use crate::catalog::Host;

/// To pass a directory.
const EXECUTE: u16 = 0o1;

/// What is wanted of the last component where it is no directory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Wanted {
    /// To read the file.
    Read,
    /// To connect to the socket.
    Write,
    /// To run the program.
    Run,
}

impl Wanted {
    fn bits(self) -> u16 {
        match self {
            Self::Read => 0o4,
            Self::Write => 0o2,
            Self::Run => EXECUTE,
        }
    }
}

/// A component without what is wanted of it, and whether it is a directory.
type Looked = Result<(Component, bool), String>;

/// See the module.
#[derive(Debug)]
pub(crate) struct Looker {
    host: Host,
    looked: RefCell<HashMap<PathBuf, Looked>>,
    /// Directories by host path, and where they are without links.
    resolved: RefCell<HashMap<PathBuf, PathBuf>>,
}

impl Looker {
    pub(super) fn new(host: &Host) -> Self {
        Self {
            host: host.clone(),
            looked: RefCell::default(),
            resolved: RefCell::default(),
        }
    }

    /// The host whose paths it looks at.
    pub(super) fn host(&self) -> &Host {
        &self.host
    }

    /// Looks at every component of a path that this process sees.
    pub(super) fn walk(&self, path: &Path, wanted: Wanted) -> Way {
        let mut way = Way {
            components: Vec::new(),
            uncertain: Vec::new(),
        };
        let Some(host_path) = self.host.host_path(path) else {
            way.doubt(path, "it is not below the host's root");
            return way;
        };
        let resolved = self.resolve(&host_path);
        let mut ancestors: Vec<&Path> = resolved.ancestors().collect();
        ancestors.reverse();
        for component in ancestors {
            let is_last = component == resolved;
            match self.look(component) {
                Ok((_, false)) if !is_last => way.doubt(component, "it is no directory"),
                Ok((found, is_directory)) => way.components.push(Component {
                    wanted: if is_directory { EXECUTE } else { wanted.bits() },
                    ..found
                }),
                Err(cause) => way.doubt(component, &cause),
            }
        }
        way
    }

    /// The path without links; one that cannot be followed shows again as a component that cannot be looked at.
    pub(super) fn resolve(&self, host_path: &Path) -> PathBuf {
        let whole = |path: &Path| self.host.resolve(path).unwrap_or_else(|_| path.to_owned());
        let (Some(parent), Some(name)) = (host_path.parent(), host_path.file_name()) else {
            return whole(host_path);
        };
        let known = self.resolved.borrow().get(parent).cloned();
        let parent = known.unwrap_or_else(|| {
            let found = whole(parent);
            self.resolved
                .borrow_mut()
                .insert(parent.to_owned(), found.clone());
            found
        });
        let path = parent.join(name);
        let is_link = std::fs::symlink_metadata(self.host.path(&path)).is_ok_and(|one| one.is_symlink());
        if is_link { whole(&path) } else { path }
    }

    fn look(&self, path: &Path) -> Looked {
        if let Some(known) = self.looked.borrow().get(path) {
            return known.clone();
        }
        let looked = look(&self.host.path(path), path);
        self.looked.borrow_mut().insert(path.to_owned(), looked.clone());
        looked
    }
}

fn look(seen: &Path, path: &Path) -> Looked {
    let metadata = seen.symlink_metadata().map_err(|error| error.to_string())?;
    let component = Component {
        path: path.to_owned(),
        mode: metadata.mode() & 0o7777,
        uid: metadata.uid(),
        gid: metadata.gid(),
        acl: read_acl(seen)?,
        wanted: EXECUTE,
    };
    Ok((component, metadata.is_dir()))
}

fn read_acl(seen: &Path) -> Result<Option<Acl>, String> {
    use rustix::io::Errno;
    let mut buffer = vec![0; 1024];
    loop {
        match rustix::fs::lgetxattr(seen, acl::ATTRIBUTE, &mut buffer) {
            Ok(length) => {
                let bytes = buffer.get(..length).unwrap_or_default();
                let acl = Acl::parse(bytes).ok_or("its access control list is not in the known format")?;
                return Ok(Some(acl));
            }
            Err(Errno::NODATA | Errno::OPNOTSUPP) => return Ok(None),
            Err(Errno::RANGE) if buffer.len() < acl::MAX_BYTES => buffer.resize(acl::MAX_BYTES, 0),
            Err(error) => return Err(format!("its access control list: {error}")),
        }
    }
}
