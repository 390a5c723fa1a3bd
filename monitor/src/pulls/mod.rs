//! Who brought an image: the kernel's signs of a commit joined with what the catalog found new.
//!
//! Invariant: pure and bounded; a pull is reported whether or not a sign of it was seen, and a sign is only taken for
//! the store and the time it belongs to. Called by the knowledge plane.

mod verb;

use std::collections::{BTreeMap, VecDeque};

use jiff::{SignedDuration, Timestamp};

use crate::decide::{process_report, subject_report};
use crate::knowledge::{Knowledge, image_report};
use crate::model::{
    ArrivalKind, AskedReport, Asker, Image, LayerId, LayerKey, PullReport, Sighting, StoreId, text,
};

/// A name changed in a store's index: the sign of a pull.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PullSignal {
    /// The store.
    pub store: StoreId,
    /// Who changed it.
    pub sighting: Sighting,
    /// Who asked the engine for it.
    pub asker: Option<Box<Asker>>,
}

/// An image that the catalog had not seen before, or not under this name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Arrival {
    /// When the new index was read.
    pub time: Timestamp,
    /// How it came.
    pub kind: ArrivalKind,
    /// The image.
    pub image: Image,
    /// Those of its layers that were not in the store before.
    pub new_layers: Vec<LayerId>,
}

/// How many signs are kept.
const SIGNALS_MAX: usize = 256;
/// How old a sign may be: a pull renames its index several times and last of all when it names the image.
const SIGNAL_AGE: SignedDuration = SignedDuration::from_secs(120);

/// The kernel counts from the boot, the arrival has the wall clock: they may differ by this much.
const CLOCK_SKEW: SignedDuration = SignedDuration::from_secs(1);

/// Keeps the newest signs until the catalog knows what they were of.
#[derive(Debug, Default)]
pub struct PullJoin {
    recent: VecDeque<PullSignal>,
    /// When the last arrival in a store was told.
    told: BTreeMap<StoreId, Timestamp>,
}

impl PullJoin {
    /// Keeps a sign; the oldest goes when there are too many.
    pub fn signal(&mut self, signal: PullSignal) {
        if self.recent.len() >= SIGNALS_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back(signal);
    }

    /// The report of an arrival, with the process that last changed the store's index before it was read. Its signs are
    /// this arrival's and no later one's.
    pub fn report(&mut self, arrival: &Arrival, knowledge: &Knowledge) -> PullReport {
        let signs = self.signs(arrival, knowledge);
        let last = signs.iter().max_by_key(|sign| sign.sighting.access.time).copied();
        let committer = last.map(|sign| &sign.sighting);
        let of_it = signs.iter().map(|sign| &sign.sighting);
        let of_it = of_it.filter(|sign| committer.is_some_and(|last| is_same_process(sign, last)));
        let first = of_it.map(|sign| sign.access.time).min();
        let took = committer
            .zip(first)
            .map(|(last, first)| last.access.time.duration_since(first));
        let image = &arrival.image;
        let kind = match arrival.kind {
            // A name alone tells little.
            ArrivalKind::Unknown | ArrivalKind::Loaded | ArrivalKind::Built => {
                let by_engine = committer.and_then(|one| verb::of(&one.actor.process, knowledge));
                let asker = last.and_then(|sign| sign.asker.as_deref());
                by_engine.or_else(|| asker.and_then(|asker| verb::asked(&asker.sighting.actor.process)))
            }
            ArrivalKind::Pulled | ArrivalKind::Imported | ArrivalKind::Tagged | ArrivalKind::Failed => None,
        };
        let kind = kind.unwrap_or(arrival.kind);
        let report = PullReport {
            time: arrival.time,
            arrival: kind,
            store: image.store.clone(),
            image: Some(image_report(image)),
            names: image
                .names
                .iter()
                .map(|name| text::printable(name.as_bytes()).to_string())
                .collect(),
            layers: knowledge.layer_reports(image),
            new_layers: u64::try_from(arrival.new_layers.len()).unwrap_or(u64::MAX),
            new_bytes: new_bytes(arrival, knowledge),
            registry: registry(image, kind),
            took_ms: took.and_then(|took| u64::try_from(took.as_millis()).ok()),
            process: committer.map(|sighting| process_report(&sighting.actor)),
            subject: committer.map(|sighting| subject_report(&sighting.subject)),
            container: committer.and_then(|sighting| sighting.actor.container.clone()),
            asked_by: last.and_then(|sign| sign.asker.as_deref()).map(asked_report),
            trust: knowledge.trust_of([image]),
        };
        self.told.insert(image.store.clone(), arrival.time);
        report
    }

