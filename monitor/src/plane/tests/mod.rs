//! Scenarios: what happens to a plane, and what comes out of it.
//!
//! Invariant: each scenario also adds up the books after each step, and is recorded and replayed to the same end.

mod asked;
mod flow;
mod waiting;
mod who;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::frames::{Scene, after, boot};
use super::*;
use crate::counts::Stage;
use crate::model::{Actor, RecordKind};
use crate::recording::{Header, Recorder};
use crate::replay::Replay;

/// What happens to a plane.
enum Step {
    /// The scene's access, so many seconds after the first.
    Access(Scene, i64),
    /// Other bytes from the ring.
    Bytes(Vec<u8>),
    /// The scene's access as a file that was open already.
    OpenFile(Scene, i64),
    /// A newer snapshot: the scene's knowledge.
    Snapshot(Scene, i64),
    /// The process of one id begins that of another.
    Begins(u32, u32),
    /// The process of that id ends.
    Ends(u32),
    /// Time passes.
    Tick(i64),
}

/// Says what each scene says of its process.
#[derive(Debug, Clone)]
struct Script {
    actor: Arc<Mutex<Option<Actor>>>,
    /// Whether another process finds room.
    room: bool,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            actor: Arc::default(),
            room: true,
        }
    }
}

impl Actors for Script {
    fn actor(&mut self, _access: &Access) -> Actor {
        self.actor.lock().unwrap().clone().unwrap()
    }

    fn learn(&mut self, _event: &crate::model::ProcessEvent) -> bool {
        self.room
    }

    fn user(&mut self, uid: u32) -> Option<String> {
        (uid == 1000).then(|| "alice".to_owned())
    }
}

/// Bytes that the test can read after the recorder wrote them.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What a scenario gave.
struct Played {
    records: Vec<Record>,
    counts: StageCounts,
    recording: Vec<u8>,
}

/// What a scene says of the process with this id.
fn process(pid: u32) -> ProcessKey {
    let mut scene = Scene::new();
    scene.record.tgid = pid;
    scene.access().process()
}

fn play(settings: PlaneSettings, steps: Vec<Step>) -> Played {
    let script = Script::default();
    let actor = Arc::clone(&script.actor);
    let mut plane = EventPlane::new(settings, boot(), Box::new(script));
    let file = Shared::default();
    let recorder = Recorder::begin(Box::new(file.clone()), Header::new(boot(), settings), u64::MAX).unwrap();
    plane.record_to(recorder, after(-1));
    let mut records = plane.snapshot_changed(Arc::new(Scene::new().knowledge()), after(-1));
    for step in steps {
        records.extend(match step {
            Step::Access(mut scene, seconds) => {
                scene.record.time_ns += u64::try_from(seconds).unwrap() * 1_000_000_000;
                *actor.lock().unwrap() = Some(scene.actor.clone());
                plane.handle(&scene.frame(), after(seconds))
            }
            Step::OpenFile(scene, seconds) => {
                *actor.lock().unwrap() = Some(scene.actor.clone());
                let access = Access {
                    operation: Operation::OpenBeforeStart,
                    ..scene.access()
                };
                plane.handle_open_file(access, after(seconds), None)
            }
            Step::Bytes(bytes) => plane.handle(&bytes, after(0)),
            Step::Snapshot(scene, seconds) => {
                plane.snapshot_changed(Arc::new(scene.knowledge()), after(seconds))
            }
            Step::Begins(parent, child) => {
                plane.began(process(parent), process(child));
                Vec::new()
            }
            Step::Ends(pid) => {
                plane.ended(process(pid));
                Vec::new()
            }
            Step::Tick(seconds) => plane.tick(after(seconds)),
        });
        assert!(plane.counts().is_balanced(), "{:#?}", plane.counts());
    }
    plane.recorder().unwrap().finish().unwrap();
    let recording = file.0.lock().unwrap().clone();
    Played {
        records,
        counts: plane.counts().clone(),
        recording,
    }
}

/// One line of output in short: kind, alert, severity, user, count, and what is missing or special.
fn short(record: &Record) -> String {
    let (kind, alert) = match &record.body {
        RecordKind::Alert(alert) => ("alert", alert),
        RecordKind::Access(alert) => ("access", alert),
        other @ (RecordKind::Pull(_) | RecordKind::State(_)) => panic!("{other:?}"),
    };
    let (name, severity) = (alert.alert.as_str(), alert.severity.as_str());
    let mut text = format!(
        "{kind} {name} {severity} uid={} x{}",
        alert.subject.uid, alert.count
    );
    for (word, holds) in [
        (" refused", !alert.access.allowed),
        (" no-layer", alert.layer.is_none()),
        (" no-finding", alert.finding.is_none()),
        (
            " shadowed",
            alert.finding.as_ref().is_some_and(|finding| finding.shadowed),
        ),
    ] {
        text.push_str(if holds { word } else { "" });
    }
    text + &alert
        .sanction
        .map(|sanction| format!(" {}", sanction.as_str()))
        .unwrap_or_default()
}

/// Plays a scenario, compares its output and why the rest ended, and replays its recording to the same end.
fn check(name: &str, steps: Vec<Step>, output: &[&str], ended: &[(&str, u64)]) {
    check_with(PlaneSettings::default(), name, steps, output, ended);
}

fn check_with(settings: PlaneSettings, name: &str, steps: Vec<Step>, output: &[&str], ended: &[(&str, u64)]) {
    let played = play(settings, steps);
    let lines: Vec<String> = played.records.iter().map(short).collect();
    assert_eq!(lines, output, "{name}");
    let mut reasons: BTreeMap<&str, u64> = BTreeMap::new();
    for stage in Stage::ALL {
        let flow = played.counts.stage(stage);
        for (reason, count) in flow.filtered.iter().chain(&flow.dropped) {
            *reasons.entry(reason).or_default() += count;
        }
    }
    assert_eq!(reasons, ended.iter().copied().collect(), "{name}");
    let mut replay = Replay::new(played.recording.as_slice()).unwrap();
    let again: Vec<Record> = replay.by_ref().collect::<Result<_, _>>().unwrap();
    assert_eq!(again, played.records, "{name}: replayed");
    assert_eq!(replay.counts(), &played.counts, "{name}: replayed");
}

/// A scene changed from "uid 1000 opens a layer's private key directly".
fn scene(change: impl FnOnce(&mut Scene)) -> Scene {
    let mut scene = Scene::new();
    change(&mut scene);
    scene
}

/// One access and its output.
fn check_access(name: &str, change: impl FnOnce(&mut Scene), output: &[&str], ended: &[(&str, u64)]) {
    check(name, vec![Step::Access(scene(change), 0)], output, ended);
}

const READ: &str = "alert SensitiveLayerRead high uid=1000 x1";
