//! How much may come out of a decoder for what went in.
//!
//! Invariant: what goes in is counted where it is read, so that a decoder's own buffer counts for it. Used by the decoders.

use std::io::Read;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Fault, Stream};

/// How much may come out: `free` bytes, and `ratio` more for each byte that went in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::scan) struct Limit {
    pub(super) free: u64,
    pub(super) ratio: u64,
}

impl Limit {
    /// For a layer, which may hold a preallocated database: zeros compress a thousand times.
    pub(in crate::scan) const LAYER: Self = Self {
        free: 1 << 30,
        ratio: 256,
    };
    /// For an archive inside a layer.
    pub(in crate::scan) const MEMBER: Self = Self {
        free: 64 << 20,
        ratio: 64,
    };

    fn allows(self, read: u64, written: u64) -> bool {
        written <= self.free.saturating_add(read.saturating_mul(self.ratio))
    }
}

/// How many bytes went in, by whichever thread they were read.
#[derive(Debug, Default)]
pub(in crate::scan) struct Count(AtomicU64);

impl Count {
    /// That many more.
    pub(in crate::scan) fn add(&self, bytes: usize) {
        self.0
            .fetch_add(u64::try_from(bytes).unwrap_or(0), Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A reader that counts.
pub(in crate::scan) struct Counted<'c, R> {
    inner: R,
    count: &'c Count,
}

impl<'c, R: Read> Counted<'c, R> {
    pub(in crate::scan) fn new(inner: R, count: &'c Count) -> Self {
        Self { inner, count }
    }
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.count.add(read);
        Ok(read)
    }
}

/// What a decoder gives, up to the limit; `read` counts what went in.
pub(in crate::scan) struct Limited<'c, R> {
    inner: R,
    read: &'c Count,
    written: u64,
    limit: Limit,
}

impl<'c, R: Read> Limited<'c, R> {
    pub(in crate::scan) fn new(inner: R, read: &'c Count, limit: Limit) -> Self {
        Self {
            inner,
            read,
            written: 0,
            limit,
        }
    }

    /// One part of a stream of which `written` bytes came out before.
    pub(in crate::scan) fn resumed(inner: R, read: &'c Count, limit: Limit, written: u64) -> Self {
        Self {
            written,
            ..Self::new(inner, read, limit)
        }
    }

    pub(in crate::scan) fn written(&self) -> u64 {
        self.written
    }

    pub(in crate::scan) fn into_inner(self) -> R {
        self.inner
    }
}

impl<R: Read> Read for Limited<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.written += u64::try_from(read).unwrap_or(0);
        if self.limit.allows(self.read.get(), self.written) {
            Ok(read)
        } else {
            Err(Fault::Bomb.into())
        }
    }
}

impl<R: Read + Send> Stream for Limited<'_, R> {}
