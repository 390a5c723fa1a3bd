//! One attempt: its blobs, who may be at work on it, and whether it is over.
//!
//! Invariant: no clock. Rules by engine, since each leaves another trace: containers/storage works in a process of its own and
//! removes its blobs at the end, containerd moves them to where they stay, Docker removes them before it names the image.
//! Used by `attempts`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use jiff::{SignedDuration, Timestamp};

use super::super::witness::{Witness, Worker};
use super::Failure;
use crate::model::{DevIno, Engine, LeftBlob, Store, StoreId};

/// Docker removes the last blob before it names the image.
const GRACE: SignedDuration = SignedDuration::from_secs(3);
/// An engine that lives may try again so long after its blobs are gone.
const PATIENCE: SignedDuration = SignedDuration::from_secs(15);
/// What has not changed for so long, and is open in no process, is not worked on by a daemon.
const REST: SignedDuration = SignedDuration::from_secs(5);
/// The same of an engine that closes a blob and goes on with another, where its process is not known.
const LONG_REST: SignedDuration = SignedDuration::from_mins(1);
/// What has not changed for so long is not worked on any more, whatever lives.
const ABANDONED: SignedDuration = SignedDuration::from_mins(10);
/// So long each growth of its blobs is followed.
const YOUNG: SignedDuration = SignedDuration::from_mins(1);
/// Engines of containers/storage put an image's configuration aside too, also of one that was there: so much is a layer's.
const LAYER_BYTES: u64 = 64 << 10;

/// What becomes of an attempt whose blobs are gone.
pub(super) enum Ending {
    /// It is not known yet.
    Open,
    /// No pull at all, or one that brought what was wanted.
    Nothing,
    Failed,
    /// Unless the process tries again: what began since is the same attempt.
    MayGoOn {
        since: Timestamp,
    },
}

/// See the module.
#[derive(Debug)]
pub(super) struct Attempt {
    store: StoreId,
    /// Whether the engine puts nothing aside but what it pulls.
    is_daemons: bool,
    pub(super) begun: Timestamp,
    /// The most bytes of each blob, and where it lies once it is whole.
    blobs: BTreeMap<DevIno, (u64, Option<PathBuf>)>,
    /// The processes that may be at work on it, where the engine has no daemon.
    workers: BTreeSet<Worker>,
    /// Since when its blobs are gone.
    gone: Option<Timestamp>,
    /// When it was last asked whether a blob is open.
    asked: Option<Timestamp>,
}

impl Attempt {
    pub(super) fn begin(store: &Store, witness: &dyn Witness, now: Timestamp) -> Self {
        let has_workers = store.engine.is_containers_storage();
        Self {
            store: store.id.clone(),
            is_daemons: !has_workers,
            begun: now,
            blobs: BTreeMap::new(),
            workers: if has_workers {
                witness.workers(store)
            } else {
                BTreeSet::new()
            },
            gone: None,
            asked: None,
        }
    }

    pub(super) fn lies(&mut self, store: &Store, blobs: &[&LeftBlob]) {
        self.store.clone_from(&store.id);
        self.gone = None;
        for blob in blobs {
            let known = self
                .blobs
                .entry(blob.key)
                .or_insert_with(|| (0, blob.lands.clone()));
            known.0 = known.0.max(blob.bytes);
        }
    }

    /// Whether nobody is at work on what lies there.
    pub(super) fn is_abandoned(
        &mut self,
        store: &Store,
        blobs: &[&LeftBlob],
        witness: &dyn Witness,
        now: Timestamp,
    ) -> bool {
        let newest = blobs.iter().map(|blob| blob.changed).max();
        let rest = newest.map_or(SignedDuration::ZERO, |newest| now.duration_since(newest));
        if rest > ABANDONED {
            return true;
        }
        let least = if self.workers.is_empty() && store.engine.is_containers_storage() {
            LONG_REST
        } else {
            REST
        };
        let is_asked = self.asked.is_some_and(|asked| now.duration_since(asked) < REST);
        if rest < least || is_asked || self.has_workers(store, witness) {
            return false;
        }
        self.asked = Some(now);
        let files = blobs.iter().map(|blob| blob.key).collect();
        !witness.is_open(&files)
    }

    /// What becomes of it, now that its blobs are gone.
    pub(super) fn ending(&mut self, store: &Store, witness: &dyn Witness, now: Timestamp) -> Ending {
        let since = *self.gone.get_or_insert(now);
        let passed = now.duration_since(since);
        if store.engine.is_containerd() {
            let mut landed = self.blobs.values().filter_map(|(_, lands)| lands.as_deref());
            let has_landed = landed.all(|file| witness.is_there(file));
            return match (has_landed, passed >= GRACE) {
                // It is unpacked and named now, or was a part of an image that is there.
                (true, _) if passed < YOUNG => Ending::Open,
                (true, _) => Ending::Nothing,
                (false, true) => Ending::Failed,
                (false, false) => Ending::Open,
            };
        }
        if passed < GRACE {
            return Ending::Open;
        }
        if self.failure().is_none() {
            return Ending::Nothing;
        }
        // CRI-O leaves it to others to try again.
        let tries_again = store.engine == Engine::ContainersStorage;
        if tries_again && passed < PATIENCE && self.has_workers(store, witness) {
            return Ending::MayGoOn { since };
        }
        Ending::Failed
    }

    /// It, told as a failure; what is too small to be one is none.
    pub(super) fn failure(&self) -> Option<Failure> {
        let bytes = self.blobs.values().map(|(bytes, _)| *bytes).sum();
        let has_worked = self.is_daemons || bytes >= LAYER_BYTES;
        has_worked.then(|| Failure {
            store: self.store.clone(),
            begun: self.begun,
            bytes,
        })
    }

    /// See `Attempts::is_waiting`.
    pub(super) fn is_waiting(&self, now: Timestamp) -> bool {
        self.gone.is_some() || now.duration_since(self.begun) < YOUNG
    }

    /// Whether one of those that may have begun it lives still.
    fn has_workers(&self, store: &Store, witness: &dyn Witness) -> bool {
        !self.workers.is_empty() && !self.workers.is_disjoint(&witness.workers(store))
    }
}
