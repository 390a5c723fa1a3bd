//! The reading end of a BPF ring buffer, with reading and giving back apart.
//!
//! The library's reader gives a record's room back as soon as the record was looked at; here room is given back only when
//! what came of the records is safe, so that an agent that is killed leaves them for the next one. Layout and ordering are
//! the kernel's (`kernel/bpf/ringbuf.c`): a page with the consumer's position, a page with the producer's, then the data
//! mapped twice in a row, so that a record that wraps is in one piece. A record is a header of 8 bytes, the length with
//! two bits of state first, and its content, rounded up to 8 bytes.
//!
//! Invariant: the consumer's position never passes what was read, and never goes back. Used by `ring`.

use std::ffi::c_void;
use std::io;
use std::os::fd::AsFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// `BPF_RINGBUF_BUSY_BIT`: reserved and not submitted yet.
const BUSY: u32 = 1 << 31;
/// `BPF_RINGBUF_DISCARD_BIT`: given up.
const DISCARDED: u32 = 1 << 30;
/// `BPF_RINGBUF_HDR_SZ`.
const HEADER: u64 = 8;

/// A position in the stream of a ring: bytes since the ring was made.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Position(pub u64);

/// See the module.
#[derive(Debug)]
pub(super) struct Consumer {
    own: Mapping,
    shared: Mapping,
    page: usize,
    size: u64,
    read: u64,
}

impl Consumer {
    /// Maps the ring behind `map`, whose data takes `size` bytes (a power of two); starts where the last reader gave back.
    pub(super) fn new(map: impl AsFd, size: u32) -> io::Result<Self> {
        if !size.is_power_of_two() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let page = rustix::param::page_size();
        let data = usize::try_from(size).map_err(|_wide| io::ErrorKind::InvalidInput)?;
        let own = Mapping::new(&map, page, ProtFlags::READ | ProtFlags::WRITE, 0)?;
        let shared = Mapping::new(&map, page + 2 * data, ProtFlags::READ, page)?;
        let mut consumer = Self {
            own,
            shared,
            page,
            size: size.into(),
            read: 0,
        };
        consumer.read = consumer.position().load(Ordering::Acquire);
        Ok(consumer)
    }

    /// The next record and the position behind it; it stays in the ring until that position is given back.
    pub(super) fn next(&mut self) -> Option<(&[u8], Position)> {
        loop {
            if self.read >= self.produced().load(Ordering::Acquire) {
                return None;
            }
            let at = self.read & (self.size - 1);
            let header = self.header(at)?.load(Ordering::Acquire);
            if header & BUSY != 0 {
                return None;
            }
            let length = u64::from(header & !(BUSY | DISCARDED));
            self.read += (length + HEADER).next_multiple_of(HEADER);
            if header & DISCARDED == 0 {
                return Some((self.data(at + HEADER, length)?, Position(self.read)));
            }
        }
    }

    /// Gives back all room up to `position`; says whether everything that was produced is given back, so that the next
    /// record wakes the reader.
    pub(super) fn give_back(&mut self, position: Position) -> bool {
        let upto = position.0.min(self.read);
        let consumed = self.position();
        if upto > consumed.load(Ordering::Relaxed) {
            consumed.store(upto, Ordering::Release);
        }
        // The kernel wakes a reader that had caught up when the record came. Either it sees this position, or its record
        // is seen here.
        fence(Ordering::SeqCst);
        self.position().load(Ordering::Relaxed) >= self.produced().load(Ordering::Acquire)
    }

    /// Reads again what was not given back.
    pub(super) fn rewind(&mut self) {
        self.read = self.position().load(Ordering::Relaxed);
    }

    /// Where reading is.
    pub(super) fn read(&self) -> Position {
        Position(self.read)
    }

    /// How many bytes were produced and not given back.
    pub(super) fn held(&self) -> u64 {
        let produced = self.produced().load(Ordering::Acquire);
        produced.saturating_sub(self.position().load(Ordering::Relaxed))
    }

    #[expect(unsafe_code, reason = "the ring is shared memory")]
    fn position(&self) -> &AtomicU64 {
        // SAFETY: the page is mapped as long as `self`, aligned, and only accessed atomically.
        unsafe { AtomicU64::from_ptr(self.own.start.cast::<u64>().as_ptr()) }
    }

    #[expect(unsafe_code, reason = "the ring is shared memory")]
    fn produced(&self) -> &AtomicU64 {
        // SAFETY: as above; the kernel writes it, and it is only loaded here, from memory that is mapped for reading.
        unsafe { AtomicU64::from_ptr(self.shared.start.cast::<u64>().as_ptr()) }
    }

    /// The header at `at`, which is smaller than the ring; absent if it were misaligned.
    #[expect(unsafe_code, reason = "the ring is shared memory")]
    fn header(&self, at: u64) -> Option<&AtomicU32> {
        let at = usize::try_from(at).ok().filter(|at| at % 8 == 0)?;
        // SAFETY: `at` is below the size of the data, which is mapped twice behind the first page, and is aligned; the
        // word is only loaded.
        unsafe {
            let header = self.shared.start.byte_add(self.page + at).cast::<u32>();
            Some(AtomicU32::from_ptr(header.as_ptr()))
        }
    }

    /// A record's content; absent where a header claims more than the ring.
    #[expect(unsafe_code, reason = "the ring is shared memory")]
    fn data(&self, at: u64, length: u64) -> Option<&[u8]> {
        let fits = length <= self.size && at + length <= 2 * self.size;
        let (at, length) = (usize::try_from(at).ok()?, usize::try_from(length).ok()?);
        // SAFETY: inside the mapping by the check; the kernel does not write into a record that is submitted and not given
        // back, and `&mut self` of `next` keeps anybody from giving it back while the slice lives.
        fits.then(|| unsafe {
            let start = self.shared.start.byte_add(self.page + at).cast::<u8>();
            std::slice::from_raw_parts(start.as_ptr(), length)
        })
    }
}

/// Memory shared with the kernel, unmapped when dropped.
#[derive(Debug)]
struct Mapping {
    start: NonNull<c_void>,
    length: usize,
}

#[expect(unsafe_code, reason = "a mapping may be used by any thread, one at a time")]
// SAFETY: the address is this process's alone and nothing in it belongs to a thread.
unsafe impl Send for Mapping {}

impl Mapping {
    #[expect(unsafe_code, reason = "the ring is shared memory")]
    fn new(map: impl AsFd, length: usize, protection: ProtFlags, offset: usize) -> io::Result<Self> {
        let offset = u64::try_from(offset).map_err(|_wide| io::ErrorKind::InvalidInput)?;
        // SAFETY: the kernel chooses a free place; nothing else refers to it.
        let start = unsafe {
            mmap(
                std::ptr::null_mut(),
                length,
                protection,
                MapFlags::SHARED,
                map,
                offset,
            )?
        };
        let start = NonNull::new(start).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { start, length })
    }
}

impl Drop for Mapping {
    #[expect(unsafe_code, reason = "the ring is shared memory")]
    fn drop(&mut self) {
        // SAFETY: mapped by `new`, and every reference into it borrowed the owner.
        let unmapped = unsafe { munmap(self.start.as_ptr(), self.length) };
        debug_assert!(unmapped.is_ok(), "{unmapped:?}");
    }
}

#[cfg(test)]
mod tests;
