//! User and group ids that a user may take on: `/etc/subuid` and `/etc/subgid` (subuid(5)).
//!
//! Invariant: bounded and total; a malformed line is passed over, as newuidmap(1) does. Used by `people` and `way`.

use std::collections::BTreeMap;

/// More ranges than a file of the largest size that is read has.
const MAX_RANGES: usize = 65_536;

/// Ranges of ids.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct SubordinateIds {
    pub(super) uids: Vec<Range>,
    pub(super) gids: Vec<Range>,
}

/// The first id and how many.
pub(super) type Range = (u32, u32);

impl SubordinateIds {
    pub(super) fn has_uid(&self, uid: u32) -> bool {
        contain(&self.uids, uid)
    }

    pub(super) fn has_gid(&self, gid: u32) -> bool {
        contain(&self.gids, gid)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.uids.is_empty() && self.gids.is_empty()
    }
}

fn contain(ranges: &[Range], id: u32) -> bool {
    // Root's id is never handed out, whatever a file says.
    id != 0
        && ranges
            .iter()
            .any(|(first, count)| id.wrapping_sub(*first) < *count && id >= *first)
}

/// `name:first:count` by name; a user id may stand for the name.
pub(super) fn parse(text: &[u8]) -> BTreeMap<&[u8], Vec<Range>> {
    let mut owners: BTreeMap<&[u8], Vec<Range>> = BTreeMap::new();
    for line in text.split(|byte| *byte == b'\n').take(MAX_RANGES) {
        let mut fields = line.split(|byte| *byte == b':');
        let (Some(owner), Some(first), Some(count), None) =
            (fields.next(), fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        if let (Some(first), Some(count)) = (number(first), number(count)) {
            owners.entry(owner).or_default().push((first, count));
        }
    }
    owners
}

/// A decimal number.
pub(super) fn number(text: &[u8]) -> Option<u32> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_ends_where_it_says() {
        let ids = SubordinateIds {
            uids: parse(b"#x\nann:200000:65536\nann:0:1\nbob:1:2:3\nann:4294967290:5\n")[&b"ann"[..]].clone(),
            gids: Vec::new(),
        };
        for (uid, has) in [
            (0, false),
            (1, false),
            (199_999, false),
            (200_000, true),
            (265_535, true),
            (265_536, false),
            (u32::MAX - 5, true),
            (u32::MAX, false),
        ] {
            assert_eq!(ids.has_uid(uid), has, "{uid}");
        }
        assert!(!ids.has_gid(200_000));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(proptest::arbitrary::any::<u8>(), 0..300)) {
            let owners = parse(&bytes);
            let ids = SubordinateIds { uids: owners.into_values().flatten().collect(), gids: Vec::new() };
            proptest::prop_assert!(!ids.has_uid(0));
        }
    }
}
