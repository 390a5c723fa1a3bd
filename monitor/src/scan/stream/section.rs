//! A part of an open file as a stream, by position: the file's own offset is never used.
//!
//! Invariant: reads end where the part ends, also when the file grows. Used for archives that lie in a file.

use std::io::Read;

use super::limit::Count;
use super::{Fault, Stream};
use crate::scan::file::LayerFile;

/// See the module.
#[derive(Debug)]
pub(in crate::scan) struct Section<'f> {
    file: &'f LayerFile,
    at: u64,
    end: u64,
    /// Told what was read, for a limit by ratio and for the budget.
    read: Option<&'f Count>,
}

impl<'f> Section<'f> {
    /// The bytes `start..end` of a file.
    pub(in crate::scan) fn new(file: &'f LayerFile, start: u64, end: u64) -> Self {
        Self {
            file,
            at: start,
            end: end.max(start),
            read: None,
        }
    }

    /// The same, counting into `read`.
    pub(in crate::scan) fn counted(self, read: &'f Count) -> Self {
        Self {
            read: Some(read),
            ..self
        }
    }
}

impl Read for Section<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let most = usize::try_from(self.end - self.at)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let read = self
            .file
            .read_at(buffer.get_mut(..most).unwrap_or_default(), self.at)?;
        let count = u64::try_from(read).unwrap_or(0);
        self.at += count;
        if let Some(counter) = self.read {
            counter.add(read);
        }
        Ok(read)
    }
}

impl Stream for Section<'_> {
    fn skip(&mut self, count: u64) -> Result<(), Fault> {
        let target = self.at.checked_add(count).filter(|target| *target <= self.end);
        self.at = target.ok_or(Fault::Damaged)?;
        Ok(())
    }
}
