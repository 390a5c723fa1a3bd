//! Reading a zip as a stream: local headers one after the other (APPNOTE.TXT 4.3.7), stored and deflated members.
//!
//! Invariant: the central directory is not asked, so that a member which it hides is read too, and nothing seeks. A
//! member of unknown length is read where its deflate stream ends it; a stored one of unknown length cannot be told
//! from what follows and ends the archive with a fault, as APPNOTE forbids it. Used for jar, war, zip in layers.

use std::io::{BufRead, BufReader, Read};

use flate2::bufread::DeflateDecoder;

use super::limit::{Count, Counted, Limit, Limited};
use super::{Fault, MAX_NAME, fill, skip_by_reading};

const LOCAL: [u8; 4] = *b"PK\x03\x04";
const DESCRIPTOR: &[u8] = b"PK\x07\x08";
/// The central directory, its end, and what may stand before it.
const ENDS: [[u8; 4]; 3] = [*b"PK\x01\x02", *b"PK\x05\x06", *b"PK\x06\x08"];
const MAX_MEMBERS: u32 = 65_536;

/// How a member is packed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::scan) enum Packing {
    Stored,
    Deflated,
    /// Encrypted, or by a method that is not read.
    Unread,
}

/// A member of an archive.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::scan) struct Member {
    /// Its name, at most [`MAX_NAME`] bytes.
    pub(in crate::scan) name: Vec<u8>,
    pub(in crate::scan) cut: bool,
    pub(in crate::scan) is_directory: bool,
    pub(in crate::scan) packing: Packing,
    /// Packed bytes; nothing if they stand after the content.
    packed: Option<u64>,
    /// Whether lengths stand after the content, and whether they are wide ones.
    described: Option<bool>,
}

/// See the module.
pub(in crate::scan) struct Zip<'r, R> {
    input: BufReader<Counted<'r, R>>,
    read: &'r Count,
    members: u32,
    /// What comes out of all members together is limited as one stream.
    written: u64,
}

impl<'r, R: Read + Send> Zip<'r, R> {
    pub(in crate::scan) fn new(input: R, read: &'r Count) -> Self {
        Self {
            input: BufReader::with_capacity(64 << 10, Counted::new(input, read)),
            read,
            members: 0,
            written: 0,
        }
    }

    /// The next member's header; nothing where the members end.
    pub(in crate::scan) fn next(&mut self) -> Result<Option<Member>, Fault> {
        let mut signature = [0; 4];
        let filled = fill(&mut self.input, &mut signature)?;
        if filled == 0 || ENDS.contains(&signature) {
            return Ok(None);
        }
        if signature != LOCAL {
            return Err(Fault::Damaged);
        }
        self.members += 1;
        if self.members > MAX_MEMBERS {
            return Err(Fault::Entries);
        }
        let mut header = [0; 26];
        self.exactly(&mut header)?;
        let flags = short(&header, 2);
        let (name_length, extra_length) = (short(&header, 22), short(&header, 24));
        let mut name = vec![0; usize::from(name_length)];
        self.exactly(&mut name)?;
        let mut extra = vec![0; usize::from(extra_length)];
        self.exactly(&mut extra)?;
        let cut = name.len() > MAX_NAME;
        name.truncate(MAX_NAME);
        let packing = match (flags & 1, short(&header, 4)) {
            (0, 0) => Packing::Stored,
            (0, 8) => Packing::Deflated,
            _ => Packing::Unread,
        };
        let (wide, wide_length) = zip64(&extra);
        let packed = match long(&header, 14) {
            u32::MAX => wide_length,
            size => Some(u64::from(size)),
        };
        Ok(Some(Member {
            cut,
            is_directory: name.last() == Some(&b'/'),
            name,
            packing,
            packed: packed.filter(|size| flags & 8 == 0 || *size > 0),
            described: (flags & 8 != 0).then_some(wide),
        }))
    }

    /// Hands the content of a member to `take`, then passes over what it left.
    pub(in crate::scan) fn content<T>(
        &mut self,
        member: &Member,
        limit: Limit,
        take: impl FnOnce(&mut (dyn Read + Send)) -> T,
    ) -> Result<Option<T>, Fault> {
        match (member.packing, member.packed) {
            (Packing::Unread | Packing::Stored, None) => Err(Fault::Damaged),
            (Packing::Unread, Some(size)) => {
                skip_by_reading(&mut self.input, size)?;
                self.descriptor(member)?;
                Ok(None)
            }
            (Packing::Stored, Some(size)) => {
                let mut content = (&mut self.input).take(size);
                let taken = take(&mut content);
                let left = content.limit();
                skip_by_reading(&mut self.input, left)?;
                self.descriptor(member)?;
                Ok(Some(taken))
            }
            (Packing::Deflated, packed) => {
                // Where lengths stand after the content, the stream's own end is what counts.
                let packed = packed.filter(|_| member.described.is_none());
                let packed_input = (&mut self.input).take(packed.unwrap_or(u64::MAX));
                let decoder = DeflateDecoder::new(packed_input);
                let mut content = Limited::resumed(decoder, self.read, limit, self.written);
                let taken = take(&mut content);
                drain(&mut content)?;
                self.written = content.written();
                let left = content.into_inner().into_inner().limit();
                match packed {
                    Some(_) => skip_by_reading(&mut self.input, left)?,
                    None => self.descriptor(member)?,
                }
                Ok(Some(taken))
            }
        }
    }

    /// Passes over the lengths that stand after a member, with or without their signature.
    fn descriptor(&mut self, member: &Member) -> Result<(), Fault> {
        let Some(wide) = member.described else {
            return Ok(());
        };
        let signed = self.input.fill_buf()?.starts_with(DESCRIPTOR);
        let lengths = if wide { 16 } else { 8 };
        skip_by_reading(&mut self.input, 4 + lengths + if signed { 4 } else { 0 })
    }

    fn exactly(&mut self, buffer: &mut [u8]) -> Result<(), Fault> {
        let length = buffer.len();
        if fill(&mut self.input, buffer)? == length {
            Ok(())
        } else {
            Err(Fault::Damaged)
        }
    }
}

fn drain(reader: &mut dyn Read) -> Result<(), Fault> {
    let mut scratch = [0; 4096];
    while fill(reader, &mut scratch)? == scratch.len() {}
    Ok(())
}

fn short(bytes: &[u8], at: usize) -> u16 {
    let pair = bytes.get(at..at + 2).and_then(|pair| pair.try_into().ok());
    u16::from_le_bytes(pair.unwrap_or_default())
}

fn long(bytes: &[u8], at: usize) -> u32 {
    let four = bytes.get(at..at + 4).and_then(|four| four.try_into().ok());
    u32::from_le_bytes(four.unwrap_or_default())
}

/// Whether there is a zip64 field, and the packed length in it.
fn zip64(mut extra: &[u8]) -> (bool, Option<u64>) {
    while extra.len() >= 4 {
        let length = usize::from(short(extra, 2));
        if short(extra, 0) == 1 {
            let packed = extra.get(12..20).and_then(|eight| eight.try_into().ok());
            return (true, packed.map(u64::from_le_bytes));
        }
        extra = extra.get(4 + length..).unwrap_or_default();
    }
    (false, None)
}
