//! A page: its header and its elements.
//!
//! Invariant: pure and total; an element that leads out of its page is none. Called by `tree` and `meta`.

const HEADER: usize = 16;
const ELEMENT: usize = 16;
const BRANCH: u16 = 0x01;
const LEAF: u16 = 0x02;
/// The element's value is a bucket.
const BUCKET: u32 = 0x01;

/// What a page holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// Other pages.
    Branch,
    /// Keys and values.
    Leaf,
}

/// A page's header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Header {
    /// Its own number.
    pub(super) id: u64,
    /// Absent for pages that are no part of a tree.
    pub(super) kind: Option<Kind>,
    /// How many elements it has.
    pub(super) count: usize,
    /// How many pages that follow belong to it.
    pub(super) overflow: u64,
}

impl Header {
    /// The header at the beginning of a page.
    pub(super) fn of(page: &[u8]) -> Option<Self> {
        Some(Self {
            id: u64_at(page, 0)?,
            kind: match u16_at(page, 8)? {
                BRANCH => Some(Kind::Branch),
                LEAF => Some(Kind::Leaf),
                _ => None,
            },
            count: usize::from(u16_at(page, 10)?),
            overflow: u64::from(u32_at(page, 12)?),
        })
    }
}

/// A key of a leaf with its value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct LeafElement<'a> {
    pub(super) key: &'a [u8],
    pub(super) value: &'a [u8],
    pub(super) is_bucket: bool,
}

/// The element at a place of a leaf.
pub(super) fn leaf_element(page: &[u8], index: usize) -> Option<LeafElement<'_>> {
    let element = page.get(HEADER + index.checked_mul(ELEMENT)?..)?;
    let size = |at| usize::try_from(u32_at(element, at)?).ok();
    let (start, key, value) = (size(4)?, size(8)?, size(12)?);
    let key_end = start.checked_add(key)?;
    Some(LeafElement {
        key: element.get(start..key_end)?,
        value: element.get(key_end..key_end.checked_add(value)?)?,
        is_bucket: u32_at(element, 0)? & BUCKET != 0,
    })
}

/// The page that the element at a place of a branch leads to.
pub(super) fn branch_element(page: &[u8], index: usize) -> Option<u64> {
    let element = page.get(HEADER + index.checked_mul(ELEMENT)?..)?;
    u64_at(element, 8)
}

pub(super) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}
