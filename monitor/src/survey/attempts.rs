//! Pulls that began and brought nothing: seen by the blobs that they put aside on their way.
//!
//! Invariant: pure; a store's pulls are one attempt as long as blobs of it lie about. It failed when the blobs are gone and no
//! image of the store arrived, or when nothing has changed for ten minutes. What lay there before the agent is told of by no
//! record. Called by `task` after each look.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use crate::catalog::Catalog;
use crate::model::{Engine, Leftovers, Store, StoreId};

/// Docker removes the last blob before it names the image.
const GRACE: SignedDuration = SignedDuration::from_secs(3);
/// What has not changed for so long is not worked on any more.
const ABANDONED: SignedDuration = SignedDuration::from_mins(10);
/// So long each growth of its blobs is followed.
const YOUNG: SignedDuration = SignedDuration::from_mins(1);
/// Engines of containers/storage put an image's configuration aside too, also of one that was there: so much is a layer's.
const LAYER_BYTES: u64 = 64 << 10;

/// An attempt that failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Failure {
    pub(super) store: StoreId,
    /// When it was first seen.
    pub(super) begun: Timestamp,
    /// The most bytes of it that were seen.
    pub(super) bytes: u64,
}

#[derive(Debug)]
struct Attempt {
    begun: Timestamp,
    bytes: u64,
    /// Since when its blobs are gone.
    gone: Option<Timestamp>,
    /// It is given up, and that was told or is not to be.
    is_told: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    known: BTreeMap<StoreId, Attempt>,
    has_looked: bool,
}

impl Attempts {
    /// What failed, by the newest catalog; an image of each of the stores `arrived` since the last look.
    pub(super) fn look(
        &mut self,
        catalog: &Catalog,
        arrived: &BTreeSet<StoreId>,
        now: Timestamp,
    ) -> Vec<Failure> {
        let mut failures = Vec::new();
        for store in &catalog.stores {
            let left = &store.leftovers;
            if arrived.contains(&store.id) {
                self.known.remove(&store.id);
            } else if left.blobs > 0 {
                failures.extend(self.lies(store, now));
            } else if let Some(attempt) = self.known.get_mut(&store.id) {
                let gone = *attempt.gone.get_or_insert(now);
                if now.duration_since(gone) >= GRACE {
                    failures.extend(failure(store, attempt).filter(|_| tells_by_going(store.engine)));
                    self.known.remove(&store.id);
                }
            }
        }
        self.known.retain(|id, _| catalog.store(id).is_some());
        self.has_looked = true;
        failures
    }

    /// Whether something may end soon, or grows whose bytes are not known yet; what goes on for long is looked at as
    /// everything is.
    pub(super) fn is_waiting(&self, now: Timestamp) -> bool {
        self.known.values().any(|attempt| {
            let is_young = now.duration_since(attempt.begun) < YOUNG;
            !attempt.is_told && (attempt.gone.is_some() || is_young)
        })
    }

    fn lies(&mut self, store: &Store, now: Timestamp) -> Option<Failure> {
        let is_old = is_abandoned(&store.leftovers, now);
        let has_looked = self.has_looked;
        let attempt = self.known.entry(store.id.clone()).or_insert_with(|| Attempt {
            begun: now,
            bytes: 0,
            gone: None,
            is_told: is_old && !has_looked,
        });
        attempt.bytes = attempt.bytes.max(store.leftovers.blob_bytes);
        attempt.gone = None;
        if !is_old {
            attempt.is_told = false;
            return None;
        }
        if attempt.is_told {
            return None;
        }
        attempt.is_told = true;
        Some(Failure {
            store: store.id.clone(),
            begun: attempt.begun,
            bytes: attempt.bytes,
        })
    }
}

fn is_abandoned(left: &Leftovers, now: Timestamp) -> bool {
    left.newest
        .is_some_and(|newest| now.duration_since(newest) > ABANDONED)
}

fn failure(store: &Store, attempt: &Attempt) -> Option<Failure> {
    let least = if store.engine.is_containers_storage() {
        LAYER_BYTES
    } else {
        0
    };
    (!attempt.is_told && attempt.bytes >= least).then(|| Failure {
        store: store.id.clone(),
        begun: attempt.begun,
        bytes: attempt.bytes,
    })
}

