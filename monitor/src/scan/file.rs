//! A file of a layer, read so that the host hardly feels it.
//!
//! What the page cache holds is read from there (`RWF_NOWAIT`, preadv2(2)). The rest comes from the disk: it counts
//! against the budget, and it leaves the cache again when this is done with it. Invariant: what others had in the cache
//! stays there, to within 64 KiB at either end of what was read; a file system that does not tell what it has in the
//! cache is read as usual, all of it on the budget. Opened by `engine::read` and `archive`, read through by `section`.

use std::cell::Cell;
use std::fs::File;
use std::io::IoSliceMut;
use std::num::NonZeroU64;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;

use rustix::fs::Advice;
use rustix::io::{Errno, ReadWriteFlags};

use super::pace;

const PAGE: u64 = 4096;
/// A smaller file comes from the disk as a whole with its first byte: this is what the kernel reads ahead.
const READ_AHEAD: u64 = 128 << 10;
/// What the kernel keeps in one piece: a little more may have come than was asked for.
const FOLIO: u64 = 64 << 10;
/// What came from the disk goes when it is this much.
const KEPT_BYTES: u64 = 4 << 20;

/// See the module.
#[derive(Debug)]
pub(in crate::scan) struct LayerFile {
    file: File,
    size: u64,
    /// What came from the disk and did not go yet.
    fresh: Cell<(u64, u64)>,
    /// The next bytes are on their way from the disk, on this reader's account.
    coming: Cell<bool>,
    /// The file system does not tell what is in the cache.
    untold: Cell<bool>,
}

impl LayerFile {
    /// An open regular file of that size.
    pub(in crate::scan) fn new(file: File, size: u64) -> Self {
        if size > READ_AHEAD {
            // Nothing is read ahead of what is asked for: it could not be told from what others had there.
            let _advice = rustix::fs::fadvise(&file, 0, None, Advice::Random);
        }
        Self {
            file,
            size,
            fresh: Cell::new((0, 0)),
            coming: Cell::new(false),
            untold: Cell::new(false),
        }
    }

    /// Reads at a place, as pread(2).
    pub(in crate::scan) fn read_at(&self, buffer: &mut [u8], at: u64) -> std::io::Result<usize> {
        if !self.untold.get() && !self.coming.replace(false) {
            match rustix::io::preadv2(
                &self.file,
                &mut [IoSliceMut::new(buffer)],
                at,
                ReadWriteFlags::NOWAIT,
            ) {
                Ok(read) => {
                    let end = at.saturating_add(wide(read));
                    // The kernel has begun to fetch what it did not have.
                    self.coming.set(read < buffer.len() && end < self.size);
                    return Ok(read);
                }
                Err(Errno::AGAIN) => {}
                Err(Errno::INTR) => return Err(Errno::INTR.into()),
                Err(_) => self.untold.set(true),
            }
        }
        let read = self.file.read_at(buffer, at)?;
        pace::spend(wide(read));
        if !self.untold.get() {
            self.came(at, at.saturating_add(wide(read)));
        }
        Ok(read)
    }

    /// These bytes came from the disk.
    fn came(&self, start: u64, end: u64) {
        let (start, end) = if self.size <= READ_AHEAD {
            (0, self.size)
        } else {
            (start, end)
        };
        let (from, to) = self.fresh.get();
        if (from..=to.saturating_add(FOLIO)).contains(&start) {
            self.fresh.set((from, to.max(end)));
        } else {
            self.release();
            self.fresh.set((start - start % PAGE, end));
        }
        let (from, to) = self.fresh.get();
        if to - from >= KEPT_BYTES {
            self.release();
            // The last page is only begun.
            self.fresh.set((to - to % PAGE, to));
        }
    }

    /// Lets what came from the disk leave the cache.
    fn release(&self) {
        let (from, to) = self.fresh.get();
        if let Some(length) = NonZeroU64::new(to - from) {
            // A page that somebody maps stays; and this is only advice.
            let _advice = rustix::fs::fadvise(&self.file, from, Some(length), Advice::DontNeed);
        }
    }
}

impl Drop for LayerFile {
    fn drop(&mut self) {
        self.release();
    }
}

impl AsFd for LayerFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

fn wide(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
