//! The event plane as a task: frames in, records out, nothing waited for.
//!
//! Invariant: the plane does no I/O of its own, and what it hands on goes to queues that never block. While the log has no
//! room, frames wait in the ring, for a second; a log that stands still then loses lines, and the other sinks do not. Ends
//! when the source is stopped and the queue is empty. Spawned by `app`.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior};

use super::books::Books;
use super::open_files::OpenFiles;
use super::safe::Safe;
use super::{Shared, now};
use crate::kernel::{Frame, FrameReceiver, GiveBack};
use crate::knowledge::Knowledge;
use crate::model::Record;
use crate::plane::EventPlane;
use crate::pulls::PullSignal;

/// How often deadlines are looked at, books are published and the loop says that it lives.
const TICK: Duration = Duration::from_millis(500);
/// How often it is looked at how far the log is.
const SETTLE: Duration = Duration::from_millis(10);
/// Frames that are taken before anything else is looked at, the log's room and newer knowledge apart.
const BATCH: usize = 64;
/// Records that one frame may give.
const LOG_ROOM: usize = 64;
/// How long frames wait for a log without room.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long what was left in the ring waits for the stores to be read and scanned.
pub(super) const HOLD: Duration = Duration::from_mins(1);
/// How long the log may take at the end.
const LAST_LINES: Duration = Duration::from_secs(3);

/// The task.
#[derive(Debug)]
pub(super) struct EventTask {
    pub(super) plane: EventPlane,
    pub(super) open_files: OpenFiles,
    pub(super) frames: FrameReceiver,
    pub(super) knowledge: watch::Receiver<Arc<Knowledge>>,
    pub(super) signals: mpsc::Sender<PullSignal>,
    pub(super) canary: watch::Sender<Option<Timestamp>>,
    pub(super) give_back: watch::Sender<GiveBack>,
    pub(super) safe: Safe,
    /// Until when what an agent before this one left waits for the stores to be known again.
    pub(super) hold: Option<Instant>,
    /// Since when the log has had no room.
    pub(super) full_since: Option<Instant>,
    pub(super) shared: Shared,
}

impl EventTask {
    /// Runs until no frame can come any more.
    pub(super) async fn run(mut self) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut settle = tokio::time::interval(SETTLE);
        settle.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut books = Books::default();
        loop {
            let open = !self.holds() && self.log_takes_more();
            tokio::select! {
                // Newer knowledge first: a frame may be about what it brought.
                biased;
                Ok(()) = self.knowledge.changed() => {
                    let knowledge = Arc::clone(&self.knowledge.borrow_and_update());
                    let records = self.plane.snapshot_changed(Arc::clone(&knowledge), now());
                    self.hand_on(&records);
                    self.tell_open_files(&knowledge);
                }
                Some(listing) = self.open_files.listing() => {
                    self.open_files.take(listing, &self.shared.metrics);
                    let knowledge = Arc::clone(&self.knowledge.borrow());
                    self.tell_open_files(&knowledge);
                }
                _ = tick.tick() => {
                    let records = self.plane.tick(now());
                    self.hand_on(&records);
                    books.publish(self.plane.counts(), &self.shared.metrics);
                    self.shared.health.beat(Instant::now());
                }
                _ = settle.tick(), if !open || self.safe.is_waiting() => self.settle(),
                frame = self.frames.recv(), if open => {
                    let Some(frame) = frame else { break };
                    self.take(&frame);
                    self.take_more();
                }
            }
        }
        books.publish(self.plane.counts(), &self.shared.metrics);
        self.finish_recording();
        self.last_lines().await;
    }

    fn take(&mut self, frame: &Frame) {
        match frame {
            Frame::Process(frame) => self.plane.handle_process(frame),
            Frame::Access(frame, end) => {
                let records = self.plane.handle(frame, now());
                self.hand_on(&records);
                let parked = self.plane.counts().correlate.parked;
                self.safe.judged(*end, self.shared.sinks.logged(), parked);
            }
        }
    }

    /// Takes what waits already, since asking all that may come is dear in a flood; newer knowledge comes first all the same.
    fn take_more(&mut self) {
        for _ in 0..BATCH {
            if self.knowledge.has_changed().unwrap_or(false) || !self.log_takes_more() {
                return;
            }
            let Ok(frame) = self.frames.try_recv() else { return };
            self.take(&frame);
        }
    }

    /// Whether what lies in the ring since before the start still has to wait: without knowledge of the stores it could
    /// only be reported as unknown.
    fn holds(&mut self) -> bool {
        let known = self.plane.knowledge();
        let over =
            |until: &mut Instant| *until <= Instant::now() || (known.generation() > 0 && known.is_complete());
        self.hold.take_if(over);
        self.hold.is_some()
    }

    /// Whether the log has room for what a frame may give, or has had none for so long that it is not waited for.
    fn log_takes_more(&mut self) -> bool {
        if self.shared.sinks.log_has_room(LOG_ROOM) {
            self.full_since = None;
            return true;
        }
        let since = *self.full_since.get_or_insert_with(Instant::now);
        since.elapsed() > PATIENCE
    }

    /// Tells the pump up to where everything is told.
    fn settle(&mut self) {
        self.safe.parked(self.plane.counts().correlate.parked);
        let upto = self.safe.settled(self.shared.sinks.log_settled());
        self.give_back
            .send_if_modified(|last| std::mem::replace(last, upto) != upto);
    }

    /// Waits until the log has written what this run found, so that the next one does not tell it again.
    async fn last_lines(&mut self) {
        let deadline = Instant::now() + LAST_LINES;
        self.settle();
        while self.safe.is_waiting() && Instant::now() < deadline {
            tokio::time::sleep(SETTLE).await;
            self.settle();
        }
    }

    /// Tells of the files that were open before anybody looked, when it is known what is in them.
    fn tell_open_files(&mut self, knowledge: &Knowledge) {
        for access in self.open_files.known(knowledge, &self.shared.metrics, now()) {
            let records = self.plane.handle_open_file(access, now(), None);
            self.hand_on(&records);
        }
    }

    fn hand_on(&mut self, records: &[Record]) {
        for record in records {
            self.shared.sinks.emit(record);
        }
        for signal in self.plane.take_signals() {
            // A full queue means that the knowledge plane has signs enough: it reads the index anyway.
            if self.signals.try_send(signal).is_err() {
                tracing::debug!("a sign of a pull was not needed");
            }
        }
        let seen = self.plane.last_canary();
        self.canary.send_if_modified(|last| {
            let newer = *last < seen;
            *last = seen;
            newer
        });
    }

    fn finish_recording(&mut self) {
        let Some(recorder) = self.plane.recorder() else {
            return;
        };
        match recorder.finish() {
            Ok(counts) => tracing::info!(?counts, "recording finished"),
            Err(error) => {
                tracing::error!(
                    error = crate::telemetry::happenings::chain(&error),
                    "the recording has no end"
                );
            }
        }
    }
}
