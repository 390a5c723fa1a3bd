//! The way to a file: each directory from the host's `/`, and the file, with what decides who may pass.
//!
//! Invariant: `admits` answers as the kernel would (`acl_permission_check`, fs/namei.c) for a user without
//! capabilities, except that an owner always passes: an owner can change the mode. What could not be looked at lets
//! everybody pass and is named in `uncertain`. Used by `readers` and `gates`.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::acl::{self, Acl, Who};
use crate::catalog::Host;
use crate::model::Gate;
use crate::model::text::printable;

const READ: u16 = 0o4;
const EXECUTE: u16 = 0o1;

/// Somebody who tries to read; never root.
#[derive(Clone, Debug)]
pub(crate) struct Subject<'a> {
    /// The user; `None` is any user that no component names.
    pub(crate) uid: Option<u32>,
    /// All groups of the process.
    pub(crate) gids: &'a [u32],
}

/// One component of the way.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Component {
    /// The host path.
    pub(super) path: PathBuf,
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) acl: Option<Acl>,
    /// What is needed here: to pass a directory, to read a file.
    wanted: u16,
}

impl Component {
    pub(super) fn admits(&self, subject: &Subject<'_>) -> bool {
        if subject.uid == Some(self.uid) {
            return true;
        }
        let in_group = |gid: u32| subject.gids.contains(&gid);
        // With no group bits (which show the list's mask) the kernel does not look at the list.
        if let Some(acl) = self.acl.as_ref().filter(|_| self.mode & 0o070 != 0) {
            return acl.grants(subject.uid, in_group, self.gid, self.wanted);
        }
        let bits = if in_group(self.gid) {
            self.mode >> 3
        } else {
            self.mode
        };
        bits & u32::from(self.wanted) == u32::from(self.wanted)
    }

    /// The component as it would be after `chmod`, which also closes the mask of a list.
    pub(super) fn with_mode(&self, mode: u32) -> Self {
        Self {
            mode,
            acl: None,
            ..self.clone()
        }
    }

    pub(super) fn gate(&self) -> Gate {
        // Gates are JSON, paths need not be text.
        let path = match self.path.to_str() {
            Some(_) => self.path.clone(),
            None => PathBuf::from(printable(self.path.as_os_str().as_bytes()).to_string()),
        };
        Gate {
            path,
            mode: self.mode,
            uid: self.uid,
            gid: self.gid,
        }
    }
}

/// The components from `/` to a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Way {
    pub(super) components: Vec<Component>,
    /// What could not be looked at.
    pub(super) uncertain: Vec<String>,
}

impl Way {
    /// Looks at every component of a path that this process sees.
    pub(crate) fn walk(host: &Host, path: &Path) -> Self {
        let mut way = Self {
            components: Vec::new(),
            uncertain: Vec::new(),
        };
        let Some(host_path) = host.host_path(path) else {
            way.doubt(path, "it is not below the host's root");
            return way;
        };
        // A link that cannot be followed shows again as a component that cannot be looked at.
        let resolved = host.resolve(&host_path).unwrap_or(host_path);
        let mut ancestors: Vec<&Path> = resolved.ancestors().collect();
        ancestors.reverse();
        for component in ancestors {
            let is_last = component == resolved;
            match look(host, component, is_last) {
                Ok(component) => way.components.push(component),
                Err(cause) => way.doubt(component, &cause),
            }
        }
        way
    }

    /// Whether the subject gets through all components.
    pub(crate) fn admits(&self, subject: &Subject<'_>) -> bool {
        self.components.iter().all(|component| component.admits(subject))
    }

    pub(super) fn first_closed_to_world(&self) -> Option<&Component> {
        let world = Subject { uid: None, gids: &[] };
        self.components.iter().find(|component| !component.admits(&world))
    }

    /// Every user id besides root that a component names, once.
    pub(super) fn uids(&self) -> Vec<u32> {
        let named = self.named(|who| match who {
            Who::User(uid) => Some(uid),
            Who::Owner | Who::OwningGroup | Who::Group(_) | Who::Mask | Who::Other => None,
        });
        let owners = self.components.iter().map(|component| component.uid);
        sorted(owners.chain(named).filter(|uid| *uid != 0))
    }

    /// Every group id that a component names, once.
    pub(super) fn gids(&self) -> Vec<u32> {
        let named = self.named(|who| match who {
            Who::Group(gid) => Some(gid),
            Who::Owner | Who::OwningGroup | Who::User(_) | Who::Mask | Who::Other => None,
        });
        sorted(self.components.iter().map(|component| component.gid).chain(named))
    }

    fn named(&self, id: impl Fn(Who) -> Option<u32>) -> Vec<u32> {
        let entries = self
            .components
            .iter()
            .filter_map(|component| component.acl.as_ref());
        entries
            .flat_map(|acl| &acl.entries)
            .filter_map(|(who, _)| id(*who))
            .collect()
    }

    fn doubt(&mut self, path: &Path, cause: &str) {
        let path = printable(path.as_os_str().as_bytes());
        self.uncertain.push(format!(
            "{path} could not be looked at: {}",
            printable(cause.as_bytes())
        ));
    }
}

fn sorted(ids: impl Iterator<Item = u32>) -> Vec<u32> {
    ids.collect::<std::collections::BTreeSet<_>>()
        .into_iter()
        .collect()
}

fn look(host: &Host, path: &Path, is_last: bool) -> Result<Component, String> {
    let seen = host.path(path);
    let metadata = seen.symlink_metadata().map_err(|error| error.to_string())?;
    if !is_last && !metadata.is_dir() {
        return Err("it is no directory".to_owned());
    }
    Ok(Component {
        path: path.to_owned(),
        mode: metadata.mode() & 0o7777,
        uid: metadata.uid(),
        gid: metadata.gid(),
        acl: read_acl(&seen)?,
        wanted: if metadata.is_dir() { EXECUTE } else { READ },
    })
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
