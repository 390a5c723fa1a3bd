//! Where the parts of an image archive lie in its tar.
//!
//! Invariant: bounded in entries and in what is kept of them; names lead nowhere but to other parts, links are followed a
//! few steps; a tar with any other name in it is no image archive. Used by `blobs`.

use std::collections::BTreeMap;
use std::io::Read;

use super::super::stream::peek::Peeked;
use super::super::stream::tar::{Kind, Tar};
use super::super::stream::{Fault, Stream, below_root};
use super::blobs::MAX_DOCUMENT;

/// Entries of an image archive; one that has more is taken for a layer.
const MAX_PARTS: usize = 65_536;
/// What is kept of documents of a packed archive, all together.
const MAX_DOCUMENTS: u64 = 32 << 20;
/// How many links between names are followed: docker writes a layer that is there already as a link.
const MAX_LINKS: usize = 4;

/// Where a part lies in a tar.
#[derive(Clone, Debug, Default)]
pub(super) struct Part {
    pub(super) offset: u64,
    pub(super) size: u64,
    /// Another name.
    link: Option<Vec<u8>>,
    /// The content, where it was a document in a packed tar.
    pub(super) document: Option<Vec<u8>>,
}

/// A tar's parts.
#[derive(Debug, Default)]
pub(super) struct Index(BTreeMap<Vec<u8>, Part>);

impl Index {
    /// The parts of a tar as far as it is good; nothing if its names are not those of an image archive.
    pub(super) fn read(stream: &mut dyn Stream, keep: bool) -> Option<(Self, Option<Fault>)> {
        let mut index = Self::default();
        let mut tar = Tar::new(stream);
        let mut kept = 0;
        loop {
            let entry = match tar.next() {
                Ok(Some(entry)) => entry,
                Ok(None) => return Some((index, None)),
                Err(fault) => return Some((index, Some(fault))),
            };
            let (name, _) = below_root(&entry.name);
            if !is_image_part(&name) || index.0.len() >= MAX_PARTS {
                return None;
            }
            let mut part = Part {
                offset: entry.offset,
                size: entry.size,
                ..Part::default()
            };
            match entry.kind {
                Kind::File => {}
                Kind::HardLink => part.link = Some(below_root(&entry.link).0),
                Kind::Symlink => part.link = Some(beside(&name, &entry.link)),
                Kind::Directory
                | Kind::CharacterDevice { .. }
                | Kind::BlockDevice
                | Kind::Fifo
                | Kind::Other => continue,
            }
            if keep && entry.kind == Kind::File && entry.size <= MAX_DOCUMENT && kept < MAX_DOCUMENTS {
                let document = document(&mut tar.content());
                kept += document.as_ref().map_or(0, |_| entry.size);
                part.document = document;
            }
            index.0.insert(name, part);
        }
    }

    /// Whether there is a part of that name.
    pub(super) fn has(&self, name: &[u8]) -> bool {
        self.0.contains_key(name)
    }

    /// The part of that name, or the one that it is another name of.
    pub(super) fn find(&self, name: &[u8]) -> Option<&Part> {
        let mut name = name.to_vec();
        for _ in 0..=MAX_LINKS {
            let part = self.0.get(&name)?;
            match &part.link {
                Some(link) => name.clone_from(link),
                None => return Some(part),
            }
        }
        None
    }
}

/// The content, if it begins as JSON does.
fn document(content: &mut dyn Stream) -> Option<Vec<u8>> {
    let mut peeked = Peeked::new(content).ok()?;
    if !matches!(peeked.head().trim_ascii_start().first(), Some(b'{' | b'[')) {
        return None;
    }
    let mut bytes = Vec::new();
    peeked.read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// Where a link from `name` leads.
fn beside(name: &[u8], link: &[u8]) -> Vec<u8> {
    let directory = name.iter().rposition(|byte| *byte == b'/');
    let directory = name.get(..directory.unwrap_or(0)).unwrap_or_default();
    below_root(&[directory, link].join(&b'/')).0
}

/// The names that `docker save`, `podman save` and `skopeo` write.
fn is_image_part(name: &[u8]) -> bool {
    let is_id = |part: &[u8]| part.len() == 64 && part.iter().all(u8::is_ascii_hexdigit);
    let mut parts = name.split(|byte| *byte == b'/');
    let (first, second) = (parts.next().unwrap_or_default(), parts.next());
    match (first, second) {
        (b"blobs", _) | (b"" | b"oci-layout" | b"repositories", None) => true,
        (directory, Some(_)) => is_id(directory),
        (file, None) => {
            is_id(file) || file.ends_with(b".json") || file.strip_suffix(b".tar").is_some_and(is_id)
        }
    }
}
