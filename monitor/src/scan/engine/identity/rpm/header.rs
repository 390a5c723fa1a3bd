//! A package's header as the database keeps it: an index of tags, then their data (rpm's manual, "RPM V4 Package
//! format").
//!
//! Invariant: total; what the index says is bounded by the data that is there. Called by `rpm`.

use std::collections::BTreeSet;

use super::{size, word};
use crate::scan::engine::identity::digest::Expected;

const FILE_DIGESTS: u32 = 1035;
const DIRECTORY_OF: u32 = 1116;
const BASE_NAMES: u32 = 1117;
const DIRECTORIES: u32 = 1118;
const DIGEST_ALGORITHM: u32 = 5011;
/// As in RFC 9580, which rpm follows.
const SHA256: u32 = 8;
/// What it is where the tag is missing.
const MD5: u32 = 1;
const ENTRY: usize = 16;
/// Directories of a package that are looked at; the largest packages have some thousands.
const MAX_DIRECTORIES: usize = 100_000;

struct Header<'b> {
    index: &'b [u8],
    data: &'b [u8],
}

impl<'b> Header<'b> {
    fn new(bytes: &'b [u8]) -> Option<Self> {
        let (entries, length) = (word(bytes, 0)?, word(bytes, 4)?);
        let index = size(entries).checked_mul(ENTRY)?;
        let (index, rest) = bytes.get(8..)?.split_at_checked(index)?;
        Some(Self {
            index,
            data: rest.get(..size(length))?,
        })
    }

    /// A tag's data up to the end of all data, and how many values there are.
    fn tag(&self, tag: u32) -> Option<(&'b [u8], usize)> {
        let entry = self
            .index
            .chunks_exact(ENTRY)
            .find(|entry| word(entry, 0) == Some(tag))?;
        Some((self.data.get(size(word(entry, 8)?)..)?, size(word(entry, 12)?)))
    }

    /// Not kept: a header of zeros alone would have sixteen million of them.
    fn texts(&self, tag: u32) -> Option<impl Iterator<Item = &'b [u8]>> {
        let (data, count) = self.tag(tag)?;
        Some(data.split(|byte| *byte == 0).take(count))
    }

    fn number(&self, tag: u32, at: usize) -> Option<u32> {
        let (data, count) = self.tag(tag)?;
        word(data, at.checked_mul(4).filter(|_| at < count)?)
    }
}

/// Calls `claim` with each of `paths` that the package has, and its digest.
pub(super) fn files(
    bytes: &[u8],
    paths: &BTreeSet<Vec<u8>>,
    claim: &mut dyn FnMut(&[u8], Expected),
) -> Option<()> {
    let header = Header::new(bytes)?;
    let digest: fn(&[u8]) -> Option<Expected> = match header.number(DIGEST_ALGORITHM, 0).unwrap_or(MD5) {
        SHA256 => Expected::sha256_in_hex,
        MD5 => Expected::md5,
        _ => return None,
    };
    let names = header.texts(BASE_NAMES)?;
    let directories: Vec<&[u8]> = header.texts(DIRECTORIES)?.take(MAX_DIRECTORIES).collect();
    let digests = header.texts(FILE_DIGESTS)?;
    let (directory_of, count) = header.tag(DIRECTORY_OF)?;
    for (number, (name, text)) in names.zip(digests).take(count).enumerate() {
        let directory = word(directory_of, number * 4).and_then(|at| directories.get(size(at)));
        let Some(directory) = directory.and_then(|path| path.strip_prefix(b"/")) else {
            continue;
        };
        let path = [directory, name].concat();
        if let (true, Some(expected)) = (paths.contains(&path), digest(text)) {
            claim(&path, expected);
        }
    }
    Some(())
}
