//! The two headers of a bolt file, of which the valid one with the higher transaction counts.
//!
//! Invariant: a header is believed only with its magic number, version and checksum; a commit writes the other one last, so
//! one of the two is always whole. Called by `Database::parse` and, to see whether a commit came in between, by `file`.

use super::page::{u32_at, u64_at};

const MAGIC: u32 = 0xED0C_DAED;
const VERSION: u32 = 2;
/// A page's own header, which stands before it.
const PAGE_HEADER: usize = 16;
/// What the checksum is of.
const SUMMED: usize = 56;

/// Page sizes that occur: an operating system's, 4 KiB to 64 KiB; bolt itself allows others.
const PAGE_SIZES: [usize; 7] = [1024, 2048, 4096, 8192, 16384, 32768, 65536];

/// The bytes at the beginning of a file in which both headers are, whatever the page size.
pub(super) const HEADERS: usize = 65536 + 4096;

/// What a header says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Meta {
    pub(super) page_size: usize,
    /// The page of the root bucket.
    pub(super) root: u64,
    /// Pages in use, the free ones in between too: none has a higher number.
    pub(super) pages: u64,
    /// The transaction that wrote it.
    pub(super) transaction: u64,
}

impl Meta {
    /// The newest whole header.
    pub(super) fn newest(bytes: &[u8]) -> Option<Self> {
        // The second is found even where the first is damaged: its place is told by the size it states itself.
        let seconds = PAGE_SIZES
            .iter()
            .filter_map(|size| Self::at(bytes, *size).filter(|meta| meta.page_size == *size));
        Self::at(bytes, 0)
            .into_iter()
            .chain(seconds)
            .max_by_key(|meta| meta.transaction)
    }

    fn at(bytes: &[u8], page: usize) -> Option<Self> {
        let meta = bytes.get(page + PAGE_HEADER..)?;
        let summed = meta.get(..SUMMED)?;
        let whole = u32_at(meta, 0)? == MAGIC
            && u32_at(meta, 4)? == VERSION
            && u64_at(meta, SUMMED)? == fnv_1a(summed);
        let page_size = usize::try_from(u32_at(meta, 8)?).ok()?;
        (whole && PAGE_SIZES.contains(&page_size)).then_some(Self {
            page_size,
            root: u64_at(meta, 16)?,
            pages: u64_at(meta, 40)?,
            transaction: u64_at(meta, 48)?,
        })
    }
}

/// FNV-1a of 64 bits (`hash/fnv` of Go).
pub(super) fn fnv_1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
