//! Reading a tar: 512-byte headers of every known dialect (v7, ustar, pax, GNU), and what they describe.
//!
//! POSIX.1-2017 pax(1) and GNU tar's manual, "Basic Tar Format". Invariant: an entry's name, size and mode are what the
//! engines that unpack layers take them for; extended headers are bounded; a header whose checksum is wrong ends the
//! archive with a fault, since nothing after it can be found. The `tar` crate keeps a GNU long name or a pax header
//! whole, whatever size it claims; that is why this reader exists.

use std::io::Read;

use super::header::{BLOCK, Extended, c_string, field, is_header, number, pax, short_name};
use super::{Fault, MAX_NAME, Stream, fill};

/// Bytes of an extended header that are read; the rest of a longer one is passed over.
const MAX_EXTENDED: usize = 64 << 10;
/// Entries of one archive that are read.
const MAX_ENTRIES: u64 = 20_000_000;

/// What an entry is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::scan) enum Kind {
    File,
    Directory,
    HardLink,
    Symlink,
    CharacterDevice { is_null: bool },
    BlockDevice,
    Fifo,
    Other,
}

/// One entry.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::scan) struct Entry {
    /// The name as it stands there, at most [`MAX_NAME`] bytes.
    pub(in crate::scan) name: Vec<u8>,
    /// Whether it was longer.
    pub(in crate::scan) cut: bool,
    pub(in crate::scan) kind: Kind,
    /// Where a link leads, at most [`MAX_NAME`] bytes.
    pub(in crate::scan) link: Vec<u8>,
    /// Bytes of content that follow.
    pub(in crate::scan) size: u64,
    /// Permission bits, owner and group.
    pub(in crate::scan) owner: (u32, u64, u64),
    /// Where the content begins in the archive.
    pub(in crate::scan) offset: u64,
}

/// See the module.
pub(in crate::scan) struct Tar<'r> {
    reader: &'r mut dyn Stream,
    /// Content of the current entry that was not read.
    left: u64,
    padding: u64,
    at: u64,
    entries: u64,
}

impl<'r> Tar<'r> {
    pub(in crate::scan) fn new(reader: &'r mut dyn Stream) -> Self {
        Self {
            reader,
            left: 0,
            padding: 0,
            at: 0,
            entries: 0,
        }
    }

    /// The next entry; nothing at the end.
    pub(in crate::scan) fn next(&mut self) -> Result<Option<Entry>, Fault> {
        let mut extended = Extended::default();
        while let Some(block) = self.header()? {
            self.entries += 1;
            if self.entries > MAX_ENTRIES {
                return Err(Fault::Entries);
            }
            let size = number(field(&block, 124, 12)).ok_or(Fault::Damaged)?;
            match block.get(156).copied().unwrap_or(0) {
                b'L' => {
                    let (text, cut) = self.extended(size)?;
                    extended.cut |= cut;
                    extended.name = Some(c_string(&text).to_vec());
                }
                b'K' => extended.link = Some(c_string(&self.extended(size)?.0).to_vec()),
                b'x' => {
                    let (text, cut) = self.extended(size)?;
                    extended.cut |= cut;
                    pax(&text, &mut extended)?;
                }
                // Defaults for all that follows; no engine's layers have names or sizes there.
                b'g' => drop(self.extended(size)?),
                kind => return self.entry(&block, kind, size, extended).map(Some),
            }
        }
        Ok(None)
    }

    /// The content of the entry that `next` gave last.
    pub(in crate::scan) fn content(&mut self) -> Content<'_, 'r> {
        Content(self)
    }

