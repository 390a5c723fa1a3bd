//! Joins an access with what is known: attributes and judges it, holds it while the layer is not known yet, and counts
//! repeats after the first.
//!
//! Invariant: pure, bounded, and nothing vanishes: each access is forwarded, filtered for a named reason, or parked
//! until a snapshot or its deadline forwards it. The first of its kind goes out at once. Called by the event plane.

mod askers;
mod attributed;
mod holders;
mod parking;
mod repeats;
mod settings;

use std::sync::Arc;

use jiff::Timestamp;

use crate::attribute::Unattributed;
use crate::counts::StageCounts;
use crate::judge;
use crate::knowledge::Knowledge;
use crate::model::{
    Access, Asker, Assessment, Attribution, Operation, ProcessKey, Sanction, Severity, Sighting, Via,
    WatchMatch,
};
use askers::Askers;
use attributed::Attributed;
use parking::{Parked, Parking};
use repeats::{RepeatKey, Repeats};
pub use settings::PlaneSettings;

/// A judged access on its way to `decide`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Correlated {
    /// The judgement.
    pub assessment: Assessment,
    /// Why it was not attributed before its deadline; absent otherwise.
    pub unknown: Option<Unattributed>,
    /// Who had an engine do it; absent for what a process does by itself.
    pub asker: Option<Box<Asker>>,
    /// How often it happened in the present window, this time included.
    pub count: u64,
}

impl Correlated {
    /// Whether a secret was touched: by what the scan found, or by what the kernel was told to watch when the
    /// snapshot no longer knows it.
    pub fn is_sensitive(&self) -> bool {
        is_sensitive(
            &self.assessment.sighting.access,
            self.assessment.attribution.as_ref(),
        )
    }

    /// Whether a device or image file under a store was opened.
    pub fn is_raw_device(&self) -> bool {
        self.assessment.sighting.access.operation == Operation::OpenDevice
    }
}

fn is_sensitive(access: &Access, attribution: Option<&Attribution>) -> bool {
    match attribution {
        _ if matches!(access.operation, Operation::OpenDevice | Operation::Connect) => false,
        Some(attribution) => !attribution.findings.is_empty(),
        None => access.matched == WatchMatch::File,
    }
}

impl Correlated {
    /// Whether an engine's socket was connected to.
    pub fn is_connection(&self) -> bool {
        self.assessment.sighting.access.operation == Operation::Connect
    }
}

/// What is to be done with an access that need not wait.
enum Verdict {
    Forward(Judged),
    Filter(&'static str),
}

/// What goes to `decide` with an access, if it is no repeat.
struct Judged {
    attribution: Option<Arc<Attribution>>,
    sanction: Option<Sanction>,
    unknown: Option<Unattributed>,
    asker: Option<Box<Asker>>,
}

/// See the module.
#[derive(Debug)]
pub struct Correlator {
    verbose: bool,
    knowledge: Arc<Knowledge>,
    /// The snapshot before: the kernel's watches may be a little behind the newest.
    previous: Arc<Knowledge>,
    attributed: Attributed,
    parking: Parking,
    repeats: Repeats,
    askers: Askers,
}

impl Correlator {
    /// A correlator that knows nothing yet.
    pub fn new(settings: PlaneSettings) -> Self {
        Self {
            verbose: settings.verbose,
            knowledge: Arc::default(),
            previous: Arc::default(),
            attributed: Attributed::default(),
            parking: Parking::new(settings.parked_max, settings.park_seconds),
            repeats: Repeats::new(settings.repeats_max, settings.repeat_seconds),
            askers: Askers::default(),
        }
    }

    /// The newest snapshot.
    pub fn knowledge(&self) -> &Arc<Knowledge> {
        &self.knowledge
    }

    /// Takes one access.
    pub fn submit(
        &mut self,
        sighting: Sighting,
        now: Timestamp,
        counts: &mut StageCounts,
    ) -> Vec<Correlated> {
        counts.correlate.received += 1;
        match self.judge(&sighting, counts) {
            Err(reason) => {
                let evicted = self.parking.park(sighting, reason, now);
                counts.correlate.parked = self.parking.len();
                evicted
                    .into_iter()
                    .filter_map(|one| self.give_up(one, "parking-full", now, counts))
                    .collect()
            }
            Ok(verdict) => self.settle(verdict, sighting, now, counts).into_iter().collect(),
        }
    }

