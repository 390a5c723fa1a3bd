//! Recordings that are whole, cut, damaged, full, or of another version.
//!
//! Invariant: what is good comes out first, then one error that names the line. Run by the unit tests.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use super::*;
use crate::correlate::PlaneSettings;
use crate::enrich::Facts;
use crate::model::Record;
use crate::plane::frames::{Scene, after, boot};
use crate::recording::{RecordError, Recorder, RecorderCounts};

fn header() -> Header {
    Header::new(boot(), PlaneSettings::default())
}

/// A recording of two reads by two users, and its bytes.
fn recorded(limit: u64) -> (Vec<u8>, RecorderCounts) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("recording");
    let mut recorder = Recorder::create(&path, header(), limit).unwrap();
    recorder.knowledge(&Arc::new(Scene::new().knowledge()), after(0));
    for uid in [1000, 1001] {
        let mut scene = Scene::new();
        scene.uid(uid);
        let facts = Facts {
            actor: scene.actor.clone(),
            user: Some(format!("user{uid}")),
        };
        recorder.frame(&scene.frame(), after(0), Some(&facts));
    }
    recorder.tick(after(60));
    let counts = recorder.finish().unwrap();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    (crate::bounded::read(&path, 1 << 24).unwrap(), counts)
}

/// The users in the replay's alerts, and the message it ended with.
fn replayed(bytes: &[u8]) -> (Vec<u32>, Option<String>) {
    let replay = match Replay::new(bytes) {
        Ok(replay) => replay,
        Err(error) => return (Vec::new(), Some(error.to_string())),
    };
    let (mut uids, mut message) = (Vec::new(), None);
    for item in replay {
        assert!(message.is_none(), "something after the error");
        match item {
            Ok(record) => uids.push(uid(&record)),
            Err(error) => message = Some(error.to_string()),
        }
    }
    (uids, message)
}

fn uid(record: &Record) -> u32 {
    let json = serde_json::to_value(record).unwrap();
    u32::try_from(json["subject"]["uid"].as_u64().unwrap()).unwrap()
}

/// The recording's lines changed in some way, and what the replay must give.
fn check(name: &str, change: impl FnOnce(&mut Vec<Vec<u8>>), uids: &[u32], message: Option<&str>) {
    let (bytes, _) = recorded(u64::MAX);
    let mut lines: Vec<Vec<u8>> = bytes
        .split_inclusive(|byte| *byte == b'\n')
        .map(<[u8]>::to_vec)
        .collect();
    assert_eq!(lines.len(), 6, "header, knowledge, two frames, tick, end");
    change(&mut lines);
    let expected = (uids.to_vec(), message.map(str::to_owned));
    assert_eq!(replayed(&lines.concat()), expected, "{name}");
}

#[test]
fn a_damaged_recording_gives_what_is_good_and_names_the_line() {
    let cut = |line: u64| format!("the recording is cut: it ends at line {line} without an end mark");
    let damaged = |line: u64| format!("line {line} of the recording is damaged");
    check("whole", |_| {}, &[1000, 1001], None);
    check("empty", Vec::clear, &[], Some(&cut(0)));
    check("no end mark", |l| l.truncate(5), &[1000, 1001], Some(&cut(5)));
    check("cut between lines", |l| l.truncate(3), &[1000], Some(&cut(3)));
    check(
        "cut in a line",
        |l| {
            l.truncate(4);
            l[3].truncate(40);
        },
        &[1000],
        Some(&cut(4)),
    );
    check(
        "cut in the header",
        |l| {
            l.truncate(1);
            l[0].truncate(9);
        },
        &[],
        Some(&cut(1)),
    );
    check(
        "garbage",
        |l| l[3] = b"\xff\xfe\x00\n".to_vec(),
        &[1000],
        Some(&damaged(4)),
    );
    check(
        "another shape",
        |l| l[3] = b"{\"frame\":{}}\n".to_vec(),
        &[1000],
        Some(&damaged(4)),
    );
    check(
        "no header",
        |l| {
            l.remove(0);
        },
        &[],
        Some("line 1 of the recording stands in the wrong place"),
    );
    check(
        "two headers",
        |l| {
            let header = l[0].clone();
            l.insert(3, header);
        },
        &[1000],
        Some("line 4 of the recording stands in the wrong place"),
    );
}

#[test]
fn a_frame_that_is_no_base64_is_named() {
    let line = Line::Frame {
        now: after(0),
        bytes: "!!".to_owned(),
        facts: None,
    };
    let mut bytes = serde_json::to_vec(&line).unwrap();
    bytes.push(b'\n');
    check(
        "bytes",
        |lines| lines[3] = bytes,
        &[1000],
        Some("the frame on line 4 of the recording is damaged"),
    );
}

#[test]
fn another_version_is_refused() {
    for (format, wire) in [(1, 2), (2, 1)] {
        let other = Header {
            format,
            wire,
            ..header()
        };
        let mut line = serde_json::to_vec(&Line::Header(Box::new(other))).unwrap();
        line.push(b'\n');
        let message =
            format!("the recording has format {format} and wire version {wire}, this agent reads 3 and 2");
        check("version", |lines| lines[0] = line, &[], Some(&message));
    }
}

#[test]
fn a_full_recording_says_what_is_missing() {
    let (whole, counts) = recorded(u64::MAX);
    assert_eq!(
        counts,
        RecorderCounts {
            written: 5,
            failed: 0,
            beyond: 0
        }
    );
    let lines: Vec<&[u8]> = whole.split_inclusive(|byte| *byte == b'\n').collect();
    let room = lines[..3].concat().len();
    let (bytes, counts) = recorded(u64::try_from(room).unwrap());
    assert_eq!(
        counts,
        RecorderCounts {
            written: 3,
            failed: 0,
            beyond: 2
        }
    );
    let message = "the recording is incomplete: 2 lines after line 3 were not recorded".to_owned();
    assert_eq!(replayed(&bytes), (vec![1000], Some(message)));
}

#[test]
fn an_existing_file_is_not_overwritten() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let refused = Recorder::create(file.path(), header(), u64::MAX);
    assert!(matches!(refused, Err(RecordError::Create { path, .. }) if path == file.path()));
    assert!(matches!(
        replay(Path::new("/nonexistent")),
        Err(ReplayError::Open { .. })
    ));
}

/// Writes up to a number of bytes, then no more.
struct Full(usize);

impl std::io::Write for Full {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 = self
            .0
            .checked_sub(bytes.len())
            .ok_or(std::io::ErrorKind::StorageFull)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_is_counted_and_ends_the_recording() {
    let mut recorder = Recorder::begin(Box::new(Full(600)), header(), u64::MAX).unwrap();
    recorder.tick(after(0));
    recorder.knowledge(&Arc::new(Scene::new().knowledge()), after(0));
    recorder.tick(after(1));
    assert_eq!(
        recorder.counts(),
        RecorderCounts {
            written: 2,
            failed: 1,
            beyond: 1
        }
    );
    assert!(matches!(
        Recorder::begin(Box::new(Full(3)), header(), u64::MAX),
        Err(RecordError::Header(_))
    ));
}

proptest::proptest! {
    #[test]
    fn any_recording_gives_an_answer(at in 0..20_000_usize, byte: u8, cut in 0..20_000_usize) {
        let (mut bytes, _) = recorded(u64::MAX);
        let at = at % bytes.len();
        bytes[at] = byte;
        bytes.truncate(cut.max(bytes.len() / 2));
        let (uids, _) = replayed(&bytes);
        proptest::prop_assert!(uids.len() <= 2);
    }
}
