//! From the rings to one bounded queue of frames.
//!
//! Invariant: the pump does nothing but copy. What was known of processes goes before the access that came after it. An
//! access that does not fit the queue is counted in `RingLosses`; process frames take at most half of the queue and wait
//! in their ring for room, where the kernel counts what is lost. It ends when the stop signal comes or the receiver is
//! gone. Called by `app`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aya::maps::{MapData, RingBuf};
use rustix::event::{PollFd, PollFlags, Timespec};
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

/// How long a process frame waits at most while there is room and no access: the kernel wakes nobody for it.
const PROCESS_TICK: Duration = Duration::from_millis(250);

/// The ring that the programs write and the agent reads.
pub struct Ring(RingBuf<MapData>);

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ring")
    }
}

/// One record's bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// From the ring of accesses.
    Access(Vec<u8>),
    /// From the ring of processes.
    Process(Vec<u8>),
}

/// Frames for the event plane.
pub type FrameReceiver = mpsc::Receiver<Frame>;

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

/// Copies frames from the rings into `frames` until `stop` resolves or the receiver is dropped.
pub async fn pump(
    accesses: Ring,
    processes: Ring,
    frames: mpsc::Sender<Frame>,
    losses: Arc<RingLosses>,
    stop: impl Future<Output = ()>,
) -> std::io::Result<()> {
    let (mut accesses, mut processes) = (register(accesses.0)?, register(processes.0)?);
    let mut tick = tokio::time::interval(PROCESS_TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tokio::pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => return Ok(()),
            () = frames.closed() => return Ok(()),
            ready = accesses.readable_mut() => {
                let mut ready = ready?;
                while let Some(frame) = ready.get_inner_mut().next() {
                    copy_processes(processes.get_mut(), &frames);
                    if frames.try_send(Frame::Access(frame.to_vec())).is_err() {
                        losses.queue_full.fetch_add(1, Ordering::Relaxed);
                    }
                }
                ready.clear_ready();
            }
            ready = processes.readable_mut() => {
                let mut ready = ready?;
                copy_processes(ready.get_inner_mut(), &frames);
                // What found no room is met again by the tick.
                ready.clear_ready();
            }
            _ = tick.tick() => copy_processes(processes.get_mut(), &frames),
        }
    }
}

/// Copies what is there and fits the processes' half of the queue.
fn copy_processes(ring: &mut RingBuf<MapData>, frames: &mpsc::Sender<Frame>) {
    while frames.capacity() > frames.max_capacity() / 2 {
        let Some(frame) = ring.next() else { return };
        if frames.try_send(Frame::Process(frame.to_vec())).is_err() {
            // Only when the receiver is gone, which ends the pump.
            return;
        }
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
