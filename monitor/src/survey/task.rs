//! The knowledge plane as a task of the agent.
//!
//! Invariant: a change of a store leads to a new snapshot before anything is scanned, so that new layers are watched at
//! once; scanning goes on between changes, one thing at a time. Ends when it is told to stop. Started by `app`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout};

use super::attempts::{Attempts, Failure};
use super::exposed::{self, Exposed};
use super::signs::Signs;
use super::witness::Procfs;
use super::{Survey, inventory};
use crate::catalog::{self, Catalog, Problem, StoreEvent, StoreWatch};
use crate::knowledge::{Knowledge, KnowledgeParts};
use crate::model::{ArrivalKind, ExposedReport, ImageId, PullReport, StoreId};
use crate::pulls::{Arrival, PullJoin, PullSignal};
use crate::scan::ScanError;
use crate::telemetry::Inventory;
use crate::telemetry::KnowledgePart;

/// How often everything is judged again without a sign of change: modes and policies change silently.
const RECHECK: Duration = Duration::from_secs(15);
/// How long an image that has a digest for its only name may wait for its tag, or for being unpacked.
const SETTLE: Duration = Duration::from_millis(500);
/// How long an image may wait while something is unpacked in its namespace: what a pull that was killed has left there stays.
const UNPACK: Duration = Duration::from_secs(10);
/// While many layers are scanned, the results so far are published this often.
const PUBLISH: Duration = Duration::from_millis(500);

/// What the task hands on.
pub struct Outputs {
    /// The newest snapshot, for the event plane.
    pub knowledge: watch::Sender<Arc<Knowledge>>,
    /// Makes the kernel watch what a snapshot says; called when the snapshot is published.
    pub arm: Box<dyn FnMut(&Knowledge) + Send>,
    /// An image arrived.
    pub pulled: Box<dyn FnMut(PullReport) + Send>,
    /// Something happened that people should hear of.
    pub happened: Box<dyn FnMut(Happening<'_>) + Send>,
    /// The wall clock.
    pub clock: fn() -> Timestamp,
}

impl fmt::Debug for Outputs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Outputs")
    }
}

/// What people should hear of.
#[derive(Debug)]
pub enum Happening<'a> {
    /// A snapshot was published.
    Built {
        /// What it holds.
        inventory: &'a Inventory,
        /// Its number.
        generation: u64,
        /// When it was done.
        time: Timestamp,
        /// How long it took.
        took: Duration,
        /// Whether it differs from the one before; only then it is published.
        changed: bool,
    },
    /// A part failed; the rest goes on.
    Failed {
        /// Which part.
        part: KnowledgePart,
        /// Why.
        error: &'a (dyn std::error::Error + 'static),
    },
    /// Something of a store could not be read or believed, and could before; the rest goes on.
    Problem {
        /// What.
        problem: &'a Problem,
    },
    /// A store became open by one component, or was closed.
    Exposed {
        /// What is or was open.
        report: &'a ExposedReport,
        /// Whether it is open now.
        active: bool,
    },
    /// A directory is not watched, or changes were missed.
    Unwatched {
        /// What and why, for people.
        detail: String,
    },
}

/// The task.
#[derive(Debug)]
pub struct SurveyTask {
    survey: Survey,
    watch: StoreWatch,
    signs: Signs,
    outputs: Outputs,
    join: PullJoin,
    /// What pulls are told from; absent until the first reading, whose images were there before the agent.
    reported: Option<Arc<Catalog>>,
    /// Images that may get their tag yet, or be unpacked, and since when: told at the next look, whatever they are called then, or
    /// when nothing is unpacked any more.
    unsettled: BTreeMap<(StoreId, ImageId), Instant>,
    /// Pulls that are under way.
    attempts: Attempts,
    /// The problems that were told.
    problems: Vec<Problem>,
    /// The exposures that were told.
    exposed: Exposed,
    last: KnowledgeParts,
    last_publish: Instant,
}

impl SurveyTask {
    /// A task that has read nothing yet.
    pub fn new(
        survey: Survey,
        watch: StoreWatch,
        signals: mpsc::Receiver<PullSignal>,
        outputs: Outputs,
    ) -> Self {
        Self {
            survey,
            watch,
            signs: Signs::new(signals),
            outputs,
            join: PullJoin::default(),
            reported: None,
            unsettled: BTreeMap::new(),
            attempts: Attempts::default(),
            problems: Vec::new(),
            exposed: Exposed::new(),
            last: KnowledgeParts::default(),
            last_publish: Instant::now(),
        }
    }

