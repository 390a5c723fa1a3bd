//! The users that exist: those of the host's own files, and whoever runs a process.
//!
//! Invariant: files only, no NSS, which could wait for a network; where NSS asks more than files, `is_complete` is false
//! and a group counts as one that has members. Bounded. Made for each snapshot by `Surroundings`.

use std::collections::{BTreeMap, BTreeSet};

use super::ids::{self, SubordinateIds};
use super::processes::Credentials;
use super::way::{Subject, Way};
use crate::bounded;
use crate::catalog::Host;

/// Some hosts have tens of thousands of local users.
const FILE_LIMIT: u64 = 8 << 20;
const MAX_USERS: usize = 65_536;

/// Somebody who exists.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Person {
    pub(super) uid: u32,
    pub(super) gids: Vec<u32>,
    pub(super) takes_on: SubordinateIds,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct People {
    pub(super) persons: Vec<Person>,
    /// Whether all users and groups are in the files.
    pub(super) is_complete: bool,
}

impl People {
    /// Reads the host's files; `running` are those who run processes on the host itself.
    pub(super) fn read(host: &Host, running: &BTreeSet<Credentials>) -> Self {
        let file = |name: &str| bounded::read(&host.path(name), FILE_LIMIT).unwrap_or_default();
        let (passwd, group) = (file("/etc/passwd"), file("/etc/group"));
        let (user_ranges, group_ranges) = (file("/etc/subuid"), file("/etc/subgid"));
        let mut persons = named(
            &passwd,
            &group,
            &ids::parse(&user_ranges),
            &ids::parse(&group_ranges),
        );
        persons.extend(running.iter().filter(|one| one.uid != 0).map(|one| Person {
            uid: one.uid,
            gids: one.gids.clone(),
            takes_on: SubordinateIds::default(),
        }));
        Self {
            persons,
            is_complete: asks_files_only(&file("/etc/nsswitch.conf")),
        }
    }

    /// Who of them a way lets through, as far as a component tells them from others: the rest is everybody.
    pub(super) fn admitted<'a>(&'a self, way: &'a Way) -> impl Iterator<Item = &'a Person> {
        let (uids, gids) = (way.uids(), way.gids());
        let told_apart = move |person: &Person| {
            uids.contains(&person.uid)
                || person.gids.iter().any(|gid| gids.contains(gid))
                || uids.iter().any(|uid| person.takes_on.has_uid(*uid))
                || gids.iter().any(|gid| person.takes_on.has_gid(*gid))
        };
        self.persons
            .iter()
            .filter(move |person| person.uid != 0 && told_apart(person))
            .filter(|person| way.admits(&person.subject()))
    }

    /// Whether somebody besides `excepted` is in a group, or may be.
    pub(super) fn has_members(&self, gid: u32, excepted: &dyn Fn(&Person) -> bool) -> bool {
        let mut members = self
            .persons
            .iter()
            .filter(|one| one.gids.contains(&gid) || one.takes_on.has_gid(gid));
        // No directory service hands out root's group.
        members.any(|one| one.uid != 0 && !excepted(one)) || (!self.is_complete && gid != 0)
    }

    /// Whether a user id is somebody's.
    pub(super) fn has_user(&self, uid: u32) -> bool {
        let mut persons = self.persons.iter();
        persons.any(|one| one.uid == uid || one.takes_on.has_uid(uid)) || !self.is_complete
    }
}

impl Person {
    pub(super) fn subject(&self) -> Subject<'_> {
        Subject {
            uid: Some(self.uid),
            gids: &self.gids,
            takes_on: Some(&self.takes_on).filter(|ids| !ids.is_empty()),
        }
    }
}

/// Below it are the accounts of the system itself (login.defs(5), `UID_MIN`).
const FIRST_PERSON: u32 = 1000;

fn is_no_login(shell: &[u8]) -> bool {
    let name = shell.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    [&b"nologin"[..], b"false", b"sync", b"halt", b"shutdown"].contains(&name)
}

type Ranges<'a> = BTreeMap<&'a [u8], Vec<ids::Range>>;

/// `name:password:uid:gid:…`, with the groups that name the user.
fn named(passwd: &[u8], group: &[u8], of_users: &Ranges<'_>, of_groups: &Ranges<'_>) -> Vec<Person> {
    let groups = groups_of(group);
    let mut persons = Vec::new();
    for line in passwd.split(|byte| *byte == b'\n').take(MAX_USERS) {
        let mut fields = line.split(|byte| *byte == b':');
        let (Some(name), Some(uid), Some(gid)) = (fields.next(), fields.nth(1), fields.next()) else {
            continue;
        };
        let (Some(number), Some(gid)) = (ids::number(uid), ids::number(gid)) else {
            continue;
        };
        // Accounts such as sync and operator of some distributions: root's group, and nobody to log in.
        let shell = fields.nth(2).unwrap_or_default();
        if number != 0 && gid == 0 && number < FIRST_PERSON && is_no_login(shell) {
            continue;
        }
        let mut gids = vec![gid];
        gids.extend(groups.get(name).into_iter().flatten());
        let ranges = |of: &Ranges<'_>| {
            [of.get(name), of.get(uid)]
                .into_iter()
                .flatten()
                .flatten()
                .copied()
                .collect()
        };
        persons.push(Person {
            uid: number,
            gids,
            takes_on: SubordinateIds {
                uids: ranges(of_users),
                gids: ranges(of_groups),
            },
        });
    }
    persons
}

/// `name:password:gid:user,user`, turned around.
fn groups_of(group: &[u8]) -> BTreeMap<&[u8], Vec<u32>> {
    let mut groups: BTreeMap<&[u8], Vec<u32>> = BTreeMap::new();
    for line in group.split(|byte| *byte == b'\n').take(MAX_USERS) {
        let mut fields = line.split(|byte| *byte == b':').skip(2);
        let (Some(gid), Some(members)) = (fields.next().and_then(ids::number), fields.next()) else {
            continue;
        };
        for member in members
            .split(|byte| *byte == b',')
            .filter(|name| !name.is_empty())
        {
            groups.entry(member).or_default().push(gid);
        }
    }
    groups
}

/// Whether nsswitch.conf(5) asks nothing but files for users and groups; without the file glibc does just that.
fn asks_files_only(text: &[u8]) -> bool {
    let text = String::from_utf8_lossy(text);
    let mut sources = text
        .lines()
        .filter_map(|line| line.split_once(':'))
        .filter(|(database, _)| ["passwd", "group"].contains(&database.trim()))
        .flat_map(|(_, sources)| sources.split_whitespace())
        .take_while(|source| !source.starts_with('#'));
    sources
        .all(|source| ["files", "compat", "systemd", "altfiles"].contains(&source) || source.starts_with('['))
}

#[cfg(test)]
mod tests;
