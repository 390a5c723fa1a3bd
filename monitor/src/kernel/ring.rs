//! From the ring to a bounded queue of frames.
//!
//! Invariant: the pump does nothing but copy; a frame that does not fit the queue is counted in `RingLosses`. It ends
//! when the stop signal comes or the receiver is gone. Called by `app`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aya::maps::{MapData, RingBuf};
use rustix::event::{PollFd, PollFlags, Timespec};
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;

/// The ring that the programs write and the agent reads.
pub struct Ring(RingBuf<MapData>);

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ring")
    }
}

/// Frames for the event plane.
pub type FrameReceiver = mpsc::Receiver<Vec<u8>>;

/// What was lost between the ring and the event plane.
#[derive(Debug, Default)]
pub struct RingLosses {
    queue_full: AtomicU64,
}

impl RingLosses {
    /// Frames that found the queue full.
    pub fn queue_full(&self) -> u64 {
        self.queue_full.load(Ordering::Relaxed)
    }
}

/// Copies frames from the ring into `frames` until `stop` resolves or the receiver is dropped.
pub async fn pump(
    ring: Ring,
    frames: mpsc::Sender<Vec<u8>>,
    losses: Arc<RingLosses>,
    stop: impl Future<Output = ()>,
) -> std::io::Result<()> {
    let mut ring = register(ring.0)?;
    tokio::pin!(stop);
    loop {
        let mut ready = tokio::select! {
            () = &mut stop => return Ok(()),
            () = frames.closed() => return Ok(()),
            ready = ring.readable_mut() => ready?,
        };
        while let Some(frame) = ready.get_inner_mut().next() {
            if frames.try_send(frame.to_vec()).is_err() {
                losses.queue_full.fetch_add(1, Ordering::Relaxed);
            }
        }
        ready.clear_ready();
    }
}

#[expect(
    unsafe_code,
    reason = "tokio asks for the promise that the descriptor stays the same"
)]
fn register(ring: RingBuf<MapData>) -> std::io::Result<AsyncFd<RingBuf<MapData>>> {
    // SAFETY: the ring owns its descriptor and neither closes nor replaces it before it is dropped.
    unsafe { AsyncFd::register(ring) }.map_err(std::io::Error::from)
}

impl Ring {
    pub(super) fn new(ring: RingBuf<MapData>) -> Self {
        Self(ring)
    }

    /// The next frame, waited for at most `deadline`.
    pub fn wait(&mut self, deadline: Duration) -> Option<Vec<u8>> {
        if let Some(frame) = self.0.next() {
            return Some(frame.to_vec());
        }
        let timeout = Timespec {
            tv_sec: i64::try_from(deadline.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(deadline.subsec_nanos()),
        };
        let mut polled = [PollFd::new(&self.0, PollFlags::IN)];
        // An interrupted wait is a short wait: the caller asks again.
        match rustix::event::poll(&mut polled, Some(&timeout)) {
            Ok(_) | Err(_) => self.0.next().map(|frame| frame.to_vec()),
        }
    }
}