    fn entry(&mut self, block: &[u8], kind: u8, size: u64, extended: Extended) -> Result<Entry, Fault> {
        let mut name = extended.name.unwrap_or_else(|| short_name(block));
        let mut kind = match kind {
            0 | b'0' | b'7' | b'S' => Kind::File,
            b'1' => Kind::HardLink,
            b'2' => Kind::Symlink,
            b'3' => Kind::CharacterDevice {
                is_null: number(field(block, 329, 8)).unwrap_or(0) == 0
                    && number(field(block, 337, 8)).unwrap_or(0) == 0,
            },
            b'4' => Kind::BlockDevice,
            b'5' => Kind::Directory,
            b'6' => Kind::Fifo,
            _ => Kind::Other,
        };
        if kind == Kind::File && name.last() == Some(&b'/') {
            kind = Kind::Directory;
        }
        let cut = extended.cut || name.len() > MAX_NAME;
        name.truncate(MAX_NAME);
        let mut link = extended
            .link
            .unwrap_or_else(|| c_string(field(block, 157, 100)).to_vec());
        link.truncate(MAX_NAME);
        // Old GNU sparse entries have their map in further blocks before the content.
        if block.get(156) == Some(&b'S') && block.get(482).is_some_and(|more| *more != 0) {
            self.sparse_map()?;
        }
        let size = match kind {
            // These have none, whatever their header says (pax(1)).
            Kind::HardLink
            | Kind::Symlink
            | Kind::CharacterDevice { .. }
            | Kind::BlockDevice
            | Kind::Fifo => 0,
            Kind::File | Kind::Directory | Kind::Other => extended.size.unwrap_or(size),
        };
        self.expect(size)?;
        let identity = |at| number(field(block, at, 8)).unwrap_or(0);
        let mode = u32::try_from(identity(100) & 0o7777).unwrap_or(0);
        Ok(Entry {
            name,
            cut,
            kind,
            link,
            size,
            owner: (mode, identity(108), identity(116)),
            offset: self.at,
        })
    }

    /// The next block that is no zeros; nothing at the archive's end.
    fn header(&mut self) -> Result<Option<[u8; BLOCK]>, Fault> {
        self.finish()?;
        let mut empty = 0;
        loop {
            let mut block = [0; BLOCK];
            let filled = fill(self.reader, &mut block)?;
            self.at += u64::try_from(filled).unwrap_or(0);
            if filled == 0 {
                return Ok(None);
            }
            if block.iter().all(|byte| *byte == 0) {
                empty += 1;
                if empty == 2 || filled < BLOCK {
                    return Ok(None);
                }
                continue;
            }
            if filled < BLOCK || !is_header(&block) {
                return Err(Fault::Damaged);
            }
            return Ok(Some(block));
        }
    }

    fn sparse_map(&mut self) -> Result<(), Fault> {
        let mut block = [0; BLOCK];
        loop {
            if fill(self.reader, &mut block)? < BLOCK {
                return Err(Fault::Damaged);
            }
            self.at += u64::try_from(BLOCK).unwrap_or(0);
            if block.get(504).is_none_or(|more| *more == 0) {
                return Ok(());
            }
        }
    }

    /// Content of `size` bytes follows.
    fn expect(&mut self, size: u64) -> Result<(), Fault> {
        let block = u64::try_from(BLOCK).unwrap_or(1);
        if size > u64::MAX / 4 {
            return Err(Fault::Damaged);
        }
        self.left = size;
        self.padding = size.next_multiple_of(block) - size;
        Ok(())
    }

    /// The content of an extended header, and whether it was cut.
    fn extended(&mut self, size: u64) -> Result<(Vec<u8>, bool), Fault> {
        self.expect(size)?;
        let most = usize::try_from(size).unwrap_or(usize::MAX).min(MAX_EXTENDED);
        let mut text = vec![0; most];
        if fill(&mut self.content(), &mut text)? < most {
            return Err(Fault::Damaged);
        }
        Ok((text, self.left > 0))
    }

    /// Passes over what is left of the current entry.
    fn finish(&mut self) -> Result<(), Fault> {
        let rest = self.left + self.padding;
        self.reader.skip(rest)?;
        self.at += rest;
        (self.left, self.padding) = (0, 0);
        Ok(())
    }
}

/// One entry's content.
pub(in crate::scan) struct Content<'t, 'r>(&'t mut Tar<'r>);

impl Read for Content<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let most = usize::try_from(self.0.left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let read = self.0.reader.read(buffer.get_mut(..most).unwrap_or_default())?;
        if read == 0 && most > 0 {
            return Err(Fault::Damaged.into());
        }
        let count = u64::try_from(read).unwrap_or(0);
        self.0.left -= count;
        self.0.at += count;
        Ok(read)
    }
}

impl Stream for Content<'_, '_> {}
