//! The parts of an image outside a store, by name: files below an OCI layout, or entries of a tar that may be packed.
//!
//! Invariant: a name leads nowhere but into the layout; a packed tar is decoded from its beginning again only when a
//! part lies before the last one, a bounded number of times; the index of a tar is bounded. Used by `archive`.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags, ResolveFlags};

use super::super::file::LayerFile;
use super::super::shape::Layout;
use super::super::stream::decode::decoder;
use super::super::stream::limit::{Count, Limit};
use super::super::stream::section::Section;
use super::super::stream::{MAGIC_BYTES, Magic, Stream, fill, magic};
use super::super::summary::{ProblemKind, ScanSummary};
use super::index::{Index, Part};

/// The largest document that is read.
pub(super) const MAX_DOCUMENT: u64 = 8 << 20;
/// How often a packed archive is decoded again from its beginning.
const MAX_RESTARTS: usize = 128;
/// See the module.
pub(super) enum Blobs<'f> {
    /// A directory with an OCI layout.
    Layout(OwnedFd),
    /// An image archive; `Magic` is how it is packed.
    Tar {
        file: &'f LayerFile,
        size: u64,
        packed: Option<Magic>,
        index: Index,
    },
    /// One layer alone, of that length.
    Single(&'f LayerFile, u64),
}

/// Whether a directory is an OCI layout (OCI image spec, image-layout.md).
pub(super) fn is_layout(directory: &File) -> bool {
    ["oci-layout", "index.json"]
        .iter()
        .all(|name| open_below(directory.as_fd(), name.as_bytes()).is_some())
}

fn open_below(directory: impl AsFd, name: &[u8]) -> Option<File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let file = File::from(rustix::fs::openat2(directory, name, flags, Mode::empty(), resolve).ok()?);
    file.metadata().ok().filter(std::fs::Metadata::is_file)?;
    Some(file)
}

/// How a file is packed, and whether a tar is in it.
fn packing(file: &LayerFile, size: u64) -> Option<(Option<Magic>, bool)> {
    let mut head = [0; MAGIC_BYTES];
    let filled = file.read_at(&mut head, 0).ok()?;
    match magic(head.get(..filled)?) {
        Some(Magic::Tar) => Some((None, true)),
        Some(packing @ (Magic::Gzip | Magic::Zstd)) => {
            let read = Count::default();
            let mut decoded = decoder(packing, Section::new(file, 0, size), &read, Limit::LAYER).ok()??;
            let filled = fill(&mut *decoded, &mut head).ok()?;
            Some((Some(packing), magic(head.get(..filled)?) == Some(Magic::Tar)))
        }
        Some(Magic::Zip) | None => None,
    }
}

/// Whether a file is a layer: a tar, packed or not.
pub(super) fn is_layer(file: &LayerFile, size: u64) -> bool {
    matches!(packing(file, size), Some((_, true)))
}

impl<'f> Blobs<'f> {
    /// The parts of an image archive; nothing if it is none.
    pub(super) fn of_archive(
        file: &'f LayerFile,
        size: u64,
        summary: &mut ScanSummary,
    ) -> Option<(Self, Layout)> {
        let (packed, true) = packing(file, size)? else {
            return None;
        };
        let read = Count::default();
        let index = match packed {
            None => Index::read(&mut Section::new(file, 0, size), false),
            Some(packing) => {
                let decoded = decoder(packing, Section::new(file, 0, size), &read, Limit::LAYER);
                Index::read(&mut *decoded.ok()??, true)
            }
        };
        let (index, fault) = index?;
        let layout = if index.has(b"manifest.json") {
            Layout::DockerArchive
        } else if index.has(b"index.json") {
            Layout::OciArchive
        } else {
            return None;
        };
        if let Some(fault) = fault {
            summary.problem(fault.problem(), b"", fault.errno());
        }
        let blobs = Self::Tar {
            file,
            size,
            packed,
            index,
        };
        Some((blobs, layout))
    }

