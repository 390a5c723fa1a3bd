//! The kernel's signs of pulls, taken when the catalog shows what they were of.
//!
//! Invariant: bounded in time. An index is read when inotify tells of it, and the kernel's record of the same rename may come a
//! little later; a pull that is told without it would be told of the change before. Used by `task`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc::Receiver;
use tokio::time::{Instant, sleep};

use crate::knowledge::Knowledge;
use crate::model::StoreId;
use crate::pulls::{PullJoin, PullSignal};

/// How long the record of a change may be awaited; where the hooks do not see it there is none.
const LATE: Duration = Duration::from_millis(400);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(10);

/// See the module.
#[derive(Debug)]
pub(super) struct Signs {
    received: Receiver<PullSignal>,
    /// The newest sign of each store at the look before.
    before: BTreeMap<StoreId, Timestamp>,
}

impl Signs {
    pub(super) fn new(received: Receiver<PullSignal>) -> Self {
        Self {
            received,
            before: BTreeMap::new(),
        }
    }

    /// Takes what is there, and waits until each of the stores that changed has a sign that is new.
    pub(super) async fn gather(
        &mut self,
        changed: &BTreeSet<StoreId>,
        join: &mut PullJoin,
        knowledge: &Knowledge,
    ) {
        let begun = Instant::now();
        loop {
            while let Ok(signal) = self.received.try_recv() {
                join.signal(signal);
            }
            let is_old = |store: &StoreId| join.newest(store, knowledge) <= self.before.get(store).copied();
            if !changed.iter().any(is_old) || begun.elapsed() >= LATE {
                break;
            }
            sleep(LOOK).await;
        }
        for store in &knowledge.parts().stores {
            if let Some(newest) = join.newest(&store.id, knowledge) {
                self.before.insert(store.id.clone(), newest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plane::frames::{Scene, after};

    fn sign(seconds: i64) -> PullSignal {
        let mut sighting = Scene::new().sighting();
        sighting.access.time = after(seconds);
        PullSignal {
            store: StoreId::new("s"),
            sighting,
            asker: None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_sign_that_comes_late_is_awaited_and_none_is_not_for_long() {
        let (tell, received) = tokio::sync::mpsc::channel(8);
        let (mut signs, mut join) = (Signs::new(received), PullJoin::default());
        let mut knowledge = Scene::new();
        let id = StoreId::new("s");
        knowledge.parts.stores[0].id = id.clone();
        let knowledge = knowledge.knowledge();
        let changed = BTreeSet::from([id.clone()]);
        let mut newest = Vec::new();
        for (at_once, late) in [(Some(1), None), (None, Some(2)), (None, None), (Some(3), None)] {
            if let Some(seconds) = at_once {
                tell.try_send(sign(seconds)).unwrap();
            }
            let tell = tell.clone();
            let later = async move {
                sleep(LOOK * 5).await;
                if let Some(seconds) = late {
                    tell.try_send(sign(seconds)).unwrap();
                }
            };
            let begun = Instant::now();
            tokio::join!(signs.gather(&changed, &mut join, &knowledge), later);
            newest.push((join.newest(&id, &knowledge), begun.elapsed() < LATE));
        }
        assert_eq!(
            newest,
            [
                (Some(after(1)), true),
                (Some(after(2)), true),
                (Some(after(2)), false),
                (Some(after(3)), true)
            ]
        );
    }
}