    /// Reads, judges and publishes until `stop` says so.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        loop {
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                () = self.round() => {}
            }
            let pause = self.pause();
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                Some(event) = self.watch.next() => self.take(event),
                () = sleep(pause) => {}
            }
        }
    }

    /// How long until the next look, if nothing shows before.
    fn pause(&self) -> Duration {
        if self.unsettled.is_empty() && !self.attempts.is_waiting((self.outputs.clock)()) {
            RECHECK
        } else {
            SETTLE
        }
    }

    async fn round(&mut self) {
        self.look().await;
        while let Some(pending) = self.survey.pending() {
            if let Err(error) = self.survey.scan(&pending).await {
                self.failed(KnowledgePart::Scan, &error);
                if matches!(error, ScanError::Rules(_) | ScanError::Start(_)) {
                    break;
                }
            }
            if let Ok(Some(event)) = timeout(Duration::ZERO, self.watch.next()).await {
                self.take(event);
                self.look().await;
            } else if self.last_publish.elapsed() > PUBLISH {
                self.publish().await;
            }
        }
        self.publish().await;
    }

    /// Reads the stores again and publishes what is there now.
    async fn look(&mut self) {
        if let Err(error) = self.survey.refresh().await {
            self.failed(KnowledgePart::Catalog, &error);
            return;
        }
        let targets = {
            let options = self.survey.options();
            catalog::targets(&options.host, self.survey.catalog(), &options.roots)
        };
        self.watch.retarget(targets);
        self.report_problems();
        self.publish().await;
        self.report_pulls().await;
    }

    async fn publish(&mut self) {
        let begun = Instant::now();
        let now = (self.outputs.clock)();
        let knowledge = match self.survey.snapshot(now).await {
            Ok(knowledge) => knowledge,
            Err(error) => return self.failed(KnowledgePart::Exposure, &error),
        };
        self.last_publish = Instant::now();
        let inventory = inventory::of(&knowledge);
        let same = KnowledgeParts {
            generation: knowledge.generation(),
            built: knowledge.built(),
            ..self.last.clone()
        };
        let changed = *knowledge.parts() != same || knowledge.generation() == 1;
        if changed {
            self.last.clone_from(knowledge.parts());
            // Published first, so that whatever the kernel reports by the new watches is known.
            self.outputs.knowledge.send_replace(Arc::clone(&knowledge));
            (self.outputs.arm)(&knowledge);
        }
        self.report_exposed(&knowledge);
        // Told last: who waits for it may count on the watches.
        (self.outputs.happened)(Happening::Built {
            inventory: &inventory,
            generation: knowledge.generation(),
            time: now,
            took: begun.elapsed(),
            changed,
        });
    }

    fn report_exposed(&mut self, knowledge: &Knowledge) {
        let now = exposed::of(knowledge);
        let (begun, ended) = exposed::changes(&self.exposed, &now);
        // An end first: what changed its severity is one alert that ends and another that begins.
        for (reports, active) in [(ended, false), (begun, true)] {
            for report in reports {
                (self.outputs.happened)(Happening::Exposed { report, active });
            }
        }
        self.exposed = now;
    }

    fn report_problems(&mut self) {
        let catalog = Arc::clone(self.survey.catalog());
        for problem in catalog
            .problems
            .iter()
            .filter(|problem| !self.problems.iter().any(|told| problem.is_told_by(told)))
        {
            (self.outputs.happened)(Happening::Problem { problem });
        }
        self.problems.clone_from(&catalog.problems);
    }

    /// Whether an arrival is told at this look.
    fn is_told(&self, arrival: &catalog::Arrival) -> bool {
        let key = (arrival.image.store.clone(), arrival.image.id.clone());
        let waited = self.unsettled.get(&key).map(Instant::elapsed);
        let has_waited = waited.is_some_and(|waited| !arrival.is_unpacking || waited >= UNPACK);
        let is_settled = !arrival.is_new || !arrival.is_unfinished() || has_waited;
        // An image gets its name with the last write of a pull; until then it is not whole.
        is_settled && !arrival.image.names.is_empty()
    }

    async fn report_pulls(&mut self) {
        let catalog = Arc::clone(self.survey.catalog());
        let knowledge = Arc::clone(&self.outputs.knowledge.borrow());
        let arrivals = self.reported.as_ref();
        let arrivals = arrivals.map_or_else(Vec::new, |before| catalog::arrivals(before, &catalog));
        // What is looked at again is not waited for: more directories of it may have to be watched meanwhile.
        let told = arrivals.iter().filter(|one| self.is_told(one));
        let changed = told.map(|one| one.image.store.clone()).collect();
        self.signs.gather(&changed, &mut self.join, &knowledge).await;
        let Some(reported) = self.reported.take() else {
            self.failures(&catalog, BTreeSet::new()).await;
            self.reported = Some(catalog);
            return;
        };
        let time = (self.outputs.clock)();
        let mut unsettled = BTreeMap::new();
        let mut arrived = BTreeSet::new();
        for arrival in arrivals {
            // A new name of what was there ends no pull.
            if arrival.is_new || arrival.kind != ArrivalKind::Tagged {
                arrived.insert(arrival.image.store.clone());
            }
            if !self.is_told(&arrival) {
                if !arrival.image.names.is_empty() {
                    let key = (arrival.image.store, arrival.image.id);
                    let since = self.unsettled.get(&key).copied().unwrap_or_else(Instant::now);
                    unsettled.insert(key, since);
                }
                continue;
            }
            let new_layers = arrival.new_layers;
            let arrival = Arrival {
                time,
                kind: arrival.kind,
                image: arrival.image,
                new_layers,
            };
            (self.outputs.pulled)(self.join.report(&arrival, &knowledge));
        }
        self.unsettled = unsettled;
        for failure in self.failures(&catalog, arrived).await {
            let report = self
                .join
                .failed(&failure.store, failure.begun, failure.bytes, time, &knowledge);
            (self.outputs.pulled)(report);
        }
        self.reported = Some(Arc::new(baseline_after(&reported, &catalog, &self.unsettled)));
    }

    /// The pulls that failed; an image of each of the stores `arrived`.
    async fn failures(&mut self, catalog: &Arc<Catalog>, arrived: BTreeSet<StoreId>) -> Vec<Failure> {
        let mut attempts = std::mem::take(&mut self.attempts);
        let (catalog, now) = (Arc::clone(catalog), (self.outputs.clock)());
        let witness = Procfs::of(&self.survey.options().host);
        let looked = tokio::task::spawn_blocking(move || {
            let failures = attempts.look(&catalog, &arrived, &witness, now);
            (attempts, failures)
        });
        match looked.await {
            Ok((attempts, failures)) => {
                self.attempts = attempts;
                failures
            }
            Err(error) => {
                self.failed(KnowledgePart::Catalog, &error);
                Vec::new()
            }
        }
    }

    fn take(&mut self, event: StoreEvent) {
        let detail = match event {
            StoreEvent::Changed(_) => return,
            StoreEvent::Unwatched {
                store,
                directory,
                reason,
            } => {
                format!(
                    "{}: {} of {store} is not watched",
                    reason.as_str(),
                    directory.display()
                )
            }
            StoreEvent::Overflowed => "the kernel's queue of directory changes was full".to_owned(),
            StoreEvent::Failed { cause } => format!("the watch of the stores ended: {cause}"),
        };
        (self.outputs.happened)(Happening::Unwatched { detail });
    }

    fn failed(&mut self, part: KnowledgePart, error: &(dyn std::error::Error + 'static)) {
        (self.outputs.happened)(Happening::Failed { part, error });
    }
}

