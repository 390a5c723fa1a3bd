//! Who asked a container engine, so that what the engine then reads counts for them.
//!
//! Invariant: bounded. An asker is kept by user and container, the last connection of each; when one too many comes the
//! oldest goes, so that somebody stays to answer for what the engine reads. An asker goes stale half a minute after they
//! asked and the engine read for them, and is forgotten when no process is left that could hold the connection. Used by
//! `Correlator`.

use std::path::PathBuf;

use jiff::{SignedDuration, Timestamp};

use super::holders::{Ended, Holders};
use crate::knowledge::Knowledge;
use crate::model::{Access, Actor, Asker, EngineSocket, ProcessKey, Sighting};

/// Most askers at once.
const MOST: usize = 64;
/// What an engine reads this long after a connection, or after the last file that it read for the asker, is the asker's: a
/// client connects anew for each command, and an export of many layers goes on for minutes.
const WINDOW: SignedDuration = SignedDuration::from_secs(30);
/// A stale asker whose processes seem to live is forgotten all the same: the end of one may have been lost.
const LONGEST: SignedDuration = SignedDuration::from_hours(1);

#[derive(Debug)]
struct Asked {
    socket: EngineSocket,
    sighting: Sighting,
    last: Timestamp,
    /// Whether what the engine reads for them is alerted; the host's root is not.
    answers: bool,
    holders: Holders,
}

impl Asked {
    fn is_fresh(&self, now: Timestamp) -> bool {
        now.duration_since(self.last) <= WINDOW
    }

    /// What is told of them, one of so many.
    fn asker(&self, of: usize) -> Asker {
        Asker {
            sighting: self.sighting.clone(),
            socket: self.socket.path.clone(),
            others: of.saturating_sub(1),
        }
    }

    fn is_over(&self, now: Timestamp) -> bool {
        !self.is_fresh(now) && (self.holders.is_empty() || now.duration_since(self.last) > LONGEST)
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Askers {
    asked: Vec<Asked>,
    ended: Ended,
}

impl Askers {
    /// Remembers a connection; `answers` unless its reads are nobody's concern.
    pub(super) fn note(&mut self, socket: &EngineSocket, sighting: &Sighting, answers: bool) {
        let last = sighting.access.time;
        self.asked.retain(|one| !one.is_over(last));
        let same = self.asked.iter().position(|one| {
            one.socket.key == socket.key
                && one.answers == answers
                && one.sighting.subject.uid == sighting.subject.uid
                && one.sighting.actor.container == sighting.actor.container
        });
        let mut holders = same.map_or_else(Holders::default, |at| self.asked.remove(at).holders);
        holders.add(sighting.access.process());
        if self.asked.len() >= MOST {
            self.asked.remove(0);
        }
        self.asked.push(Asked {
            socket: socket.clone(),
            sighting: sighting.clone(),
            last,
            answers,
            holders,
        });
    }

    /// A process began another; whether that matters to anybody here.
    pub(super) fn began(&mut self, parent: ProcessKey, child: ProcessKey) -> bool {
        let grown = self.asked.iter_mut().map(|one| one.holders.fork(parent, child));
        grown.fold(false, |any, one| any | one)
    }

    /// A process ended; whether that matters to anybody here.
    pub(super) fn ended(&mut self, process: ProcessKey) -> bool {
        self.ended.add(process);
        let shrunk = self.asked.iter_mut().map(|one| one.holders.remove(process));
        shrunk.fold(false, |any, one| any | one)
    }

    /// Whether a process is among those that ended last: the ring of accesses may be behind that of processes.
    pub(super) fn has_ended(&self, process: ProcessKey) -> bool {
        self.ended.has(process)
    }

    /// For whom an engine made this access: who asked last at a socket of its, or, where nobody did of late, who may be
    /// connected still.
    pub(super) fn of(&mut self, access: &Access, engine: &Actor, knowledge: &Knowledge) -> Option<Asker> {
        let now = access.time;
        let mut asked = self.at(now, engine, knowledge);
        // One who does not answer takes it from those who are stale, and from nobody else.
        let is_any_fresh = asked.iter().any(|one| one.is_fresh(now));
        asked.retain(|one| one.answers && one.is_fresh(now) == is_any_fresh);
        let count = asked.len();
        let latest = latest(asked)?;
        latest.last = latest.last.max(now);
        Some(latest.asker(count))
    }

    /// For whom an engine committed an image: who asked last and is connected still, for a client waits for its pull; else
    /// who asked last. It may be root.
    pub(super) fn of_commit(
        &mut self,
        commit: &Access,
        engine: &Actor,
        knowledge: &Knowledge,
    ) -> Option<Asker> {
        let mut asked = self.at(commit.time, engine, knowledge);
        let is_any_there = asked.iter().any(|one| !one.holders.is_empty());
        asked.retain(|one| one.holders.is_empty() != is_any_there);
        let count = asked.len();
        latest(asked).map(|latest| latest.asker(count))
    }

    /// Those who asked at a socket of this engine.
    fn at(&mut self, now: Timestamp, engine: &Actor, knowledge: &Knowledge) -> Vec<&mut Asked> {
        let lineage = std::iter::once(&engine.process).chain(&engine.ancestors);
        let engines: Vec<(u32, &PathBuf)> = lineage
            .filter(|process| process.exe_key.is_some_and(|exe| knowledge.is_engine(exe)))
            .filter_map(|process| Some((process.pid, process.exe.as_ref()?)))
            .collect();
        // Who serves it may be known since.
        let serves = |one: &Asked, (pid, exe): &(u32, &PathBuf)| {
            let now = knowledge.engine_socket(one.socket.key);
            now.unwrap_or(&one.socket).is_served_by(*pid, exe)
        };
        self.asked
            .iter_mut()
            .filter(|one| one.sighting.access.time <= now && !one.is_over(now))
            .filter(|one| engines.iter().any(|engine| serves(one, engine)))
            .collect()
    }
}

fn latest(asked: Vec<&mut Asked>) -> Option<&mut Asked> {
    asked.into_iter().max_by_key(|one| one.sighting.access.time)
}
