//! The alerts that are kept alive, and when each is due to be sent again.
//!
//! Invariant: pure: time comes in as an argument. An alert of a read ends `hold` after its last sighting; one about the
//! agent's state ends when the state does; each is sent as ended for [`RESOLVED`] more and then forgotten. At most
//! [`CAPACITY`] are kept. Used by `dispatch`.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::labels::Pairs;

/// How long an ended alert is sent as ended (Prometheus does the same).
const RESOLVED: SignedDuration = SignedDuration::from_mins(15);
/// How many alerts are kept.
pub(super) const CAPACITY: usize = 10_000;

/// One alert as API v2 takes it (`postableAlert` in Alertmanager's openapi.yaml).
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Post {
    pub(super) labels: Pairs,
    pub(super) annotations: Pairs,
    /// Always sent: without it Alertmanager takes `endsAt` for it.
    pub(super) starts_at: Timestamp,
    pub(super) ends_at: Timestamp,
}

/// When an alert ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Until {
    /// At this time, or at a later one if it is seen again.
    Time(Timestamp),
    /// When somebody says so.
    Told,
}

/// One alert that is kept alive.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Entry {
    labels: Pairs,
    annotations: Pairs,
    starts_at: Timestamp,
    until: Until,
    /// When it was last handed out; never kept over a restart, so that a restart sends it at once.
    #[serde(skip)]
    sent: Option<Timestamp>,
}

impl Entry {
    fn ended(&self, now: Timestamp) -> Option<Timestamp> {
        match self.until {
            Until::Time(end) if end <= now => Some(end),
            Until::Time(_) | Until::Told => None,
        }
    }
}

/// All of them.
#[derive(Debug)]
pub(super) struct Active {
    entries: BTreeMap<Pairs, Entry>,
    hold: SignedDuration,
    resend: SignedDuration,
}

impl Active {
    /// With those that a former run left. A state among them ends soon unless it is reported again: nobody knows whether
    /// it lasted.
    pub(super) fn new(hold: Duration, resend: Duration, kept: Vec<Entry>, now: Timestamp) -> Self {
        let resend = signed(resend);
        let mut entries = BTreeMap::new();
        for mut entry in kept.into_iter().take(CAPACITY) {
            if entry.until == Until::Told {
                entry.until = Until::Time(later(now, resend.saturating_mul(4)));
            }
            entries.insert(entry.labels.clone(), entry);
        }
        let hold = signed(hold);
        Self {
            entries,
            hold,
            resend,
        }
    }

    /// When an alert with these labels began, if it is still going on.
    pub(super) fn began(&self, labels: &Pairs, now: Timestamp) -> Option<Timestamp> {
        let entry = self.entries.get(labels)?;
        entry.ended(now).is_none().then_some(entry.starts_at)
    }

    /// A read happened at `time` and is judged at `now`; returns how many alerts had to make room.
    pub(super) fn seen(&mut self, labels: Pairs, annotations: Pairs, time: Timestamp, now: Timestamp) -> u64 {
        // From the judgement on, not from the read: one that was parked would end before anybody hears of it.
        let until = Until::Time(later(now.max(time), self.hold));
        self.put(labels, annotations, time, until, now)
    }

    /// A state began or ended.
    pub(super) fn state(&mut self, labels: Pairs, annotations: Pairs, active: bool, now: Timestamp) -> u64 {
        if active {
            return self.put(labels, annotations, now, Until::Told, now);
        }
        if let Some(entry) = self
            .entries
            .get_mut(&labels)
            .filter(|entry| entry.ended(now).is_none())
        {
            entry.until = Until::Time(now);
            entry.sent = None;
        }
        0
    }

    fn put(
        &mut self,
        labels: Pairs,
        annotations: Pairs,
        time: Timestamp,
        until: Until,
        now: Timestamp,
    ) -> u64 {
        let starts_at = self.began(&labels, now).map_or(time, |began| began.min(time));
        let dropped = u64::from(!self.entries.contains_key(&labels) && self.make_room());
        let entry = Entry {
            labels: labels.clone(),
            annotations,
            starts_at,
            until,
            sent: None,
        };
        self.entries.insert(labels, entry);
        dropped
    }

    /// Removes the alert that began first if there is no room for another one.
    fn make_room(&mut self) -> bool {
        if self.entries.len() < CAPACITY {
            return false;
        }
        let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.starts_at);
        let oldest = oldest.map(|(labels, _)| labels.clone());
        oldest.is_some_and(|labels| self.entries.remove(&labels).is_some())
    }

    /// What is to be sent now; it is due again after the resend interval.
    pub(super) fn due(&mut self, now: Timestamp) -> Vec<Post> {
        self.entries
            .retain(|_, entry| entry.ended(now).is_none_or(|end| now < later(end, RESOLVED)));
        let resend = self.resend;
        let mut posts = Vec::new();
        for entry in self.entries.values_mut() {
            // A time of sending that lies ahead means that the clock was set back.
            let waiting = entry
                .sent
                .is_some_and(|sent| sent <= now && now < later(sent, resend));
            if waiting {
                continue;
            }
            entry.sent = Some(now);
            posts.push(Post {
                labels: entry.labels.clone(),
                annotations: entry.annotations.clone(),
                starts_at: entry.starts_at,
                ends_at: match entry.until {
                    Until::Time(end) => end,
                    // If the agent dies, the alert ends by itself (Prometheus' rule manager: four intervals).
                    Until::Told => later(now, resend.saturating_mul(4)),
                },
            });
        }
        posts
    }

    /// How many have not ended.
    pub(super) fn count(&self, now: Timestamp) -> usize {
        self.entries
            .values()
            .filter(|entry| entry.ended(now).is_none())
            .count()
    }

    /// For the state file.
    pub(super) fn entries(&self) -> Vec<Entry> {
        self.entries.values().cloned().collect()
    }
}

fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}

/// Saturating at the end of time.
fn later(time: Timestamp, duration: SignedDuration) -> Timestamp {
    time.checked_add(duration).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests;