    /// Takes a newer snapshot and judges again what is parked; an older one changes nothing.
    pub fn snapshot_changed(
        &mut self,
        knowledge: Arc<Knowledge>,
        now: Timestamp,
        counts: &mut StageCounts,
    ) -> Vec<Correlated> {
        if knowledge.generation() < self.knowledge.generation() {
            return Vec::new();
        }
        self.previous = std::mem::replace(&mut self.knowledge, knowledge);
        self.attributed.forget();
        let mut out = Vec::new();
        for mut parked in self.parking.take_all() {
            match self.judge(&parked.sighting, counts) {
                Err(reason) => {
                    parked.reason = reason;
                    self.parking.put_back(parked);
                }
                Ok(verdict) => {
                    *counts.unparked.entry("resolved").or_default() += 1;
                    out.extend(self.settle(verdict, parked.sighting, now, counts));
                }
            }
        }
        counts.correlate.parked = self.parking.len();
        out
    }

    /// Reports what waited too long, and closes windows of repeats.
    pub fn tick(&mut self, now: Timestamp, counts: &mut StageCounts) -> Vec<Correlated> {
        let mut out = Vec::new();
        for parked in self.parking.take_overdue(now) {
            out.extend(self.give_up(parked, "deadline", now, counts));
        }
        counts.correlate.parked = self.parking.len();
        for summary in self.repeats.close(now) {
            counts.correlate.released += 1;
            counts.correlate.forwarded += 1;
            out.push(summary);
        }
        out
    }

    /// For whom an engine committed an image, as far as its sockets show.
    pub fn asker_of(&mut self, commit: &Sighting) -> Option<Asker> {
        self.askers
            .of_commit(&commit.access, &commit.actor, &self.knowledge)
    }

    /// A process began another; whether that changes what will be said.
    pub fn began(&mut self, parent: ProcessKey, child: ProcessKey) -> bool {
        self.askers.began(parent, child)
    }

    /// A process ended; whether that changes what will be said.
    pub fn ended(&mut self, process: ProcessKey) -> bool {
        self.askers.ended(process)
    }

    /// Whether a process is known to have ended, although its access is told only now.
    pub fn has_ended(&self, process: ProcessKey) -> bool {
        self.askers.has_ended(process)
    }

    /// Whether [`Correlator::tick`] would change anything.
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.parking.is_due(now) || self.repeats.is_due(now)
    }

    /// What is to be done with an access, or why it has to wait.
    fn judge(&mut self, sighting: &Sighting, counts: &mut StageCounts) -> Result<Verdict, Unattributed> {
        let access = &sighting.access;
        if access.operation == Operation::OpenDevice {
            return Ok(self.judge_device(sighting));
        }
        if access.operation == Operation::Connect {
            return Ok(self.judge_connection(sighting, counts));
        }
        if !is_file(access) {
            return Ok(Verdict::Filter("not-a-file"));
        }
        let attributed = self.attribute(access);
        let found = attributed.as_ref().ok().map(Arc::as_ref);
        let sanction = judge::sanction(sighting, found, &self.knowledge);
        let is_finding = found.is_some_and(|found| !found.findings.is_empty());
        if sanction == Some(Sanction::EngineAtWork)
            && is_finding
            && let Some(asker) = self.askers.of(access, &sighting.actor, &self.knowledge)
        {
            // The engine reads for somebody: it is no sanction for them.
            return Ok(Verdict::Forward(Judged {
                attribution: attributed.ok(),
                sanction: None,
                unknown: None,
                asker: Some(Box::new(asker)),
            }));
        }
        if let Some(sanction) = sanction.filter(|_| !self.verbose) {
            return Ok(Verdict::Filter(sanction.as_str()));
        }
        if sanction.is_none() {
            let found = attributed.as_ref().map_err(|reason| *reason)?;
            if !found.scanned {
                return Err(Unattributed::NotScanned);
            }
        }
        let ordinary = found.is_some_and(|found| found.findings.is_empty());
        if ordinary && access.via == Via::Overlay && !self.verbose {
            return Ok(Verdict::Filter("ordinary-content"));
        }
        Ok(Verdict::Forward(Judged {
            attribution: attributed.ok(),
            sanction,
            unknown: None,
            asker: None,
        }))
    }

