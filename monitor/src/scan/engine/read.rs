//! Reading one file, or one entry of an archive, through one fixed buffer.
//!
//! Invariant: no memory map, no allocation by file size; at most the size that the file had when it was opened is read,
//! so a file that grows ends; holes of sparse files are skipped. Each place is searched once, with the spans that rules
//! may ask for before and after it in the buffer.

use std::fs::File;

use rustix::fs::{FileType, Mode, OFlags, SeekFrom};
use rustix::io::Errno;
use zeroize::Zeroizing;

use super::search::{Found, Search};
use super::source::Source;
use super::walk::Entry;
use crate::model::DevIno;
use crate::scan::file::LayerFile;
use crate::scan::rules::{MAX_AFTER, MAX_BEFORE};
use crate::scan::stream::limit::Count;
use crate::scan::stream::section::Section;
use crate::scan::stream::{Fault, MAGIC_BYTES};
use crate::scan::summary::ProblemKind;

const BUFFER_BYTES: usize = 256 << 10;
/// What is kept of the last round: the span before a hit and one byte that tells where a line begins.
const KEPT: usize = MAX_BEFORE + 1;

/// A regular file, open.
pub(in crate::scan) struct Opened {
    pub(in crate::scan) file: LayerFile,
    pub(in crate::scan) size: u64,
    pub(in crate::scan) key: DevIno,
    sparse: bool,
    changed: (i64, i64),
}

/// Why a file was not read as it should have been.
#[derive(Clone, Copy, Debug)]
pub(in crate::scan) struct FileFault {
    pub(in crate::scan) kind: ProblemKind,
    pub(in crate::scan) errno: Option<i32>,
}

impl From<Fault> for FileFault {
    fn from(fault: Fault) -> Self {
        Self {
            kind: fault.problem(),
            errno: fault.errno(),
        }
    }
}

fn fault(kind: ProblemKind) -> impl Fn(Errno) -> FileFault {
    move |errno| FileFault {
        kind,
        errno: Some(errno.raw_os_error()),
    }
}

/// Opens a file without following a link, without waiting, and without touching its access time where that is allowed.
pub(super) fn open(entry: &Entry<'_>) -> Result<Opened, FileFault> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let opened = match rustix::fs::openat(
        entry.directory,
        entry.name,
        flags | OFlags::NOATIME,
        Mode::empty(),
    ) {
        // O_NOATIME is for owners only (open(2)).
        Err(Errno::PERM) => rustix::fs::openat(entry.directory, entry.name, flags, Mode::empty()),
        other => other,
    };
    of_file(File::from(opened.map_err(fault(ProblemKind::Open))?))
}

/// An open file, if it is a regular one.
pub(in crate::scan) fn of_file(file: File) -> Result<Opened, FileFault> {
    let stat = rustix::fs::fstat(&file).map_err(fault(ProblemKind::Open))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        // It was a regular file when its directory was read.
        return Err(FileFault {
            kind: ProblemKind::Changed,
            errno: None,
        });
    }
    let size = u64::try_from(stat.st_size).unwrap_or(0);
    Ok(Opened {
        file: LayerFile::new(file, size),
        size,
        key: super::inode(&stat),
        sparse: u64::try_from(stat.st_blocks).unwrap_or(0).saturating_mul(512) < size,
        changed: change_time(&stat),
    })
}

#[expect(
    clippy::cast_possible_wrap,
    clippy::unnecessary_cast,
    reason = "the field is signed or not by architecture"
)]
fn change_time(stat: &rustix::fs::Stat) -> (i64, i64) {
    (stat.st_ctime as i64, stat.st_ctime_nsec as i64)
}

impl Source for &Opened {
    fn segment(&mut self, at: u64) -> Option<(u64, u64)> {
        Opened::segment(self, at)
    }

    fn read(&mut self, buffer: &mut [u8], at: u64) -> std::io::Result<usize> {
        self.file.read_at(buffer, at)
    }

