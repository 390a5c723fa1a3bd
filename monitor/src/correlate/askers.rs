//! Who asked a container engine, so that what the engine then reads counts for them.
//!
//! Invariant: bounded. An asker is kept by user and container, the last connection of each; when one too many comes the
//! oldest goes, so that somebody stays to answer for what the engine reads. Used by `Correlator`.

use std::path::PathBuf;

use jiff::{SignedDuration, Timestamp};

use crate::knowledge::Knowledge;
use crate::model::{Access, Actor, EngineSocket, Sighting};

/// Most askers at once.
const MOST: usize = 64;
/// What an engine reads this long after a connection, or after the last file that it read for the asker, is the asker's: a
/// client connects anew for each command, and an export of many layers goes on for minutes.
const WINDOW: SignedDuration = SignedDuration::from_secs(30);

/// Somebody who asked an engine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Asker {
    /// The connection.
    pub sighting: Sighting,
    /// The socket's name on the host.
    pub socket: PathBuf,
    /// How many others asked there in the same time.
    pub others: usize,
}

#[derive(Debug)]
struct Asked {
    socket: EngineSocket,
    sighting: Sighting,
    last: Timestamp,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Askers {
    asked: Vec<Asked>,
}

impl Askers {
    /// Remembers a connection.
    pub(super) fn note(&mut self, socket: &EngineSocket, sighting: &Sighting) {
        let last = sighting.access.time;
        let is_same = |one: &Asked| {
            one.socket.key == socket.key
                && one.sighting.subject.uid == sighting.subject.uid
                && one.sighting.actor.container == sighting.actor.container
        };
        self.asked
            .retain(|one| !is_same(one) && last.duration_since(one.last) <= WINDOW);
        if self.asked.len() >= MOST {
            self.asked.remove(0);
        }
        self.asked.push(Asked {
            socket: socket.clone(),
            sighting: sighting.clone(),
            last,
        });
    }

    /// For whom an engine made this access: the last who asked at a socket of its.
    pub(super) fn of(&mut self, access: &Access, engine: &Actor, knowledge: &Knowledge) -> Option<Asker> {
        let lineage = std::iter::once(&engine.process).chain(&engine.ancestors);
        let engines: Vec<PathBuf> = lineage
            .filter(|process| process.exe_key.is_some_and(|exe| knowledge.is_engine(exe)))
            .filter_map(|process| process.exe.clone())
            .collect();
        let mut asked: Vec<&mut Asked> = self
            .asked
            .iter_mut()
            .filter(|one| one.sighting.access.time <= access.time)
            .filter(|one| access.time.duration_since(one.last) <= WINDOW)
            .filter(|one| engines.iter().any(|exe| one.socket.is_served_by(exe)))
            .collect();
        let others = asked.len().saturating_sub(1);
        let latest = asked.iter_mut().max_by_key(|one| one.sighting.access.time)?;
        latest.last = latest.last.max(access.time);
        Some(Asker {
            sighting: latest.sighting.clone(),
            socket: latest.socket.path.clone(),
            others,
        })
    }
}
