//! Streams whose first bytes are looked at before they are read, and readers that are none yet.
//!
//! Invariant: what was looked at still comes. Used where the first bytes decide how something is read.

use std::io::Read;

use super::{Fault, MAGIC_BYTES, Stream, fill};

/// A reader without a faster way to pass over bytes.
pub(in crate::scan) struct Plain<'r>(&'r mut (dyn Read + Send));

impl<'r> Plain<'r> {
    pub(in crate::scan) fn new(reader: &'r mut (dyn Read + Send)) -> Self {
        Self(reader)
    }
}

impl Read for Plain<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Stream for Plain<'_> {}

/// A stream whose first bytes are known and still come.
pub(in crate::scan) struct Peeked<'r> {
    head: [u8; MAGIC_BYTES],
    filled: usize,
    at: usize,
    rest: &'r mut dyn Stream,
}

impl<'r> Peeked<'r> {
    pub(in crate::scan) fn new(rest: &'r mut dyn Stream) -> Result<Self, Fault> {
        let mut head = [0; MAGIC_BYTES];
        let filled = fill(rest, &mut head)?;
        Ok(Self {
            head,
            filled,
            at: 0,
            rest,
        })
    }

    pub(in crate::scan) fn head(&self) -> &[u8] {
        self.head.get(..self.filled).unwrap_or_default()
    }

    /// The first bytes come again.
    pub(in crate::scan) fn rewind(&mut self) {
        self.at = 0;
    }
}

impl Read for Peeked<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let known = self.head.get(self.at..self.filled).unwrap_or_default();
        if known.is_empty() {
            return self.rest.read(buffer);
        }
        let length = known.len().min(buffer.len());
        for (to, from) in buffer.iter_mut().zip(known) {
            *to = *from;
        }
        self.at += length;
        Ok(length)
    }
}

impl Stream for Peeked<'_> {}