    fn has_changed(&self) -> bool {
        Opened::has_changed(self)
    }
}

impl Opened {
    /// The whole file as a stream.
    pub(super) fn section<'f>(&'f self, read: &'f Count) -> Section<'f> {
        Section::new(&self.file, 0, self.size).counted(read)
    }

    /// The next run of bytes that are not a hole, from `at`.
    fn segment(&self, at: u64) -> Option<(u64, u64)> {
        if at >= self.size {
            return None;
        }
        if !self.sparse {
            return Some((at, self.size));
        }
        match rustix::fs::seek(&self.file, SeekFrom::Data(at)) {
            Ok(start) if start < self.size => {
                let end = rustix::fs::seek(&self.file, SeekFrom::Hole(start)).unwrap_or(self.size);
                Some((start, end.clamp(start + 1, self.size)))
            }
            Ok(_) | Err(Errno::NXIO) => None,
            // A file system without holes.
            Err(_) => Some((at, self.size)),
        }
    }

    /// The inode's generation, 0 where the file system does not say (`FS_IOC_GETVERSION`, `ioctl_iflags(2)`).
    pub(super) fn generation(&self) -> u32 {
        generation(&self.file).unwrap_or(0)
    }

    fn has_changed(&self) -> bool {
        rustix::fs::fstat(&self.file).map_or(true, |stat| {
            change_time(&stat) != self.changed || u64::try_from(stat.st_size).unwrap_or(0) != self.size
        })
    }
}

#[expect(unsafe_code, reason = "no library wraps this ioctl")]
fn generation(file: &LayerFile) -> Result<u32, Errno> {
    /// `_IOR('v', 1, long)`, include/uapi/linux/fs.h.
    const GET_VERSION: rustix::ioctl::Opcode = rustix::ioctl::opcode::read::<std::ffi::c_long>(b'v', 1);
    // A file system writes an `int` although the number says `long`; zeros stand in what it leaves alone.
    let mut answer = [0_u32; size_of::<std::ffi::c_long>() / size_of::<u32>()];
    // SAFETY: the kernel writes at most a `long` through the pointer, and there is room for one.
    unsafe {
        let request = rustix::ioctl::Updater::<GET_VERSION, _>::new(&mut answer);
        rustix::ioctl::ioctl(file, request)?;
    }
    Ok(answer.first().copied().unwrap_or(0))
}

/// What reading one file gave.
pub(super) struct Outcome {
    pub(super) found: Found,
    pub(super) bytes: u64,
    pub(super) fault: Option<FileFault>,
}

/// The buffer, used for one file after the other and overwritten at the end.
pub(super) struct FileBuffer(Zeroizing<Vec<u8>>);

impl FileBuffer {
    pub(super) fn new() -> Self {
        Self(Zeroizing::new(vec![0; KEPT + BUFFER_BYTES + MAX_AFTER]))
    }

    /// Reads a file's first bytes, which `scan` is then told of: most files are read by this one call.
    pub(super) fn begin(&mut self, opened: &Opened) -> &[u8] {
        let most = usize::try_from(opened.size).unwrap_or(usize::MAX);
        // A hole is not read.
        let most = if opened.sparse {
            most.min(MAGIC_BYTES)
        } else {
            most
        };
        let room = self.0.len().min(most);
        let read = opened.file.read_at(self.0.get_mut(..room).unwrap_or_default(), 0);
        self.0.get(..read.unwrap_or(0)).unwrap_or_default()
    }

