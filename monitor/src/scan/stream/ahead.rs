//! A stream that is read on a thread of its own, some buffers ahead of who wants it.
//!
//! Decoding a layer, its digest and the search through it take about as long each; one after the other, each on a thread,
//! a layer takes as long as the slowest. Invariant: [`BUFFERS`] buffers go round, whatever comes; a fault is told after the bytes that
//! stood before it; a reader that goes away ends the thread, and nobody goes on before it has ended. Used by `archive`.

use std::io::Read;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use super::{Fault, Stream};

const BUFFERS: usize = 4;
const BUFFER_BYTES: usize = 64 << 10;

/// Calls `take` with what `source` gives, while `source` is read on; that no thread can be had is a fault.
pub(in crate::scan) fn ahead<T>(
    source: &mut dyn Stream,
    take: impl FnOnce(&mut dyn Stream) -> T,
) -> Result<T, Fault> {
    let (give, filled) = sync_channel(BUFFERS);
    let (give_back, empty) = sync_channel(BUFFERS);
    for _ in 0..BUFFERS {
        // There is room for all of them.
        drop(give_back.try_send(vec![0; BUFFER_BYTES]));
    }
    thread::scope(|scope| {
        thread::Builder::new()
            .name("read-ahead".to_owned())
            .spawn_scoped(scope, move || produce(source, &empty, &give))?;
        Ok(take(&mut Ahead {
            filled,
            give_back,
            part: Part::default(),
            at: 0,
        }))
    })
}

/// A buffer and what is in it.
#[derive(Default)]
struct Part {
    buffer: Vec<u8>,
    length: usize,
    /// Nothing follows, or a fault does.
    end: Option<Result<(), Fault>>,
}

/// Fills what is empty, to the end or until nobody wants more.
fn produce(source: &mut dyn Stream, empty: &Receiver<Vec<u8>>, give: &SyncSender<Part>) {
    while let Ok(buffer) = empty.recv() {
        let part = filled(source, buffer);
        let ended = part.end.is_some();
        if give.send(part).is_err() || ended {
            return;
        }
    }
}

fn filled(source: &mut dyn Stream, mut buffer: Vec<u8>) -> Part {
    let mut length = 0;
    let mut end = None;
    while let Some(room) = buffer.get_mut(length..).filter(|room| !room.is_empty()) {
        match source.read(room) {
            Ok(0) => end = Some(Ok(())),
            Ok(read) => length += read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => end = Some(Err(error.into())),
        }
        if end.is_some() {
            break;
        }
    }
    Part { buffer, length, end }
}

/// The reader's side.
struct Ahead {
    filled: Receiver<Part>,
    give_back: SyncSender<Vec<u8>>,
    part: Part,
    /// Where in the part it is.
    at: usize,
}

impl Ahead {
    /// What can be read at once; nothing at the end.
    fn present(&mut self) -> Result<&[u8], Fault> {
        while self.at >= self.part.length {
            if let Some(end) = self.part.end {
                return end.map(|()| <&[u8]>::default());
            }
            // At the beginning there is none to give back, and at the end nobody takes it.
            let used = std::mem::take(&mut self.part.buffer);
            if !used.is_empty() {
                drop(self.give_back.try_send(used));
            }
            // Without a last part the thread has panicked, which its scope tells.
            self.part = self.filled.recv().map_err(|_ended| Fault::Damaged)?;
            self.at = 0;
        }
        Ok(self
            .part
            .buffer
            .get(self.at..self.part.length)
            .unwrap_or_default())
    }
}

impl Read for Ahead {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let mut present = self.present()?;
        let read = present.read(buffer)?;
        self.at += read;
        Ok(read)
    }
}

impl Stream for Ahead {
    fn skip(&mut self, mut count: u64) -> Result<(), Fault> {
        while count > 0 {
            let present = self.present()?.len();
            if present == 0 {
                return Err(Fault::Damaged);
            }
            let passed = usize::try_from(count).unwrap_or(usize::MAX).min(present);
            self.at += passed;
            count -= u64::try_from(passed).unwrap_or(0);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::{Duration, Instant};

    use super::*;

    /// So many bytes that count upwards, then a fault or the end; `given` is how many were read.
    struct Counting<'c> {
        left: usize,
        end: Result<(), Fault>,
        given: &'c AtomicUsize,
    }

    impl Read for Counting<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let given = self.given.load(Ordering::SeqCst);
            let length = buffer.len().min(self.left).min(40_000);
            if length == 0 {
                return self.end.map(|()| 0).map_err(Into::into);
            }
            for (number, byte) in buffer.iter_mut().take(length).enumerate() {
                *byte = pattern(given + number);
            }
            self.left -= length;
            self.given.store(given + length, Ordering::SeqCst);
            Ok(length)
        }
    }

    impl Stream for Counting<'_> {}

    fn pattern(at: usize) -> u8 {
        u8::try_from(at % 251).unwrap()
    }

    #[test]
    fn the_same_bytes_come_and_a_fault_stands_where_it_stood() {
        let whole = BUFFERS * BUFFER_BYTES * 2;
        for length in [0, 1, BUFFER_BYTES, BUFFER_BYTES + 1, whole, whole + 17] {
            for end in [Ok(()), Err(Fault::Bomb), Err(Fault::Read(Some(5)))] {
                let given = AtomicUsize::new(0);
                let mut source = Counting {
                    left: length,
                    end,
                    given: &given,
                };
                let (read, ended, skipped) = ahead(&mut source, |stream| {
                    let skipped = length / 3;
                    stream.skip(skipped.try_into().unwrap()).unwrap();
                    let mut bytes = Vec::new();
                    let ended = stream.read_to_end(&mut bytes).map_err(Fault::from);
                    // The end stays where it is.
                    assert_eq!(stream.read(&mut [0; 8]).map_err(Fault::from), end.map(|()| 0));
                    assert_eq!(stream.skip(1), end.and(Err(Fault::Damaged)));
                    (bytes, ended.map(|_| ()), skipped)
                })
                .unwrap();
                let expected: Vec<u8> = (skipped..length).map(pattern).collect();
                assert!(read == expected, "{length} bytes, {} of them", read.len());
                assert_eq!(ended, end, "{length}");
            }
        }
    }

    #[test]
    fn it_is_no_further_ahead_than_its_buffers_and_ends_with_its_reader() {
        let given = AtomicUsize::new(0);
        let mut endless = Counting {
            left: usize::MAX,
            end: Ok(()),
            given: &given,
        };
        let deadline = Instant::now() + Duration::from_secs(30);
        let at_most = BUFFERS * BUFFER_BYTES;
        ahead(&mut endless, |_stream| {
            while given.load(Ordering::SeqCst) < at_most {
                assert!(Instant::now() < deadline, "it reads while nobody asks");
                thread::yield_now();
            }
        })
        .unwrap();
        assert_eq!(given.load(Ordering::SeqCst), at_most);
    }
}
