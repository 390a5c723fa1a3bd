//! Pulls that began and brought nothing: seen by the blobs that they put aside on their way.
//!
//! Invariant: no clock; what the host knows comes from `Witness`. Blobs are one attempt where the engine keeps pulls no further
//! apart. It failed when the blobs are gone and no image arrived, or when nobody is at work on them any more, and is told once;
//! what lay there before the agent is told by no record. Called by `task` after each look.

mod attempt;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use self::attempt::{Attempt, Ending};
use super::witness::Witness;
use crate::catalog::Catalog;
use crate::model::{DevIno, LeftBlob, Store, StoreId};

/// An attempt that failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Failure {
    pub(super) store: StoreId,
    /// When it was first seen.
    pub(super) begun: Timestamp,
    /// The most bytes of it that were seen.
    pub(super) bytes: u64,
}

/// A root, and what the blobs of one pull into it have in common.
type Key = (DevIno, String);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    known: BTreeMap<Key, Attempt>,
    /// Blobs that count no more, as they were when they were told of, or when their image arrived.
    settled: BTreeMap<DevIno, Timestamp>,
    has_looked: bool,
}

impl Attempts {
    /// What failed, by the newest catalog; an image of each of the stores `arrived` since the last look.
    pub(super) fn look(
        &mut self,
        catalog: &Catalog,
        arrived: &BTreeSet<StoreId>,
        witness: &dyn Witness,
        now: Timestamp,
    ) -> Vec<Failure> {
        let mut lying = self.lying(catalog);
        for store in catalog.stores.iter().filter(|store| arrived.contains(&store.id)) {
            let is_its = |key: &Key| key.0 == store.root_key && is_namespaces(store, &key.1);
            self.known.retain(|key, _| !is_its(key));
            for (_, (_, blobs)) in lying.extract_if(.., |key, _| is_its(key)) {
                self.settle(&blobs);
            }
        }
        let mut failures = Vec::new();
        for (key, (store, blobs)) in &lying {
            failures.extend(self.lies(key, store, blobs, witness, now));
        }
        let gone: Vec<Key> = self
            .known
            .keys()
            .filter(|key| !lying.contains_key(*key))
            .cloned()
            .collect();
        for key in gone {
            failures.extend(self.is_gone(&key, catalog, witness, now));
        }
        self.has_looked = true;
        failures
    }

    /// Whether something may end soon, or grows whose bytes are not known yet; what goes on for long is looked at as
    /// everything is.
    pub(super) fn is_waiting(&self, now: Timestamp) -> bool {
        self.known.values().any(|attempt| attempt.is_waiting(now))
    }

    /// The blobs that lie about and are not settled, by their pull, with a store of its root.
    fn lying<'a>(&mut self, catalog: &'a Catalog) -> BTreeMap<Key, (&'a Store, Vec<&'a LeftBlob>)> {
        let mut lying: BTreeMap<Key, (&Store, Vec<&LeftBlob>)> = BTreeMap::new();
        let mut there = BTreeSet::new();
        for store in &catalog.stores {
            for blob in &store.leftovers.blobs {
                there.insert(blob.key);
                if self.settled.get(&blob.key) == Some(&blob.changed) {
                    continue;
                }
                let key = (store.root_key, blob.pull.clone());
                lying
                    .entry(key)
                    .or_insert_with(|| (store, Vec::new()))
                    .1
                    .push(blob);
            }
        }
        self.settled.retain(|blob, _| there.contains(blob));
        lying
    }

    fn settle(&mut self, blobs: &[&LeftBlob]) {
        self.settled
            .extend(blobs.iter().map(|blob| (blob.key, blob.changed)));
    }

    fn lies(
        &mut self,
        key: &Key,
        store: &Store,
        blobs: &[&LeftBlob],
        witness: &dyn Witness,
        now: Timestamp,
    ) -> Option<Failure> {
        let attempt = self
            .known
            .entry(key.clone())
            .or_insert_with(|| Attempt::begin(store, witness, now));
        attempt.lies(store, blobs);
        if !attempt.is_abandoned(store, blobs, witness, now) {
            return None;
        }
        self.settle(blobs);
        let attempt = self.known.remove(key)?;
        // An old one at the first look failed before anybody looked.
        let failure = attempt.failure();
        failure.filter(|_| self.has_looked)
    }

    fn is_gone(
        &mut self,
        key: &Key,
        catalog: &Catalog,
        witness: &dyn Witness,
        now: Timestamp,
    ) -> Option<Failure> {
        let store = catalog.stores.iter().find(|store| store.root_key == key.0);
        let ending = match (store, self.known.get_mut(key)) {
            (Some(store), Some(attempt)) => attempt.ending(store, witness, now),
            (None, _) | (_, None) => Ending::Nothing,
        };
        match ending {
            Ending::Open => None,
            Ending::Nothing => {
                self.known.remove(key);
                None
            }
            Ending::Failed => self.known.remove(key)?.failure(),
            Ending::MayGoOn { since } => {
                // The same process that tries again.
                let begun = self.known.get(key)?.begun;
                let mut others = self.known.iter_mut();
                let next =
                    others.find(|(other, next)| other.0 == key.0 && *other != key && next.begun >= since);
                if let Some((_, next)) = next {
                    next.begun = begun;
                    self.known.remove(key);
                }
                None
            }
        }
    }
}

/// containerd's namespaces share their root, and a namespace may have become a store since.
fn is_namespaces(store: &Store, pull: &str) -> bool {
    !store.engine.is_containerd()
        || store
            .namespace
            .as_deref()
            .is_none_or(|namespace| namespace == pull)
}
