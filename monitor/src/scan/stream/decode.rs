//! gzip and zstd, with a limit on what comes out for what goes in.
//!
//! gzip is RFC 1952: members follow each other, what follows the last one is no error (`docker save | gzip` through a
//! device pads with zeros). zstd is RFC 8878; a frame may ask for a window of at most 128 MiB,
//! the library's own default. Invariant: memory is the decoder's window and two buffers. Used for
//! layers and for archives in layers.

use std::io::{BufRead, BufReader, Read};

use flate2::bufread::GzDecoder;

use super::limit::{Count, Counted, Limit, Limited};
use super::{Fault, Magic, Stream};

const BUFFER_BYTES: usize = 64 << 10;
/// zstd's default window limit (`ZSTD_WINDOWLOG_LIMIT_DEFAULT`), 128 MiB.
const WINDOW_LOG: u32 = 27;

/// The decoder for `magic` over `input`; nothing if it is no compression. `read` counts what goes in.
pub(in crate::scan) fn decoder<'a>(
    magic: Magic,
    input: impl Read + Send + 'a,
    read: &'a Count,
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
