//! The way to a file: each directory from the host's `/`, and the file, with what decides who may pass.
//!
//! Invariant: `admits` answers as the kernel would (`acl_permission_check`, fs/namei.c) for a user without
//! capabilities, except that an owner always passes: an owner can change the mode. What could not be looked at lets
//! everybody pass and is named in `uncertain`. Made by `look`; used by `readers` and `gates`.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::acl::{Acl, Who};
use super::ids::SubordinateIds;
use crate::model::Gate;
use crate::model::text::printable;

/// Somebody who tries to read; never root.
#[derive(Clone, Debug)]
pub(crate) struct Subject<'a> {
    /// The user; `None` is any user that no component names.
    pub(crate) uid: Option<u32>,
    /// All groups of the process.
    pub(crate) gids: &'a [u32],
    /// Ids that the user may take on in a user namespace, where they also pass over modes of what they own.
    pub(crate) takes_on: Option<&'a SubordinateIds>,
}

impl Subject<'_> {
    /// Any user that no component names, in no group that one names.
    pub(super) fn anybody() -> Self {
        Self {
            uid: None,
            gids: &[],
            takes_on: None,
        }
    }
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
    /// What is needed here: to pass a directory, to read a file, to write to a socket.
    pub(super) wanted: u16,
}

impl Component {
    pub(super) fn admits(&self, subject: &Subject<'_>) -> bool {
        let own = self.admits_as(subject.uid, &|gid| subject.gids.contains(&gid));
        own || subject.takes_on.is_some_and(|ids| self.admits_any_of(ids))
    }

    /// Whether one of the ids gets through, or one without groups.
    fn admits_any_of(&self, ids: &SubordinateIds) -> bool {
        let entries = self.acl.iter().flat_map(|acl| &acl.entries);
        let mut named = entries.filter_map(|(who, _)| match who {
            Who::User(uid) => Some(*uid),
            Who::Owner | Who::OwningGroup | Who::Group(_) | Who::Mask | Who::Other => None,
        });
        ids.has_uid(self.uid)
            || self.admits_as(None, &|_| false)
            || self.admits_as(None, &|gid| ids.has_gid(gid))
            || named.any(|uid| ids.has_uid(uid) && self.admits_as(Some(uid), &|_| false))
    }

    fn admits_as(&self, uid: Option<u32>, in_group: &dyn Fn(u32) -> bool) -> bool {
        if uid == Some(self.uid) {
            return true;
        }
        // With no group bits (which show the list's mask) the kernel does not look at the list.
        if let Some(acl) = self.acl.as_ref().filter(|_| self.mode & 0o070 != 0) {
            return acl.grants(uid, in_group, self.gid, self.wanted);
        }
        let bits = if in_group(self.gid) {
            self.mode >> 3
        } else {
            self.mode
        };
        bits & u32::from(self.wanted) == u32::from(self.wanted)
    }

    /// The component as it would be after `chmod`, which sets the mask of a list.
    pub(super) fn with_mode(&self, mode: u32) -> Self {
        let mut changed = self.clone();
        changed.mode = mode;
        for (who, bits) in changed.acl.iter_mut().flat_map(|acl| &mut acl.entries) {
            match who {
                Who::Mask => *bits = u16::try_from(mode >> 3 & 0o7).unwrap_or_default(),
                Who::Other => *bits = u16::try_from(mode & 0o7).unwrap_or_default(),
                Who::Owner | Who::User(_) | Who::OwningGroup | Who::Group(_) => {}
            }
        }
        changed
    }

    /// The component as it would be without its list and with a mode.
    pub(super) fn without_list(&self, mode: u32) -> Self {
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
    /// Whether the subject gets through all components.
    pub(crate) fn admits(&self, subject: &Subject<'_>) -> bool {
        self.components.iter().all(|component| component.admits(subject))
    }

    pub(super) fn first_closed_to_world(&self) -> Option<&Component> {
        let world = Subject::anybody();
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

    pub(super) fn doubt(&mut self, path: &Path, cause: &str) {
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