    /// The report of a pull that brought no image: so many bytes of it were seen since it began. Who did it is known where it
    /// had committed something.
    pub fn failed(
        &self,
        store: &StoreId,
        begun: Timestamp,
        bytes: u64,
        time: Timestamp,
        knowledge: &Knowledge,
    ) -> PullReport {
        let signs = self.recent.iter().filter(|signal| signal.store == *store);
        let signs = signs.map(|signal| &signal.sighting);
        let of_it = signs.filter(|sign| sign.access.time + CLOCK_SKEW >= begun && sign.access.time <= time);
        let last = of_it.max_by_key(|sign| sign.access.time);
        let took = time.duration_since(begun).as_millis();
        PullReport {
            time,
            arrival: ArrivalKind::Failed,
            store: store.clone(),
            image: None,
            names: Vec::new(),
            layers: Vec::new(),
            new_layers: 0,
            new_bytes: Some(bytes),
            registry: None,
            took_ms: u64::try_from(took).ok(),
            process: last.map(|sighting| process_report(&sighting.actor)),
            subject: last.map(|sighting| subject_report(&sighting.subject)),
            container: last.and_then(|sighting| sighting.actor.container.clone()),
            asked_by: None,
            trust: knowledge.trust_of([]),
        }
    }

    /// When the newest sign of a store was.
    pub fn newest(&self, store: &StoreId, knowledge: &Knowledge) -> Option<Timestamp> {
        let of_it = self.recent.iter().filter(|sign| is_of(sign, store, knowledge));
        of_it.map(|sign| sign.sighting.access.time).max()
    }

    /// The signs in the store's index that may be this arrival's.
    fn signs(&self, arrival: &Arrival, knowledge: &Knowledge) -> Vec<&PullSignal> {
        let shows = |signal: &PullSignal| is_of(signal, &arrival.image.store, knowledge);
        let told = self.told.get(&arrival.image.store);
        let fits = |signal: &&PullSignal| {
            let time = signal.sighting.access.time;
            let age = arrival.time.duration_since(time) + CLOCK_SKEW;
            shows(signal) && !age.is_negative() && age <= SIGNAL_AGE
        };
        let fitting: Vec<&PullSignal> = self.recent.iter().filter(fits).collect();
        // Images that are told at one look share their signs; else what came before another arrival was that one's, and of
        // this one, if it has none, nothing is known.
        let own = fitting
            .iter()
            .filter(|sign| told.is_none_or(|told| sign.sighting.access.time > *told));
        let own: Vec<&PullSignal> = own.copied().collect();
        let is_shared = told.is_some_and(|told| *told == arrival.time);
        if own.is_empty() && is_shared { fitting } else { own }
    }
}

fn asked_report(asker: &Asker) -> AskedReport {
    let Sighting { actor, subject, .. } = &asker.sighting;
    AskedReport {
        socket: text::printable(asker.socket.as_os_str().as_encoded_bytes()).to_string(),
        process: process_report(actor),
        subject: subject_report(subject),
        container: actor.container.clone(),
        others: u64::try_from(asker.others).unwrap_or(u64::MAX),
    }
}

/// containerd's namespaces share their directories, and a store may be younger than the sign of its first image.
fn is_of(sign: &PullSignal, store: &StoreId, knowledge: &Knowledge) -> bool {
    sign.store == *store
        || knowledge.store(store).is_some_and(|store| {
            let mut directories = store.index_directories.iter();
            directories.any(|(_, key)| *key == sign.sighting.access.watch)
        })
}

fn is_same_process(one: &Sighting, other: &Sighting) -> bool {
    one.access.process() == other.access.process()
}

/// The content that was not there before; absent where the store tells none of the sizes.
fn new_bytes(arrival: &Arrival, knowledge: &Knowledge) -> Option<u64> {
    let sizes = arrival.new_layers.iter().filter_map(|layer| {
        let key = LayerKey {
            store: arrival.image.store.clone(),
            layer: layer.clone(),
        };
        knowledge.layer(&key)?.size_bytes
    });
    sizes.reduce(u64::saturating_add)
}

