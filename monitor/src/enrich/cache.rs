//! Processes seen a moment ago, so that a burst of one process costs one look at procfs.
//!
//! Invariant: bounded, by halves: when the younger half is full, the older one is forgotten. An entry is good for the
//! same process with the same thread name for two seconds: an `exec` changes the program behind the same key. Used by
//! `Enricher`.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};

use crate::model::{Access, Actor, ProcessKey};

/// Entries of one half.
const HALF: usize = 2048;
/// How long an entry is good.
const FRESH: SignedDuration = SignedDuration::from_secs(2);

#[derive(Clone, Debug)]
struct Seen {
    actor: Actor,
    comm: Vec<u8>,
    at: Timestamp,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Cache {
    younger: HashMap<ProcessKey, Seen>,
    older: HashMap<ProcessKey, Seen>,
}

impl Cache {
    /// What was seen of the process behind an access, if it is still good.
    pub(super) fn get(&self, key: ProcessKey, access: &Access) -> Option<Actor> {
        let seen = self.younger.get(&key).or_else(|| self.older.get(&key))?;
        let age = access.time.duration_since(seen.at).abs();
        (age <= FRESH && seen.comm == access.comm).then(|| seen.actor.clone())
    }

    /// Remembers a process; one that was gone is not worth it, and one without a start is no key.
    pub(super) fn put(&mut self, key: ProcessKey, access: &Access, actor: &Actor) {
        if actor.gone || key.start_ns == 0 {
            return;
        }
        if self.younger.len() >= HALF {
            self.older = std::mem::take(&mut self.younger);
        }
        let seen = Seen {
            actor: actor.clone(),
            comm: access.comm.clone(),
            at: access.time,
        };
        self.younger.insert(key, seen);
    }

    /// Forgets a process, whose program is another now.
    pub(super) fn forget(&mut self, key: ProcessKey) {
        self.younger.remove(&key);
        self.older.remove(&key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Tgid;
    use crate::plane::frames::Scene;

    #[test]
    fn an_entry_is_good_for_the_same_program_and_a_while() {
        let scene = Scene::new();
        let (access, actor) = (scene.access(), scene.actor.clone());
        let key = ProcessKey {
            tgid: Tgid(5),
            start_ns: 9,
        };
        let other = ProcessKey {
            tgid: Tgid(5),
            start_ns: 10,
        };
        let mut cache = Cache::default();
        cache.put(key, &access, &actor);
        let later = |seconds: i64| Access {
            time: access.time + SignedDuration::from_secs(seconds),
            ..access.clone()
        };
        let renamed = Access {
            comm: b"other".to_vec(),
            ..access.clone()
        };
        for (name, key, access, hit) in [
            ("now", key, later(0), true),
            ("soon", key, later(2), true),
            ("late", key, later(3), false),
            ("another start", other, later(0), false),
            ("after an exec", key, renamed, false),
        ] {
            assert_eq!(cache.get(key, &access).is_some(), hit, "{name}");
        }
    }

    #[test]
    fn it_is_bounded_and_forgets_the_oldest() {
        let scene = Scene::new();
        let (access, actor) = (scene.access(), scene.actor.clone());
        let key = |n: u32| ProcessKey {
            tgid: Tgid(n),
            start_ns: 1,
        };
        let mut cache = Cache::default();
        let most = u32::try_from(HALF).unwrap();
        for n in 0..=3 * most {
            cache.put(key(n), &access, &actor);
        }
        assert!(cache.younger.len() + cache.older.len() <= 2 * HALF);
        assert!(cache.get(key(0), &access).is_none());
        assert!(cache.get(key(3 * most), &access).is_some());
    }

    #[test]
    fn the_gone_and_the_nameless_are_not_kept() {
        let scene = Scene::new();
        let access = scene.access();
        let mut cache = Cache::default();
        let gone = Actor {
            gone: true,
            ..scene.actor.clone()
        };
        cache.put(
            ProcessKey {
                tgid: Tgid(1),
                start_ns: 1,
            },
            &access,
            &gone,
        );
        cache.put(
            ProcessKey {
                tgid: Tgid(2),
                start_ns: 0,
            },
            &access,
            &scene.actor,
        );
        assert!(cache.younger.is_empty());
    }
}
