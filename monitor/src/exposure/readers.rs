//! From a way to the readers it lets through: everybody, members of a group, single users.
//!
//! Invariant: every kind of user whom some component tells from the others is tried, alone and in combination, up to a
//! limit that is said when it is reached. Called by `of_path`, and by `gates` for the way as it would be.

use super::way::{Subject, Way};
use crate::model::Reader;

/// Groups that are tried in combination: 2^8 tries for each user.
const MAX_GROUPS: usize = 8;

/// Users that are tried in combination with groups.
const MAX_USERS: usize = 32;

/// Who gets through.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// Widest first.
    pub(crate) readers: Vec<Reader>,
    /// Who does not, where everybody else does.
    pub(crate) excepted: Vec<Reader>,
    /// Who gets through only by being two things at once, in words.
    pub(crate) combinations: Vec<String>,
}

/// The readers that a way lets through.
pub(crate) fn readers_of(way: &Way) -> Found {
    let passes = |uid: Option<u32>, gids: &[u32]| {
        way.admits(&Subject {
            uid,
            gids,
            takes_on: None,
        })
    };
    let (uids, gids) = (way.uids(), way.gids());
    if passes(None, &[]) {
        let groups = gids.iter().filter(|gid| !passes(None, &[**gid]));
        let users = uids.iter().filter(|uid| !passes(Some(**uid), &[]));
        let groups = groups.map(|gid| Reader::Group { gid: *gid });
        return Found {
            readers: vec![Reader::World],
            excepted: groups
                .chain(users.map(|uid| Reader::User { uid: *uid }))
                .collect(),
            combinations: Vec::new(),
        };
    }
    let (groups_in, groups_out): (Vec<u32>, Vec<u32>) = gids.iter().partition(|gid| passes(None, &[**gid]));
    let (users_in, users_out): (Vec<u32>, Vec<u32>) = uids.iter().partition(|uid| passes(Some(**uid), &[]));
    let groups = groups_in.iter().map(|gid| Reader::Group { gid: *gid });
    let users = users_in.iter().map(|uid| Reader::User { uid: *uid });
    Found {
        readers: groups.chain(users).collect(),
        excepted: Vec::new(),
        combinations: combinations(&users_out, &groups_out, &passes),
    }
}

/// Users that pass none of the single tests and still pass as members of one or more groups.
fn combinations(uids: &[u32], gids: &[u32], passes: &dyn Fn(Option<u32>, &[u32]) -> bool) -> Vec<String> {
    if gids.len() > MAX_GROUPS || uids.len() > MAX_USERS {
        return vec![format!(
            "{} users and {} groups have rights on the way: not every combination was tried",
            uids.len(),
            gids.len()
        )];
    }
    let mut found: Vec<(Option<u32>, u32)> = Vec::new();
    let mut sets: Vec<u32> = (1..1_u32 << gids.len()).collect();
    sets.sort_by_key(|set| set.count_ones());
    let users = std::iter::once(None).chain(uids.iter().copied().map(Some));
    for uid in users {
        for set in &sets {
            // Smaller sets come first: what contains one that passed says nothing new.
            let known = found
                .iter()
                .any(|(who, passed)| (who.is_none() || *who == uid) && passed & set == *passed);
            if !known && passes(uid, &members(gids, *set)) {
                found.push((uid, *set));
            }
        }
    }
    found
        .into_iter()
        .map(|(uid, set)| in_words(uid, &members(gids, set)))
        .collect()
}

fn members(gids: &[u32], set: u32) -> Vec<u32> {
    let chosen = gids.iter().zip(0..).filter(|(_, bit)| set & (1 << bit) != 0);
    chosen.map(|(gid, _)| *gid).collect()
}

fn in_words(uid: Option<u32>, gids: &[u32]) -> String {
    let user = uid.map_or_else(|| "a user".to_owned(), |uid| format!("user {uid}"));
    let plural = if gids.len() == 1 { "" } else { "s" };
    let gids: Vec<String> = gids.iter().map(u32::to_string).collect();
    format!(
        "{user} gets through as a member of group{plural} {}",
        gids.join(" and ")
    )
}