    /// Reads a file to its end, of which the buffer has the first bytes already; `begin` makes the search once these are
    /// known, `read_so_far` hears how many were read.
    pub(super) fn scan<'s>(
        &mut self,
        source: &mut dyn Source,
        already: usize,
        begin: impl FnOnce(&[u8]) -> Search<'s>,
        read_so_far: &mut dyn FnMut(u64),
    ) -> Outcome {
        let mut begin = Some(begin);
        let mut search = None;
        let mut bytes = 0;
        let mut fault = None;
        let mut segment = source.segment(0);
        while let Some((start, end)) = segment {
            let mut rounds = Rounds::new(start, end);
            if start == 0 {
                bytes += rounds.take(already);
            }
            loop {
                let read = match rounds.fill(&mut self.0, source) {
                    Ok(read) => read,
                    Err(error) => {
                        fault = Some(Fault::from(error).into());
                        break;
                    }
                };
                bytes += read;
                read_so_far(bytes);
                let filled = self.0.get(..rounds.filled).unwrap_or_default();
                if let Some(begin) = begin.take() {
                    search = Some(begin(filled));
                }
                if rounds.ended {
                    segment = source.segment(end);
                }
                if let Some(search) = &mut search {
                    search.buffer(
                        filled,
                        rounds.from,
                        rounds.limit(),
                        start == 0 && rounds.is_first(),
                    );
                    // Nobody asks for the lines of what follows the end.
                    if segment.is_some() {
                        search.advance(filled, rounds.shift());
                    }
                }
                if !rounds.next(&mut self.0) {
                    break;
                }
            }
            if fault.is_some() {
                break;
            }
        }
        if fault.is_none() && source.has_changed() {
            fault = Some(FileFault {
                kind: ProblemKind::Changed,
                errno: None,
            });
        }
        Outcome {
            found: search.map(Search::finish).unwrap_or_default(),
            bytes,
            fault,
        }
    }
}

/// One segment, a buffer at a time.
struct Rounds {
    at: u64,
    end: u64,
    /// Bytes in the buffer.
    filled: usize,
    /// Where in the buffer the part begins that was not searched yet.
    from: usize,
    done: u64,
    ended: bool,
}

impl Rounds {
    fn new(at: u64, end: u64) -> Self {
        Self {
            at,
            end,
            filled: 0,
            from: 0,
            done: 0,
            ended: false,
        }
    }

    /// Bytes of the segment that are in the buffer already; how many.
    fn take(&mut self, already: usize) -> u64 {
        let taken = u64::try_from(already).unwrap_or(u64::MAX).min(self.end);
        self.filled = usize::try_from(taken).unwrap_or(usize::MAX);
        self.at = taken;
        self.ended = self.at >= self.end;
        taken
    }

    fn is_first(&self) -> bool {
        self.done == 0
    }

    /// Where in the buffer the searched part ends: all of it at the end, else so that a rule's span follows.
    fn limit(&self) -> usize {
        if self.ended {
            self.filled
        } else {
            self.filled.saturating_sub(MAX_AFTER)
        }
    }

    /// How many bytes leave the buffer at its beginning after this round.
    fn shift(&self) -> usize {
        if self.ended {
            self.filled
        } else {
            self.limit().saturating_sub(KEPT)
        }
    }

    /// Reads until the buffer is full or the segment ends; gives back how many bytes were read.
    fn fill(&mut self, buffer: &mut [u8], source: &mut dyn Source) -> std::io::Result<u64> {
        let mut total = 0;
        while !self.ended && self.filled < buffer.len() {
            let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
            let room = buffer.get_mut(self.filled..).unwrap_or_default();
            let room_length = room.len().min(left);
            let read = match source.read(room.get_mut(..room_length).unwrap_or_default(), self.at) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                other => other?,
            };
            self.filled += read;
            let advanced = u64::try_from(read).unwrap_or(0);
            self.at += advanced;
            total += advanced;
            self.ended = read == 0 || self.at >= self.end;
        }
        Ok(total)
    }

    /// Keeps the end of the buffer for the next round; false if there is none.
    fn next(&mut self, buffer: &mut [u8]) -> bool {
        if self.ended {
            return false;
        }
        let (limit, shift) = (self.limit(), self.shift());
        buffer.copy_within(shift..self.filled, 0);
        self.filled -= shift;
        self.from = limit - shift;
        self.done += 1;
        true
    }
}