    /// A connection is remembered, for what the engine reads then; alone it is only counted.
    fn judge_connection(&mut self, sighting: &Sighting, counts: &mut StageCounts) -> Verdict {
        let Some(socket) = self.knowledge.engine_socket(sighting.access.file) else {
            return Verdict::Filter("unknown-socket");
        };
        let sanction = judge::sanction(sighting, None, &self.knowledge);
        if sanction == Some(Sanction::HostRoot) {
            self.askers.note(socket, sighting, false);
        }
        if let Some(sanction) = sanction.filter(|_| !self.verbose) {
            return Verdict::Filter(sanction.as_str());
        }
        if sanction.is_none() {
            if sighting.subject.uid == socket.owner_uid && sighting.actor.container.is_none() {
                return Verdict::Filter("own-socket");
            }
            self.askers.note(socket, sighting, true);
            counts.asked += 1;
            if !self.verbose {
                return Verdict::Filter("engine-socket");
            }
        }
        Verdict::Forward(Judged {
            attribution: None,
            sanction,
            unknown: None,
            asker: None,
        })
    }

    /// A device belongs to no layer and waits for no scan.
    fn judge_device(&self, sighting: &Sighting) -> Verdict {
        match judge::sanction(sighting, None, &self.knowledge) {
            Some(sanction) if !self.verbose => Verdict::Filter(sanction.as_str()),
            sanction => Verdict::Forward(Judged {
                attribution: None,
                sanction,
                unknown: None,
                asker: None,
            }),
        }
    }

    fn attribute(&mut self, access: &Access) -> Result<Arc<Attribution>, Unattributed> {
        self.attributed.of(access, &self.knowledge, &self.previous)
    }

    fn give_up(
        &mut self,
        parked: Parked,
        outcome: &'static str,
        now: Timestamp,
        counts: &mut StageCounts,
    ) -> Option<Correlated> {
        *counts.unparked.entry(outcome).or_default() += 1;
        let judged = Judged {
            attribution: self.attribute(&parked.sighting.access).ok(),
            sanction: None,
            unknown: Some(parked.reason),
            asker: None,
        };
        self.settle(Verdict::Forward(judged), parked.sighting, now, counts)
    }

    fn settle(
        &mut self,
        verdict: Verdict,
        sighting: Sighting,
        now: Timestamp,
        counts: &mut StageCounts,
    ) -> Option<Correlated> {
        let reason = match verdict {
            Verdict::Forward(judged) => {
                let key = RepeatKey::of(&sighting, &judged);
                if !self.repeats.is_repeat(&key, sighting.access.time) {
                    counts.correlate.forwarded += 1;
                    let attribution = judged.attribution.map(Arc::unwrap_or_clone);
                    let correlated = Correlated {
                        assessment: assess(sighting, attribution, judged.sanction),
                        unknown: judged.unknown,
                        asker: judged.asker,
                        count: 1,
                    };
                    self.repeats.begin(key, &correlated, now);
                    return Some(correlated);
                }
                "repeat"
            }
            Verdict::Filter(reason) => reason,
        };
        counts.correlate.filter(reason);
        None
    }
}

/// Regular files hold secrets; directories are listed by the thousand. A mode that could not be read may be a file's.
fn is_file(access: &Access) -> bool {
    const TYPE: u32 = 0o170_000;
    const REGULAR: u32 = 0o100_000;
    matches!(access.mode & TYPE, REGULAR | 0)
}

fn assess(sighting: Sighting, attribution: Option<Attribution>, sanction: Option<Sanction>) -> Assessment {
    let findings = attribution.iter().flat_map(|found| &found.findings);
    let severity = findings
        .map(|finding| finding.severity)
        .max()
        .unwrap_or(Severity::Info);
    Assessment {
        sighting,
        attribution,
        sanction,
        severity,
    }
}
