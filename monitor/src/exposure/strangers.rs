//! Who of those that get to a file exists and is neither the store's owner nor root's equal: whom an alert is about.
//!
//! Invariant: whoever cannot be told to be the owner's or root's equal is a stranger. Called by `Surroundings::of`.

use std::collections::BTreeSet;

use super::people::Person;
use super::surroundings::Surroundings;
use super::way::Way;
use crate::model::{Bypass, Means, Reader};

impl Surroundings {
    /// Who of all exists and is neither the owner nor root's equal.
    pub(super) fn exposed_to(
        &self,
        readers: &[Reader],
        bypasses: &[Bypass],
        way: &Way,
        owner: u32,
    ) -> Vec<Reader> {
        let mut found: BTreeSet<Reader> = readers.iter().cloned().collect();
        found.extend(
            bypasses
                .iter()
                .filter(|one| counts(one))
                .map(|one| one.reader.clone()),
        );
        if found.contains(&Reader::World) {
            return vec![Reader::World];
        }
        found.extend(
            self.people
                .admitted(way)
                .map(|person| Reader::User { uid: person.uid }),
        );
        let equals = self.equals_of_root(bypasses);
        let is_equal = |person: &Person| {
            let by_group = |gid: &u32| equals.contains(&Reader::Group { gid: *gid });
            equals.contains(&Reader::User { uid: person.uid }) || person.gids.iter().any(by_group)
        };
        let is_owners = |person: &Person| owner != 0 && person.uid == owner;
        let belongs = |uid: u32| {
            let mut owners = self.people.persons.iter().filter(|person| is_owners(person));
            owners.any(|person| person.uid == uid || person.takes_on.has_uid(uid))
                || (owner != 0 && uid == owner)
        };
        let excepted = |person: &Person| is_equal(person) || is_owners(person);
        let counts = |reader: &Reader| match reader {
            Reader::World => true,
            Reader::Group { gid } => !equals.contains(reader) && self.people.has_members(*gid, &excepted),
            Reader::User { uid } => {
                let mut persons = self.people.persons.iter().filter(|person| person.uid == *uid);
                !belongs(*uid)
                    && !equals.contains(reader)
                    && !persons.any(is_equal)
                    && self.people.has_user(*uid)
            }
        };
        let mut exposed: Vec<Reader> = found.into_iter().filter(counts).collect();
        // A group's members need not be told one by one.
        let groups: Vec<u32> = exposed.iter().filter_map(group_of).collect();
        exposed.retain(|reader| match reader {
            Reader::World | Reader::Group { .. } => true,
            Reader::User { uid } => {
                let mut persons = self.people.persons.iter().filter(|person| person.uid == *uid);
                !persons.any(|person| person.gids.iter().any(|gid| groups.contains(gid)))
            }
        });
        exposed
    }

    fn equals_of_root(&self, bypasses: &[Bypass]) -> BTreeSet<Reader> {
        let everywhere = self
            .sockets
            .iter()
            .filter(|open| open.owner_uid == 0)
            .map(|open| &open.bypass);
        let here = everywhere.chain(bypasses);
        // Who can run a program with capabilities can do what the program does, which is not all.
        let whole = |one: &&Bypass| one.root_equivalent && one.reader != Reader::World;
        here.filter(whole).map(|one| one.reader.clone()).collect()
    }
}

fn group_of(reader: &Reader) -> Option<u32> {
    match reader {
        Reader::Group { gid } => Some(*gid),
        Reader::World | Reader::User { .. } => None,
    }
}

/// Whether a bypass exposes: root's equals are told apart, but everybody is nobody's equal. What a program with
/// capabilities does for everybody is told, and is not said to show the file.
pub(super) fn counts(bypass: &Bypass) -> bool {
    let is_world = bypass.reader == Reader::World;
    (!bypass.root_equivalent || is_world) && !(bypass.by == Means::Capability && is_world)
}
