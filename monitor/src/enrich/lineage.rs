//! Who began whom: procfs and the table of processes as one answer, and keeping the two together.
//!
//! Invariant: the living are read, unless they ran another program since; the gone are told by the table. Used by
//! `Enricher`.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};

use super::Enricher;
use super::processes::TickKey;
use crate::model::{Process, Tgid};

/// How many ancestors are named.
pub(super) const ANCESTORS_MAX: usize = 8;
/// How many processes are looked at when the agent starts.
const ADOPTED_MAX: usize = 32_768;
/// Between two looks for processes whose end was missed.
const SWEEP_PAUSE: SignedDuration = SignedDuration::from_mins(1);

impl Enricher {
    /// Takes note of the processes that live already; to be called once their events are kept.
    pub fn adopt_the_living(&mut self) {
        let all = self.procfs.all(ADOPTED_MAX);
        let stats = all
            .into_iter()
            .filter_map(|tgid| Some((tgid, self.procfs.living(tgid)?)));
        let stats: HashMap<Tgid, _> = stats.collect();
        for (tgid, stat) in &stats {
            let key = |tgid, start_ticks| TickKey { tgid, start_ticks };
            let parent_start = stats.get(&stat.parent).map_or(0, |parent| parent.start_ticks);
            let process = self.procfs.describe(*tgid, stat);
            let parent = key(stat.parent, parent_start);
            self.processes
                .adopt(key(*tgid, stat.start_ticks), parent, process);
        }
    }

    /// The ancestors, parent first: who began whom, as the events told it, for the children of the dead are given to
    /// another; else the parent that the kernel or procfs names, unless it is younger than its child, a reused id.
    pub(super) fn ancestors(&self, child: TickKey, named: Tgid, moment: Timestamp) -> Vec<Process> {
        let mut ancestors = Vec::new();
        let (mut child, mut named) = (child, named);
        while ancestors.len() < ANCESTORS_MAX {
            let told = self.processes.at(child, moment).map(|known| known.parent);
            let told = told.filter(|parent| parent.start_ticks != 0);
            let Some(parent) = told.or_else(|| self.living_before(named, child)) else {
                break;
            };
            let Some((process, parent_named)) = self.described(parent, moment) else {
                break;
            };
            ancestors.push(process);
            (child, named) = (parent, parent_named);
        }
        ancestors
    }

    fn living_before(&self, tgid: Tgid, child: TickKey) -> Option<TickKey> {
        let stat = self.procfs.living(tgid).filter(|_| tgid.0 != 0)?;
        let start_ticks = stat.start_ticks;
        (start_ticks <= child.start_ticks).then_some(TickKey { tgid, start_ticks })
    }

    /// A process as it was at a moment, and the parent that procfs names.
    fn described(&self, key: TickKey, moment: Timestamp) -> Option<(Process, Tgid)> {
        let known = self.processes.at(key, moment);
        let living = self.procfs.living(key.tgid);
        let living = living.filter(|stat| stat.start_ticks == key.start_ticks);
        match (living, known) {
            (Some(stat), Some(known)) if known.superseded => Some((known.process, stat.parent)),
            (Some(stat), _) => Some((self.procfs.describe(key.tgid, &stat), stat.parent)),
            (None, Some(known)) => Some((known.process, known.parent.tgid)),
            (None, None) => None,
        }
    }

    /// Makes room in a full table, by what procfs no longer lists: an exit that was lost leaves its process behind.
    pub(super) fn sweep(&mut self, now: Timestamp) {
        let due = self
            .swept
            .is_none_or(|swept| now.duration_since(swept).abs() >= SWEEP_PAUSE);
        if self.processes.is_full() && due {
            self.swept = Some(now);
            let alive = self.procfs.all(usize::MAX).into_iter().collect();
            self.processes.keep_living(&alive);
        }
    }
}
