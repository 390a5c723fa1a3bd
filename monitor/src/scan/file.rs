//! A file of a layer, read so that the host hardly feels it.
//!
//! What the page cache holds is read from there (`RWF_NOWAIT`, preadv2(2)). The rest comes from the disk: it counts
//! against the budget, and it leaves the cache again when this is done with it. Invariant: what others had in the cache
//! stays there, to within 64 KiB at either end of what was read; a file system that does not tell what it has in the
//! cache is read as usual, all of it on the budget. Opened by `engine::read` and `archive`, read through by `section`.

use std::fs::File;
use std::io::IoSliceMut;
use std::num::NonZeroU64;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::sync::{Mutex, PoisonError};

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
    cached: Mutex<Cached>,
}

/// What is known of a file's pages in the cache. Held while one reads: whoever reads next to it waits.
#[derive(Debug, Default)]
struct Cached {
    /// What came from the disk and did not go yet.
    fresh: (u64, u64),
    /// The next bytes are on their way from the disk, on this reader's account.
    coming: bool,
    /// The file system does not tell what is in the cache.
    untold: bool,
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
            cached: Mutex::default(),
        }
    }

    /// Reads at a place, as pread(2).
    pub(in crate::scan) fn read_at(&self, buffer: &mut [u8], at: u64) -> std::io::Result<usize> {
        let mut cached = self.cached.lock().unwrap_or_else(PoisonError::into_inner);
        if !cached.untold && !std::mem::take(&mut cached.coming) {
            match rustix::io::preadv2(
                &self.file,
                &mut [IoSliceMut::new(buffer)],
                at,
                ReadWriteFlags::NOWAIT,
            ) {
                Ok(read) => {
                    let end = at.saturating_add(wide(read));
                    // The kernel has begun to fetch what it did not have.
                    cached.coming = read < buffer.len() && end < self.size;
                    return Ok(read);
                }
                Err(Errno::AGAIN) => {}
                Err(Errno::INTR) => return Err(Errno::INTR.into()),
                Err(_) => cached.untold = true,
            }
        }
        let read = self.file.read_at(buffer, at)?;
        pace::spend(wide(read));
        if !cached.untold {
            let end = at.saturating_add(wide(read));
            let came = if self.size <= READ_AHEAD {
                (0, self.size)
            } else {
                (at, end)
            };
            cached.came(&self.file, came);
        }
        Ok(read)
    }
}

impl Cached {
    /// These bytes came from the disk.
    fn came(&mut self, file: &File, (start, end): (u64, u64)) {
        let (from, to) = self.fresh;
        if (from..=to.saturating_add(FOLIO)).contains(&start) {
            self.fresh = (from, to.max(end));
        } else {
            self.release(file);
            self.fresh = (start - start % PAGE, end);
        }
        let (from, to) = self.fresh;
        if to - from >= KEPT_BYTES {
            self.release(file);
            // The last page is only begun.
            self.fresh = (to - to % PAGE, to);
        }
    }

    /// Lets what came from the disk leave the cache.
    fn release(&self, file: &File) {
        let (from, to) = self.fresh;
        if let Some(length) = NonZeroU64::new(to - from) {
            // A page that somebody maps stays; and this is only advice.
            let _advice = rustix::fs::fadvise(file, from, Some(length), Advice::DontNeed);
        }
    }
}

impl Drop for LayerFile {
    fn drop(&mut self) {
        let cached = self.cached.get_mut().unwrap_or_else(PoisonError::into_inner);
        cached.release(&self.file);
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
