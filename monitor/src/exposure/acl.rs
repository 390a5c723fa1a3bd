//! POSIX access control lists as the kernel hands them out.
//!
//! Invariant: parsing is total and bounded; evaluating follows `posix_acl_permission` (`fs/posix_acl.c`). Format of the
//! attribute `system.posix_acl_access`: `include/uapi/linux/posix_acl_xattr.h`, little endian. Used by `way`.

/// The attribute's name.
pub(super) const ATTRIBUTE: &str = "system.posix_acl_access";

/// More entries than ext4 or xfs store in one list (xfs: about 5461).
const MAX_ENTRIES: usize = 8192;

/// The largest attribute that is read.
pub(super) const MAX_BYTES: usize = HEADER_BYTES + MAX_ENTRIES * ENTRY_BYTES;

const VERSION: u32 = 2;
const HEADER_BYTES: usize = 4;
const ENTRY_BYTES: usize = 8;

/// Whom an entry is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Who {
    Owner,
    User(u32),
    OwningGroup,
    Group(u32),
    Mask,
    Other,
}

/// One entry: whom it is for, and `rwx` as in a mode.
pub(super) type Entry = (Who, u16);

/// An access control list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Acl {
    pub(super) entries: Vec<Entry>,
}

impl Acl {
    /// Parses the attribute; `None` when it is not in the format.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let (version, mut rest) = bytes.split_first_chunk::<HEADER_BYTES>()?;
        if u32::from_le_bytes(*version) != VERSION || bytes.len() > MAX_BYTES {
            return None;
        }
        let mut entries = Vec::new();
        while let Some((entry, after)) = rest.split_first_chunk::<ENTRY_BYTES>() {
            entries.push(parse_entry(*entry)?);
            rest = after;
        }
        rest.is_empty().then_some(Self { entries })
    }

    /// Whether the list gives all of `wanted` to a user who is not the owner.
    pub(super) fn grants(
        &self,
        uid: Option<u32>,
        in_group: impl Fn(u32) -> bool,
        owning_gid: u32,
        wanted: u16,
    ) -> bool {
        let mask = self
            .entries
            .iter()
            .find(|(who, _)| *who == Who::Mask)
            .map_or(0o7, |(_, bits)| *bits);
        let allows = |bits: u16| bits & wanted == wanted;
        let named = self
            .entries
            .iter()
            .find(|(who, _)| uid.is_some_and(|uid| *who == Who::User(uid)));
        if let Some((_, bits)) = named {
            return allows(bits & mask);
        }
        let mut met = false;
        for (who, bits) in &self.entries {
            let mine = match who {
                Who::OwningGroup => in_group(owning_gid),
                Who::Group(gid) => in_group(*gid),
                Who::Owner | Who::User(_) | Who::Mask | Who::Other => false,
            };
            met |= mine;
            // The first group entry that gives enough decides, under the mask.
            if mine && allows(*bits) {
                return allows(mask);
            }
        }
        let other = self.entries.iter().find(|(who, _)| *who == Who::Other);
        !met && other.is_some_and(|(_, bits)| allows(*bits))
    }
}

fn parse_entry([tag0, tag1, bits0, bits1, id @ ..]: [u8; ENTRY_BYTES]) -> Option<Entry> {
    let id = u32::from_le_bytes(id);
    let who = match u16::from_le_bytes([tag0, tag1]) {
        0x01 => Who::Owner,
        0x02 => Who::User(id),
        0x04 => Who::OwningGroup,
        0x08 => Who::Group(id),
        0x10 => Who::Mask,
        0x20 => Who::Other,
        _ => return None,
    };
    Some((who, u16::from_le_bytes([bits0, bits1]) & 0o7))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The attribute's bytes, for tests that set it on a file.
    pub(in crate::exposure) fn bytes_of(entries: &[Entry]) -> Vec<u8> {
        let mut bytes = VERSION.to_le_bytes().to_vec();
        for (who, bits) in entries {
            let (tag, id) = match who {
                Who::Owner => (0x01_u16, u32::MAX),
                Who::User(id) => (0x02, *id),
                Who::OwningGroup => (0x04, u32::MAX),
                Who::Group(id) => (0x08, *id),
                Who::Mask => (0x10, u32::MAX),
                Who::Other => (0x20, u32::MAX),
            };
            bytes.extend(tag.to_le_bytes());
            bytes.extend(bits.to_le_bytes());
            bytes.extend(id.to_le_bytes());
        }
        bytes
    }

    #[test]
    fn a_list_comes_back_as_it_was_written() {
        let entries = [
            (Who::Owner, 7),
            (Who::User(1000), 5),
            (Who::OwningGroup, 0),
            (Who::Group(50), 4),
            (Who::Mask, 5),
            (Who::Other, 0),
        ];
        assert_eq!(Acl::parse(&bytes_of(&entries)).unwrap().entries, entries);
    }

    #[test]
    fn what_is_no_list_is_refused() {
        let good = bytes_of(&[(Who::Owner, 7)]);
        for bad in [
            &[][..],
            &[2, 0, 0],
            &[1, 0, 0, 0],
            &good[..good.len() - 1],
            &[&good[..], &[0x40, 0, 7, 0, 0, 0, 0, 0]].concat(),
            &[&good[..4], &good[4..].repeat(MAX_ENTRIES + 1)].concat(),
        ] {
            assert_eq!(Acl::parse(bad), None, "{} bytes", bad.len());
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(proptest::arbitrary::any::<u8>(), 0..200)) {
            let entries = Acl::parse(&bytes).map_or(0, |acl| acl.entries.len());
            proptest::prop_assert!(entries * ENTRY_BYTES <= bytes.len());
        }
    }
}
