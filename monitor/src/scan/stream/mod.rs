//! Archives as streams: tar, zip, gzip, zstd, one entry after the other in bounded memory.
//!
//! Invariant: nothing here seeks back, allocates by a length that the input names, or decodes more than [`decode::Limit`]
//! allows; a name is at most [`MAX_NAME`] bytes; every fault has a kind and ends its own archive only. Readers of the
//! common crates keep a long name whole, however long (`tar`), or refuse a zip of unknown lengths (`zip`), so the framing
//! is read here and the decoders are theirs. Used by `engine` for archives in layers and by `archive` for images.

pub(super) mod ahead;
pub(super) mod decode;
mod header;
pub(super) mod limit;
pub(super) mod peek;
pub(super) mod section;
pub(super) mod tar;
#[cfg(test)]
pub(super) mod tests;
pub(super) mod zip;

use std::io::Read;

use super::summary::ProblemKind;

/// The longest name that is kept; what is longer is cut and reported (`PATH_MAX` of Linux).
pub(super) const MAX_NAME: usize = 4096;

/// Why an archive could not be read on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum Fault {
    /// It is damaged, cut or of an unknown form.
    #[error("the archive is damaged or cut")]
    Damaged,
    /// It unpacks to more than it may.
    #[error("the archive unpacks to more than it may")]
    Bomb,
    /// It has more entries than are read.
    #[error("the archive has too many entries")]
    Entries,
    /// The file below could not be read.
    #[error("the archive could not be read")]
    Read(Option<i32>),
}

impl Fault {
    /// What the summary calls it.
    pub(super) fn problem(self) -> ProblemKind {
        match self {
            Self::Damaged => ProblemKind::Archive,
            Self::Bomb => ProblemKind::Bomb,
            Self::Entries => ProblemKind::Entries,
            Self::Read(_) => ProblemKind::Read,
        }
    }

    /// The system's error number, if it was the system's refusal.
    pub(super) fn errno(self) -> Option<i32> {
        match self {
            Self::Read(errno) => errno,
            Self::Damaged | Self::Bomb | Self::Entries => None,
        }
    }
}

impl From<Fault> for std::io::Error {
    fn from(fault: Fault) -> Self {
        Self::other(fault)
    }
}

impl From<std::io::Error> for Fault {
    /// What a decoder says of its input is damage; what the system says keeps its number.
    fn from(error: std::io::Error) -> Self {
        if let Some(fault) = error.get_ref().and_then(|inner| inner.downcast_ref::<Self>()) {
            return *fault;
        }
        match error.raw_os_error() {
            Some(errno) => Self::Read(Some(errno)),
            None => Self::Damaged,
        }
    }
}

/// A reader that can pass over bytes faster than by reading them, on any thread.
pub(super) trait Stream: Read + Send {
    /// Passes over `count` bytes; the end of the input before that is a fault.
    fn skip(&mut self, count: u64) -> Result<(), Fault> {
        skip_by_reading(self, count)
    }
}

pub(super) fn skip_by_reading(reader: &mut (impl Read + ?Sized), mut count: u64) -> Result<(), Fault> {
    let mut scratch = [0; 16 << 10];
    while count > 0 {
        let most = usize::try_from(count).unwrap_or(usize::MAX).min(scratch.len());
        let room = scratch.get_mut(..most).unwrap_or_default();
        match reader.read(room) {
            Ok(0) => return Err(Fault::Damaged),
            Ok(read) => count -= u64::try_from(read).unwrap_or(0),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Fills `buffer` as far as the input goes; how many bytes there were.
pub(super) fn fill(reader: &mut (impl Read + ?Sized), buffer: &mut [u8]) -> Result<usize, Fault> {
    let mut filled = 0;
    while let Some(room) = buffer.get_mut(filled..).filter(|room| !room.is_empty()) {
        match reader.read(room) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(filled)
}

/// What a file's first bytes say it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Magic {
    Tar,
    Zip,
    Gzip,
    Zstd,
}

/// How many bytes [`magic`] looks at.
pub(super) const MAGIC_BYTES: usize = 512;

/// Judges a file's first bytes.
pub(super) fn magic(head: &[u8]) -> Option<Magic> {
    if head.starts_with(&[0x1f, 0x8b, 8]) {
        Some(Magic::Gzip)
    } else if head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        Some(Magic::Zstd)
    } else if head.starts_with(b"PK\x03\x04") {
        Some(Magic::Zip)
    } else if header::is_header(head) {
        Some(Magic::Tar)
    } else {
        None
    }
}

/// A path as it will lie below the root: no leading slash, no `.`, no `..`; and whether it had to be changed for that.
///
/// A `..` takes the name before it and stops at the root, which is what engines make of such names.
pub(super) fn below_root(name: &[u8]) -> (Vec<u8>, bool) {
    let mut clean: Vec<&[u8]> = Vec::new();
    let mut unsafe_name = name.first() == Some(&b'/');
    for component in name.split(|byte| *byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." => {
                unsafe_name = true;
                clean.pop();
            }
            name => clean.push(name),
        }
    }
    (clean.join(&b'/'), unsafe_name)
}
