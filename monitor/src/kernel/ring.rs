//! From the rings to one bounded queue of frames.
//!
//! Invariant: the pump does nothing but copy. What was known of processes goes before the access that came after it. An
//! access stays in its ring until what came of it is safe, and waits there for room in the queue: the ring is the one place
//! where an access can be lost, and the kernel counts it. Process frames take at most half of the queue and are given back
//! at once. Ends when the stop signal comes or the receiver is gone. Called by `app`.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;

use aya::maps::MapData;
use layerwatch_ebpf::RING_BYTES;
use rustix::event::{PollFd, PollFlags, Timespec};
use tokio::io::unix::AsyncFd;
use tokio::sync::{mpsc, watch};
use tokio::time::MissedTickBehavior;

use super::consumer::{Consumer, Position};

/// How long a process frame waits at most while there is room and no access: the kernel wakes nobody for it.
const PROCESS_TICK: Duration = Duration::from_millis(250);
/// How often the ring is looked at while something in it is not given back: the kernel wakes only a reader that has
/// caught up.
const BEHIND_TICK: Duration = Duration::from_millis(10);
/// From here on room is given back for what is judged, told or not: an alert that may be lost with the agent is better
/// than an access that is lost for certain.
const CROWDED: u64 = RING_BYTES as u64 / 2;

/// A ring that the programs write and the agent reads.
#[derive(Debug)]
pub struct Ring {
    map: MapData,
    consumer: Consumer,
}

/// One record's bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// From the ring of accesses, and where it ends there.
    Access(Vec<u8>, Position),
    /// From the ring of processes.
    Process(Vec<u8>),
}

/// Frames for the event plane.
pub type FrameReceiver = mpsc::Receiver<Frame>;

/// Up to where accesses may be given back.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct GiveBack {
    /// What came of all before it is told.
    pub safe: Position,
    /// All before it is at least judged: what the pump goes by when the ring runs full.
    pub judged: Position,
}

/// Copies frames from the rings into `frames` until `stop` resolves or the receiver is dropped.
pub async fn pump(
    accesses: Ring,
    processes: Ring,
    frames: mpsc::Sender<Frame>,
    give_back: watch::Receiver<GiveBack>,
    stop: impl Future<Output = ()>,
) -> std::io::Result<()> {
    let (mut accesses, mut processes) = (register(accesses)?, register(processes)?);
    let mut tick = tokio::time::interval(PROCESS_TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut behind = tokio::time::interval(BEHIND_TICK);
    behind.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tokio::pin!(stop);
    loop {
        let caught_up = copy(
            accesses.get_mut(),
            processes.get_mut(),
            &frames,
            *give_back.borrow(),
        );
        tokio::select! {
            () = &mut stop => break,
            () = frames.closed() => return Ok(()),
            ready = accesses.readable_mut(), if caught_up => ready?.clear_ready(),
            _ = behind.tick(), if !caught_up => {}
            ready = processes.readable_mut() => ready?.clear_ready(),
            _ = tick.tick() => {}
        }
    }
    drop(frames);
    run_dry(accesses.get_mut(), give_back).await;
    Ok(())
}

/// The event plane empties its queue; what it tells until it ends is given back, so that the next agent does not tell it
/// again.
async fn run_dry(accesses: &mut Ring, mut give_back: watch::Receiver<GiveBack>) {
    while give_back.changed().await.is_ok() {
        let upto = *give_back.borrow_and_update();
        accesses.consumer.give_back(upto.safe);
    }
    let upto = *give_back.borrow();
    accesses.consumer.give_back(upto.safe);
}

/// Copies what is there and fits; whether the ring of accesses is empty, and all of it given back.
fn copy(
    accesses: &mut Ring,
    processes: &mut Ring,
    frames: &mpsc::Sender<Frame>,
    give_back: GiveBack,
) -> bool {
    copy_processes(processes, frames);
    loop {
        let Ok(room) = frames.try_reserve() else { break };
        let Some((frame, end)) = accesses.consumer.next() else {
            break;
        };
        room.send(Frame::Access(frame.to_vec(), end));
        copy_processes(processes, frames);
    }
    let crowded = accesses.consumer.held() > CROWDED;
    let upto = if crowded { give_back.judged } else { give_back.safe };
    accesses.consumer.give_back(upto)
}

/// Copies what is there and fits the processes' half of the queue.
fn copy_processes(ring: &mut Ring, frames: &mpsc::Sender<Frame>) {
    while frames.capacity() > frames.max_capacity() / 2 {
        let Ok(room) = frames.try_reserve() else { break };
        let Some((frame, _)) = ring.consumer.next() else {
            break;
        };
        room.send(Frame::Process(frame.to_vec()));
    }
    let read = ring.consumer.read();
    ring.consumer.give_back(read);
}

#[expect(
    unsafe_code,
    reason = "tokio asks for the promise that the descriptor stays the same"
)]
fn register(ring: Ring) -> std::io::Result<AsyncFd<Ring>> {
    // SAFETY: the ring owns its descriptor and neither closes nor replaces it before it is dropped.
    unsafe { AsyncFd::register(ring) }.map_err(std::io::Error::from)
}

impl Ring {
    /// The ring in `map`, whose data takes `size` bytes.
    pub(super) fn new(map: MapData, size: u32) -> std::io::Result<Self> {
        let consumer = Consumer::new(map.fd().as_fd(), size)?;
        Ok(Self { map, consumer })
    }

    /// The next frame, waited for at most `deadline`; its room is given back.
    pub fn wait(&mut self, deadline: Duration) -> Option<Vec<u8>> {
        let frame = self.peek(deadline);
        self.forget();
        frame
    }

    /// The next frame, waited for at most `deadline`; it stays in the ring.
    pub(super) fn peek(&mut self, deadline: Duration) -> Option<Vec<u8>> {
        if let Some((frame, _)) = self.consumer.next() {
            return Some(frame.to_vec());
        }
        // The kernel wakes only a reader that has caught up.
        let deadline = if self.consumer.held() > 0 {
            deadline.min(BEHIND_TICK)
        } else {
            deadline
        };
        let timeout = Timespec {
            tv_sec: i64::try_from(deadline.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(deadline.subsec_nanos()),
        };
        let mut polled = [PollFd::new(self.map.fd(), PollFlags::IN)];
        // An interrupted wait is a short wait: the caller asks again.
        match rustix::event::poll(&mut polled, Some(&timeout)) {
            Ok(_) | Err(_) => self.consumer.next().map(|(frame, _)| frame.to_vec()),
        }
    }

    /// Gives back what was peeked at.
    pub(super) fn forget(&mut self) {
        let read = self.consumer.read();
        self.consumer.give_back(read);
    }

    /// What was peeked at is read again.
    pub(super) fn rewind(&mut self) {
        self.consumer.rewind();
    }
}

impl AsFd for Ring {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.map.fd().as_fd()
    }
}

impl AsRawFd for Ring {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}
