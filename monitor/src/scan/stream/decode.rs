//! gzip and zstd, with a limit on what comes out for what goes in.
//!
//! gzip is RFC 1952: members follow each other, what follows the last one is no error (`docker save | gzip` through a
//! device pads with zeros). zstd is RFC 8878; a frame may ask for a window of at most 128 MiB,
//! the library's own default. Invariant: memory is the decoder's window and two buffers. Used for
//! layers and for archives in layers.

use std::cell::Cell;
use std::io::{BufRead, BufReader, Read};

use flate2::bufread::GzDecoder;

use super::{Fault, Magic, Stream};

const BUFFER_BYTES: usize = 64 << 10;
/// zstd's default window limit (`ZSTD_WINDOWLOG_LIMIT_DEFAULT`), 128 MiB.
const WINDOW_LOG: u32 = 27;

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

/// A reader that counts into a cell.
pub(in crate::scan) struct Counted<'c, R> {
    inner: R,
    count: &'c Cell<u64>,
}

impl<'c, R: Read> Counted<'c, R> {
    pub(in crate::scan) fn new(inner: R, count: &'c Cell<u64>) -> Self {
        Self { inner, count }
    }
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.count
            .set(self.count.get() + u64::try_from(read).unwrap_or(0));
        Ok(read)
    }
}

/// What a decoder gives, up to the limit; `read` counts what went in.
pub(in crate::scan) struct Limited<'c, R> {
    inner: R,
    read: &'c Cell<u64>,
    written: u64,
    limit: Limit,
}

impl<'c, R: Read> Limited<'c, R> {
    pub(in crate::scan) fn new(inner: R, read: &'c Cell<u64>, limit: Limit) -> Self {
        Self {
            inner,
            read,
            written: 0,
            limit,
        }
    }

    /// One part of a stream of which `written` bytes came out before.
    pub(in crate::scan) fn resumed(inner: R, read: &'c Cell<u64>, limit: Limit, written: u64) -> Self {
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

impl<R: Read> Stream for Limited<'_, R> {}

/// The decoder for `magic` over `input`; nothing if it is no compression. `read` counts what goes in.
pub(in crate::scan) fn decoder<'a>(
    magic: Magic,
    input: impl Read + 'a,
    read: &'a Cell<u64>,
    limit: Limit,
) -> Result<Option<Box<dyn Stream + 'a>>, Fault> {
    let input = BufReader::with_capacity(BUFFER_BYTES, Counted::new(input, read));
    Ok(match magic {
        Magic::Gzip => Some(Box::new(Limited::new(Gzip::new(input), read, limit))),
        Magic::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(input)?;
            decoder.window_log_max(WINDOW_LOG)?;
            Some(Box::new(Limited::new(decoder, read, limit)))
        }
        Magic::Tar | Magic::Zip => None,
    })
}

/// All members of a gzip file.
struct Gzip<R> {
    state: Option<GzDecoder<R>>,
}

impl<R: BufRead> Gzip<R> {
    fn new(input: R) -> Self {
        Self {
            state: Some(GzDecoder::new(input)),
        }
    }
}

impl<R: BufRead> Read for Gzip<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        while let Some(decoder) = &mut self.state {
            let read = decoder.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            let Some(decoder) = self.state.take() else { break };
            let mut input = decoder.into_inner();
            // One byte is enough to tell a further member from padding; a member whose head is cut is an error.
            if input.fill_buf()?.first() == Some(&0x1f) {
                self.state = Some(GzDecoder::new(input));
            }
        }
        Ok(0)
    }
}