/// What the next arrivals are told from: the new catalog, less the images that arrived without a name, which are reported
/// when they get one, less the unsettled ones, and with the names that images had before.
fn baseline_after(
    old: &Catalog,
    new: &Catalog,
    unsettled: &BTreeMap<(StoreId, ImageId), Instant>,
) -> Catalog {
    let mut baseline = new.clone();
    // An engine that pulls an image again takes its name away for a moment: a name that an image had is no arrival.
    for image in &mut baseline.images {
        let before = old
            .images
            .iter()
            .find(|other| other.store == image.store && other.id == image.id);
        let gone = before
            .into_iter()
            .flat_map(|before| &before.names)
            .filter(|name| !image.names.contains(name));
        let gone: Vec<String> = gone.cloned().collect();
        image.names.extend(gone);
    }
    let was_there = |image: &crate::model::Image| {
        old.images
            .iter()
            .any(|other| other.store == image.store && other.id == image.id)
    };
    let is_settled =
        |image: &crate::model::Image| !unsettled.contains_key(&(image.store.clone(), image.id.clone()));
    baseline
        .images
        .retain(|image| (!image.names.is_empty() && is_settled(image)) || was_there(image));
    let kept: BTreeSet<_> = baseline
        .images
        .iter()
        .flat_map(|image| {
            image
                .layers
                .iter()
                .map(|layer| (image.store.clone(), layer.clone()))
        })
        .collect();
    baseline.layers.retain(|key, _| {
        old.layers.contains_key(key) || kept.contains(&(key.store.clone(), key.layer.clone()))
    });
    baseline
}