/// What stands before the first slash of the name of a pulled image: where it came from, as far as the store tells.
fn registry(image: &Image, kind: ArrivalKind) -> Option<String> {
    let name = image.names.first().filter(|_| kind == ArrivalKind::Pulled)?;
    let (host, _) = name.split_once('/')?;
    Some(text::printable(host.as_bytes()).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plane::frames::{Scene, after};

    fn signal(store: &str, seconds: i64, uid: u32) -> PullSignal {
        let mut scene = Scene::new();
        scene.uid(uid);
        let mut sighting = scene.sighting();
        sighting.access.time = after(seconds);
        PullSignal {
            store: StoreId::new(store),
            asker: None,
            sighting,
        }
    }

    /// Signs as store, second and user; the user that an arrival at second 100 is reported with.
    fn check(name: &str, signals: &[(&str, i64, u32)], uid: Option<u32>, took_ms: Option<u64>) {
        let mut scene = Scene::new();
        scene.parts.layers[1].size_bytes = Some(3);
        let mut join = PullJoin::default();
        for (store, seconds, uid) in signals {
            join.signal(signal(store, *seconds, *uid));
        }
        let image = scene.parts.images[0].clone();
        let new_layers = vec![LayerId::new("l2")];
        let arrival = Arrival {
            time: after(100),
            kind: ArrivalKind::Pulled,
            image,
            new_layers,
        };
        let report = join.report(&arrival, &scene.knowledge());
        assert_eq!(report.subject.map(|subject| subject.uid), uid, "{name}");
        assert_eq!(
            report.process.map(|process| process.pid),
            uid.map(|_| 4242),
            "{name}"
        );
        let layers: Vec<_> = report.layers.iter().map(|layer| layer.id.as_str()).collect();
        assert_eq!((layers, report.new_layers), (vec!["l1", "l2"], 1), "{name}");
        assert_eq!(
            (report.registry.as_deref(), report.new_bytes),
            (Some("registry.example"), Some(3)),
            "{name}"
        );
        assert_eq!(report.took_ms, took_ms, "{name}");
    }

    #[test]
    fn the_last_sign_before_the_arrival_names_the_process() {
        let here = "overlay@/storage";
        check("none", &[], None, None);
        check("one", &[(here, 99, 0)], Some(0), Some(0));
        check(
            "the last of two",
            &[(here, 90, 1), (here, 99, 2)],
            Some(2),
            Some(9000),
        );
        check("another store", &[("overlay@/other", 99, 1)], None, None);
        check("long ago", &[(here, -30, 1)], None, None);
        check(
            "after the index was read",
            &[(here, 90, 1), (here, 105, 2)],
            Some(1),
            Some(0),
        );
        check("a clock slightly ahead", &[(here, 100, 3)], Some(3), Some(0));
    }

    #[test]
    fn a_sign_is_of_the_arrivals_of_one_look() {
        let scene = Scene::new();
        let mut join = PullJoin::default();
        join.signal(signal("overlay@/storage", 99, 7));
        let mut told = |second| {
            let arrival = Arrival {
                time: after(second),
                kind: ArrivalKind::Pulled,
                image: scene.parts.images[0].clone(),
                new_layers: Vec::new(),
            };
            let subject = join.report(&arrival, &scene.knowledge()).subject;
            subject.map(|subject| subject.uid)
        };
        assert_eq!([told(100), told(100), told(101)], [Some(7), Some(7), None]);
    }

    #[test]
    fn hostile_names_are_escaped_and_signs_bounded() {
        let scene = Scene::new();
        let mut join = PullJoin::default();
        for second in 0..300 {
            join.signal(signal("overlay@/storage", second, 0));
        }
        assert_eq!(join.recent.len(), SIGNALS_MAX);
        let mut image = scene.parts.images[0].clone();
        image.names = vec!["a\n\u{1b}[31m".to_owned()];
        let arrival = Arrival {
            time: after(100),
            kind: ArrivalKind::Pulled,
            image,
            new_layers: Vec::new(),
        };
        assert_eq!(join.report(&arrival, &scene.knowledge()).names, ["a\\n\\x1b[31m"]);
    }
}