/// containerd moves a blob to where it stays, and unpacks and names the image long after.
fn tells_by_going(engine: Engine) -> bool {
    match engine {
        Engine::ContainersStorage | Engine::CriO | Engine::Docker => true,
        Engine::Containerd | Engine::BuildKit => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plane::frames::{Scene, after};

    #[test]
    fn one_that_goes_on_is_not_looked_at_twice_a_second_for_ever() {
        let mut attempts = Attempts::default();
        let mut store = Scene::new().parts.stores[0].clone();
        let mut waits = Vec::new();
        for (second, blobs) in [(0, 0), (1, 1), (60, 1), (62, 1), (500, 0), (504, 0)] {
            store.leftovers = Leftovers {
                blobs,
                newest: Some(after(second)),
                ..Leftovers::default()
            };
            let catalog = Catalog {
                stores: vec![store.clone()],
                ..Catalog::default()
            };
            attempts.look(&catalog, &BTreeSet::new(), after(second));
            waits.push(attempts.is_waiting(after(second)));
        }
        assert_eq!(waits, [false, true, true, false, true, false]);
    }

    /// A look: its second, the blobs and bytes that lie there, the second of their last change, and whether an image arrived.
    type Look = (i64, u64, u64, i64, bool);

    fn check(name: &str, engine: Engine, looks: &[Look], expected: &[(i64, u64)]) {
        let mut attempts = Attempts::default();
        let mut failed = Vec::new();
        for (second, blobs, bytes, newest, arrived) in looks {
            let mut store = Scene::new().parts.stores[0].clone();
            store.engine = engine;
            store.leftovers = Leftovers {
                blobs: *blobs,
                blob_bytes: *bytes,
                newest: Some(after(*newest)),
                ..Leftovers::default()
            };
            let arrived = arrived.then(|| store.id.clone()).into_iter().collect();
            let catalog = Catalog {
                stores: vec![store],
                ..Catalog::default()
            };
            let failures = attempts.look(&catalog, &arrived, after(*second));
            failed.extend(failures.into_iter().map(|one| (*second, one.bytes)));
        }
        assert_eq!(failed, expected, "{name}");
    }

    #[test]
    fn an_attempt_that_brings_nothing_failed() {
        use Engine::{Containerd, ContainersStorage as Podman, CriO, Docker};
        const NONE: Look = (0, 0, 0, 0, false);
        let cut = [
            NONE,
            (1, 1, 100, 1, false),
            (2, 2, 900, 2, false),
            (3, 0, 0, 2, false),
            (6, 0, 0, 2, false),
        ];
        check("a pull that is cut", Docker, &cut, &[(6, 900)]);
        let large = cut.map(|(at, blobs, bytes, newest, arrived)| (at, blobs, bytes << 10, newest, arrived));
        check("of CRI-O", CriO, &large, &[(6, 900 << 10)]);
        check("a configuration alone", Podman, &cut, &[]);
        check("containerd moves its blobs", Containerd, &large, &[]);
        let pulled = [
            NONE,
            (1, 1, 100, 1, false),
            (2, 0, 0, 1, false),
            (3, 0, 0, 1, true),
            (9, 0, 0, 1, false),
        ];
        check("a pull", Docker, &pulled, &[]);
        let killed = [
            NONE,
            (1, 1, 100, 1, false),
            (500, 1, 100, 1, false),
            (700, 1, 100, 1, false),
            (900, 1, 100, 1, false),
        ];
        check("one that was killed", Containerd, &killed, &[(700, 100)]);
        let again = [&killed[..], &[(950, 1, 120, 950, false), (960, 0, 0, 0, true)]].concat();
        check("and went on", Containerd, &again, &[(700, 100)]);
        let before = [
            (900, 1, 100, 1, false),
            (901, 1, 100, 1, false),
            (910, 0, 0, 0, false),
            (920, 0, 0, 0, false),
        ];
        check("what lay there before, and is cleared away", Docker, &before, &[]);
    }
}
