//! A small `io_uring`: one request at a time, submitted and waited for.
//!
//! Layouts and numbers: `include/uapi/linux/io_uring.h`. Invariant: what a request points to outlives the wait for its
//! completion, which [`Ring::complete`] does not return before.

use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result, ensure};
use rustix::mm::{MapFlags, ProtFlags};

use crate::{absent_for, calls};

const ENTRIES: usize = 4;
const ENTER_GETEVENTS: usize = 1;
const ENTER_SQ_WAKEUP: usize = 2;
const OFFSET_OF_ENTRIES: u64 = 0x1000_0000;
/// Bytes of a word.
const WORD: u32 = 4;
/// Bytes of the rings' mapping: a page holds more than four entries of both.
const RING_BYTES: usize = 4096;

/// A submission queue polled by a kernel thread.
pub(crate) const SETUP_SQPOLL: u32 = 2;

/// `struct io_uring_sqe`.
#[repr(C)]
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Request {
    pub(crate) opcode: u8,
    pub(crate) flags: u8,
    pub(crate) priority: u16,
    pub(crate) descriptor: i32,
    pub(crate) offset: u64,
    pub(crate) address: u64,
    pub(crate) length: u32,
    pub(crate) operation_flags: u32,
    pub(crate) tag: u64,
    pub(crate) buffer_index: u16,
    pub(crate) personality: u16,
    pub(crate) file_index: u32,
    pub(crate) rest: [u64; 2],
}

/// `struct io_sqring_offsets` and `struct io_cqring_offsets`: head, tail and mask come first in both.
#[repr(C)]
#[derive(Default)]
struct Offsets {
    head: u32,
    tail: u32,
    mask: u32,
    entries: u32,
    fifth: u32,
    sixth: u32,
    seventh: u32,
    reserved: u32,
    address: u64,
}

/// `struct io_uring_params`.
#[repr(C)]
#[derive(Default)]
struct Parameters {
    entries: [u32; 2],
    flags: u32,
    thread: [u32; 2],
    features: u32,
    workers: u32,
    reserved: [u32; 3],
    submission: Offsets,
    completion: Offsets,
}

/// One ring.
pub(crate) struct Ring {
    descriptor: OwnedFd,
    parameters: Parameters,
    /// As words, which is what all that is read there is made of.
    rings: *mut u32,
    requests: *mut Request,
}

impl Ring {
    /// Sets one up with these flags.
    pub(crate) fn new(flags: u32) -> Result<Self> {
        let mut parameters = Parameters {
            flags,
            // The polling thread goes to sleep after so many milliseconds.
            thread: [0, 50],
            ..Parameters::default()
        };
        // SAFETY: the parameters are a whole `struct io_uring_params` and writable.
        let made = unsafe { calls::call(libc::SYS_io_uring_setup, [ENTRIES, &raw mut parameters as usize]) };
        let what = "no such io_uring for users (a polling thread needs Linux 5.11)";
        let made = made.map_err(|error| absent_for(error, &[libc::EPERM], what))?;
        let descriptor = calls::descriptor(made)?;
        let map = |length, offset| {
            let (kind, access) = (
                MapFlags::SHARED | MapFlags::POPULATE,
                ProtFlags::READ | ProtFlags::WRITE,
            );
            // SAFETY: a fresh mapping of the kernel's rings, kept to the end of the process.
            unsafe {
                rustix::mm::mmap(
                    std::ptr::null_mut(),
                    length,
                    access,
                    kind,
                    descriptor.as_fd(),
                    offset,
                )
            }
            .context("map the ring")
        };
        let rings = map(RING_BYTES, 0)?.cast();
        let requests = map(ENTRIES * size_of::<Request>(), OFFSET_OF_ENTRIES)?.cast();
        Ok(Self {
            descriptor,
            parameters,
            rings,
            requests,
        })
    }

    /// Submits a request and waits for its end; the kernel's answer.
    pub(crate) fn complete(&mut self, request: Request) -> Result<i32> {
        let (submission, completion) = (&self.parameters.submission, &self.parameters.completion);
        let tail = self.word(submission.tail);
        let slot = tail.load(Ordering::Acquire) & (self.word(submission.mask).load(Ordering::Acquire));
        // SAFETY: the slot is below the number of entries.
        unsafe { self.requests.add(slot as usize).write_volatile(request) };
        let index = self.word(submission.seventh + slot * WORD);
        index.store(slot, Ordering::Release);
        tail.fetch_add(1, Ordering::Release);
        let flags = ENTER_GETEVENTS | ENTER_SQ_WAKEUP;
        let enter = [calls::number(self.descriptor.as_fd())?, 1, 1, flags, 0, 0];
        // SAFETY: no pointer is passed; what the request points to is the caller's until this returns.
        unsafe { calls::call(libc::SYS_io_uring_enter, enter) }.context("submit and wait")?;
        let head = self.word(completion.head);
        let taken = head.load(Ordering::Acquire);
        ensure!(
            taken != self.word(completion.tail).load(Ordering::Acquire),
            "nothing was completed"
        );
        let slot = taken & self.word(completion.mask).load(Ordering::Acquire);
        // Completions of four words stand at the sixth offset; the result is their third word.
        let result = self.word(completion.sixth + (slot * 4 + 2) * WORD);
        let result = result.load(Ordering::Acquire).cast_signed();
        head.fetch_add(1, Ordering::Release);
        Ok(result)
    }

    /// `io_uring_register`: `opcode` with an array of `count` numbers; the kernel's answer.
    pub(crate) fn register(&self, opcode: usize, array: &[i32], count: usize) -> Result<usize> {
        let address = if array.is_empty() {
            0
        } else {
            array.as_ptr() as usize
        };
        let arguments = [calls::number(self.descriptor.as_fd())?, opcode, address, count];
        // SAFETY: the array outlives the call, which copies it.
        unsafe { calls::call(libc::SYS_io_uring_register, arguments) }.context("register with the ring")
    }

    fn word(&self, offset: u32) -> &AtomicU32 {
        // SAFETY: an aligned word of the shared mapping, which lives as long as the process.
        unsafe { AtomicU32::from_ptr(self.rings.add((offset / WORD) as usize)) }
    }
}