    /// A small part as a whole.
    pub(super) fn document(&self, name: &[u8]) -> Option<Vec<u8>> {
        let whole = |mut reader: &mut dyn Read| {
            let mut bytes = Vec::new();
            let read = (&mut reader)
                .take(MAX_DOCUMENT + 1)
                .read_to_end(&mut bytes)
                .ok()?;
            (u64::try_from(read).ok()? <= MAX_DOCUMENT).then_some(bytes)
        };
        match self {
            Self::Layout(directory) => whole(&mut open_below(directory, name)?),
            Self::Tar {
                file, packed, index, ..
            } => {
                let part = index.find(name)?;
                match packed {
                    None => whole(&mut Section::new(file, part.offset, part.offset + part.size)),
                    Some(_) => part.document.clone(),
                }
            }
            Self::Single(..) => None,
        }
    }

    /// Calls `take` with each of these parts as a stream, in this order.
    pub(super) fn each(&self, names: &[&[u8]], take: &mut Take<'_>) {
        match self {
            Self::Single(file, size) => take(0, Ok(&mut Section::new(file, 0, *size))),
            Self::Layout(directory) => {
                for (number, name) in names.iter().enumerate() {
                    let Some(file) = open_below(directory, name) else {
                        take(number, Err(ProblemKind::Missing));
                        continue;
                    };
                    let size = file.metadata().map_or(0, |metadata| metadata.len());
                    take(
                        number,
                        Ok(&mut Section::new(&LayerFile::new(file, size), 0, size)),
                    );
                }
            }
            Self::Tar {
                file,
                size,
                packed,
                index,
            } => {
                let parts: Vec<Option<&Part>> = names.iter().map(|name| index.find(name)).collect();
                match packed {
                    None => plain_parts(file, &parts, take),
                    Some(packing) => packed_parts(file, *size, *packing, &parts, take),
                }
            }
        }
    }
}

type Take<'t> = dyn FnMut(usize, Result<&mut dyn Stream, ProblemKind>) + 't;

fn plain_parts(file: &LayerFile, parts: &[Option<&Part>], take: &mut Take<'_>) {
    for (number, part) in parts.iter().enumerate() {
        match part {
            Some(part) => {
                let mut section = Section::new(file, part.offset, part.offset + part.size);
                take(number, Ok(&mut section));
            }
            None => take(number, Err(ProblemKind::Missing)),
        }
    }
}

fn packed_parts(file: &LayerFile, size: u64, packing: Magic, parts: &[Option<&Part>], take: &mut Take<'_>) {
    let read = Count::default();
    let mut restarts = 0;
    let mut open: Option<(Box<dyn Stream + '_>, u64)> = None;
    for (number, part) in parts.iter().enumerate() {
        let Some(part) = part else {
            take(number, Err(ProblemKind::Missing));
            continue;
        };
        let forward = open.take().filter(|(_, at)| *at <= part.offset);
        let (mut stream, at) = if let Some(forward) = forward {
            forward
        } else {
            restarts += 1;
            let begun = decoder(packing, Section::new(file, 0, size), &read, Limit::LAYER);
            match begun {
                Ok(Some(stream)) if restarts <= MAX_RESTARTS => (stream, 0),
                Ok(_) | Err(_) => {
                    take(number, Err(ProblemKind::Archive));
                    continue;
                }
            }
        };
        if let Err(fault) = stream.skip(part.offset - at) {
            take(number, Err(fault.problem()));
            continue;
        }
        let mut bounded = Bounded {
            inner: &mut *stream,
            left: part.size,
        };
        take(number, Ok(&mut bounded));
        let at = part.offset + part.size - bounded.left;
        open = Some((stream, at));
    }
}

/// The first bytes of a stream.
struct Bounded<'r> {
    inner: &'r mut dyn Stream,
    left: u64,
}

impl Read for Bounded<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.inner.read(buffer.get_mut(..most).unwrap_or_default())?;
        self.left -= u64::try_from(read).unwrap_or(0);
        Ok(read)
    }
}

impl Stream for Bounded<'_> {}
