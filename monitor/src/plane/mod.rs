//! The event plane: one struct, plain calls, a frame in and lines of output out.
//!
//! Invariant: no I/O but what the given `Actors` does, no clock (`now` is an argument) and no waiting: what cannot be
//! judged yet is parked. Each call leaves the books balanced. Called by the agent's event task and by `replay`.

#[cfg(test)]
pub(crate) mod frames;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;

use jiff::Timestamp;

use crate::correlate::{Correlated, Correlator, PlaneSettings};
use crate::counts::StageCounts;
use crate::decide;
use crate::decode::{BootClock, decode, decode_process};
use crate::enrich::{Actors, Facts};
use crate::judge;
use crate::knowledge::Knowledge;
use crate::model::{Access, Operation, ProcessChange, ProcessKey, Record, Sighting};
use crate::pulls::PullSignal;
use crate::recording::Recorder;

/// How many pull signals wait to be taken at most; more say nothing new, the index is read again anyway.
const SIGNALS_MAX: usize = 1024;

/// See the module.
#[derive(Debug)]
pub struct EventPlane {
    boot: BootClock,
    actors: Box<dyn Actors + Send>,
    correlator: Correlator,
    signals: VecDeque<PullSignal>,
    last_canary: Option<Timestamp>,
    recorder: Option<Recorder>,
    counts: StageCounts,
}

impl EventPlane {
    /// A plane that knows nothing yet.
    pub fn new(settings: PlaneSettings, boot: BootClock, actors: Box<dyn Actors + Send>) -> Self {
        Self {
            boot,
            actors,
            correlator: Correlator::new(settings),
            signals: VecDeque::new(),
            last_canary: None,
            recorder: None,
            counts: StageCounts::default(),
        }
    }

    /// Records all that comes in from now on, the present knowledge first.
    pub fn record_to(&mut self, mut recorder: Recorder, now: Timestamp) {
        recorder.knowledge(self.correlator.knowledge(), now);
        self.recorder = Some(recorder);
    }

    /// The recorder, if the plane has one.
    pub fn recorder(&mut self) -> Option<&mut Recorder> {
        self.recorder.as_mut()
    }

    /// Takes one frame from the ring.
    pub fn handle(&mut self, frame: &[u8], now: Timestamp) -> Vec<Record> {
        self.handle_as(frame, now, None)
    }

    /// Takes one frame with the facts that a recording holds about it.
    pub fn handle_as(&mut self, frame: &[u8], now: Timestamp, facts: Option<Facts>) -> Vec<Record> {
        self.counts.decode.received += 1;
        let access = match decode(frame, &self.boot) {
            Ok(access) => access,
            Err(error) => {
                tracing::debug!(%error, "frame refused");
                self.counts.decode.drop(error.as_str());
                if let Some(recorder) = &mut self.recorder {
                    recorder.frame(frame, now, None);
                }
                return Vec::new();
            }
        };
        self.counts.decode.forwarded += 1;
        let facts = facts.unwrap_or_else(|| self.facts(&access));
        if let Some(recorder) = &mut self.recorder {
            recorder.frame(frame, now, Some(&facts));
        }
        self.take(access, facts, now)
    }

    /// Takes a file that was open before anybody looked; there is no frame for it, so the recording has the access.
    pub fn handle_open_file(&mut self, access: Access, now: Timestamp, facts: Option<Facts>) -> Vec<Record> {
        self.counts.decode.received += 1;
        self.counts.decode.forwarded += 1;
        let facts = facts.unwrap_or_else(|| self.facts(&access));
        if let Some(recorder) = &mut self.recorder {
            recorder.open_file(&access, now, &facts);
        }
        self.take(access, facts, now)
    }

    fn take(&mut self, access: Access, facts: Facts, now: Timestamp) -> Vec<Record> {
        let sighting = self.enrich(access, facts);
        match sighting.access.operation {
            Operation::Canary => {
                self.last_canary = self.last_canary.max(Some(sighting.access.time));
                self.counts.enrich.filter("canary");
                Vec::new()
            }
            Operation::Rename | Operation::Create => {
                self.signal(sighting);
                Vec::new()
            }
            Operation::Open
            | Operation::OpenDevice
            | Operation::Connect
            | Operation::Map
            | Operation::Read
            | Operation::Receive
            | Operation::Hold
            | Operation::OpenBeforeStart => {
                self.counts.enrich.forwarded += 1;
                let asker =
                    (sighting.access.operation == Operation::Connect).then(|| sighting.access.process());
                let correlated = self.correlator.submit(sighting, now, &mut self.counts);
                if let Some(process) = asker.filter(|process| self.correlator.has_ended(*process)) {
                    self.ended(process);
                }
                self.decide(correlated)
            }
        }
    }

