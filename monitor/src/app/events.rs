//! The event plane as a task: frames in, records out, nothing waited for.
//!
//! Invariant: the plane does no I/O of its own, and what it hands on goes to queues that never block. Ends when the
//! source is stopped and the queue is empty. Spawned by `app`.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior};

use super::books::Books;
use super::{Shared, now};
use crate::kernel::{Frame, FrameReceiver};
use crate::knowledge::Knowledge;
use crate::model::Record;
use crate::plane::EventPlane;
use crate::pulls::PullSignal;

/// How often deadlines are looked at, books are published and the loop says that it lives.
const TICK: Duration = Duration::from_millis(500);

/// The task.
#[derive(Debug)]
pub(super) struct EventTask {
    pub(super) plane: EventPlane,
    pub(super) frames: FrameReceiver,
    pub(super) knowledge: watch::Receiver<Arc<Knowledge>>,
    pub(super) signals: mpsc::Sender<PullSignal>,
    pub(super) canary: watch::Sender<Option<Timestamp>>,
    pub(super) shared: Shared,
}

impl EventTask {
    /// Runs until no frame can come any more.
    pub(super) async fn run(mut self) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut books = Books::default();
        loop {
            tokio::select! {
                // Newer knowledge first: a frame may be about what it brought.
                biased;
                Ok(()) = self.knowledge.changed() => {
                    let knowledge = Arc::clone(&self.knowledge.borrow_and_update());
                    let records = self.plane.snapshot_changed(knowledge, now());
                    self.hand_on(&records);
                }
                _ = tick.tick() => {
                    let records = self.plane.tick(now());
                    self.hand_on(&records);
                    books.publish(self.plane.counts(), &self.shared.metrics);
                    self.shared.health.beat(Instant::now());
                }
                frame = self.frames.recv() => {
                    let Some(frame) = frame else { break };
                    match frame {
                        Frame::Process(frame) => self.plane.handle_process(&frame),
                        Frame::Access(frame) => {
                            let records = self.plane.handle(&frame, now());
                            self.hand_on(&records);
                        }
                    }
                }
            }
        }
        books.publish(self.plane.counts(), &self.shared.metrics);
        self.finish_recording();
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