    /// Takes one frame of the ring of processes: who lives, for the accesses to come. A recording has the facts behind
    /// each access, and of this only what becomes of those who asked an engine.
    pub fn handle_process(&mut self, frame: &[u8]) {
        self.counts.decode.received += 1;
        match decode_process(frame, &self.boot) {
            Ok(event) => {
                match event.change {
                    ProcessChange::Fork => self.began(event.parent, event.process),
                    ProcessChange::Exit => self.ended(event.process),
                    ProcessChange::Exec(_) => {}
                }
                if self.actors.learn(&event) {
                    self.counts.decode.filter("process");
                } else {
                    self.counts.decode.drop("process-table-full");
                }
            }
            Err(error) => {
                tracing::debug!(%error, "process frame refused");
                self.counts.decode.drop(error.as_str());
            }
        }
    }

    /// A process began another.
    pub(crate) fn began(&mut self, parent: ProcessKey, child: ProcessKey) {
        if self.correlator.began(parent, child)
            && let Some(recorder) = &mut self.recorder
        {
            recorder.began(parent, child);
        }
    }

    /// A process ended.
    pub(crate) fn ended(&mut self, process: ProcessKey) {
        if self.correlator.ended(process)
            && let Some(recorder) = &mut self.recorder
        {
            recorder.ended(process);
        }
    }

    /// The newest snapshot.
    pub fn knowledge(&self) -> &Arc<Knowledge> {
        self.correlator.knowledge()
    }

    /// Takes a newer snapshot and judges again what was parked.
    pub fn snapshot_changed(&mut self, knowledge: Arc<Knowledge>, now: Timestamp) -> Vec<Record> {
        if let Some(recorder) = &mut self.recorder {
            recorder.knowledge(&knowledge, now);
        }
        let correlated = self.correlator.snapshot_changed(knowledge, now, &mut self.counts);
        self.decide(correlated)
    }

    /// Lets time pass: deadlines of parked accesses and windows of repeats.
    pub fn tick(&mut self, now: Timestamp) -> Vec<Record> {
        if let Some(recorder) = self.recorder.as_mut().filter(|_| self.correlator.is_due(now)) {
            recorder.tick(now);
        }
        let correlated = self.correlator.tick(now, &mut self.counts);
        self.decide(correlated)
    }

    /// The signs of pulls since the last call, oldest first.
    pub fn take_signals(&mut self) -> Vec<PullSignal> {
        self.signals.drain(..).collect()
    }

    /// When the canary was last seen.
    pub fn last_canary(&self) -> Option<Timestamp> {
        self.last_canary
    }

    /// The books.
    pub fn counts(&self) -> &StageCounts {
        &self.counts
    }

    fn facts(&mut self, access: &Access) -> Facts {
        Facts {
            actor: self.actors.actor(access),
            user: self.actors.user(judge::subject_uid(access)),
        }
    }

    fn enrich(&mut self, access: Access, facts: Facts) -> Sighting {
        self.counts.enrich.received += 1;
        let Facts { actor, user } = facts;
        let host = self.correlator.knowledge().host();
        let subject = judge::subject(&access, &actor, user, host);
        Sighting {
            access,
            actor,
            subject,
        }
    }

    fn signal(&mut self, sighting: Sighting) {
        let Some(store) = self.correlator.knowledge().store_of_index(sighting.access.watch) else {
            self.counts.enrich.drop("unknown-index");
            return;
        };
        if self.signals.len() >= SIGNALS_MAX {
            self.counts.enrich.drop("signals-full");
            return;
        }
        self.counts.enrich.filter("pull-signal");
        let store = store.id.clone();
        self.signals.push_back(PullSignal {
            store,
            asker: self.correlator.asker_of(&sighting).map(Box::new),
            sighting,
        });
    }

    fn decide(&mut self, correlated: Vec<Correlated>) -> Vec<Record> {
        let decide_one = |one: Correlated| {
            self.counts.decide.received += 1;
            self.counts.decide.forwarded += 1;
            decide::decide(&one)
        };
        correlated.into_iter().map(decide_one).collect()
    }
}
