//! The JSON log on a scripted disk, on real files, and behind `Sinks`.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use super::*;
use crate::sinks::samples;

/// What one call of `write` does.
#[derive(Clone, Copy)]
enum Step {
    Take(usize),
    Fail(ErrorKind),
}

#[derive(Clone, Default)]
struct Disk {
    steps: Rc<RefCell<VecDeque<Step>>>,
    /// One text per opened file.
    files: Rc<RefCell<Vec<String>>>,
}

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let count = match self.steps.borrow_mut().pop_front() {
            Some(Step::Fail(kind)) => return Err(kind.into()),
            Some(Step::Take(count)) => count.min(bytes.len()),
            None => bytes.len(),
        };
        let text = String::from_utf8_lossy(&bytes[..count]).into_owned();
        self.files.borrow_mut().last_mut().unwrap().push_str(&text);
        Ok(count)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Delivers `line\n` over a disk with these steps; `reopen` asks for a new file during the first pause.
fn check(steps: &[Step], reopen: bool, patience: usize, delivered: bool, files: &[&str]) {
    let disk = Disk {
        steps: Rc::new(RefCell::new(steps.iter().copied().collect())),
        ..Disk::default()
    };
    let made = disk.clone();
    let request = Reopen(Arc::new(AtomicBool::new(false)));
    let mut log = Log {
        out: None,
        open: move || {
            made.files.borrow_mut().push(String::new());
            Ok(made.clone())
        },
        reopen: request.clone(),
    };
    let mut pauses = 0;
    let done = log.deliver(b"line\n", |_| {
        pauses += 1;
        if reopen && pauses == 1 {
            request.request();
        }
        pauses <= patience
    });
    assert_eq!(done, delivered);
    assert_eq!(*disk.files.borrow(), files);
}

#[test]
fn a_line_is_written_whole_or_again() {
    use ErrorKind::{Interrupted, StorageFull};
    use Step::{Fail, Take};
    check(&[], false, 0, true, &["line\n"]);
    check(&[Take(2), Take(1)], false, 0, true, &["line\n"]);
    check(&[Fail(Interrupted)], false, 0, true, &["line\n"]);
    check(
        &[Take(2), Fail(StorageFull), Fail(StorageFull)],
        false,
        2,
        true,
        &["line\n"],
    );
    check(&[Take(2), Fail(StorageFull)], false, 0, false, &["li"]);
    check(&[Take(0)], false, 1, true, &["line\n"]);
    // Rotated away in the middle: the new file gets the whole line.
    check(&[Take(2), Fail(StorageFull)], true, 1, true, &["li", "line\n"]);
}

#[test]
fn the_file_is_private_and_a_torn_line_is_ended() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("alerts.jsonl");
    for (before, after) in [
        (None, "new\n"),
        (Some(""), "new\n"),
        (Some("old\n"), "old\nnew\n"),
        (Some("o"), "o\nnew\n"),
    ] {
        match before {
            Some(text) => {
                std::fs::write(&path, text).unwrap();
                std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
            }
            None => assert!(!path.exists()),
        }
        open(&LogTarget::File(path.clone()))
            .unwrap()
            .write_all(b"new\n")
            .unwrap();
        assert_eq!(crate::bounded::read_text(&path, 100).unwrap(), after);
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }
}

#[test]
fn a_symbolic_link_is_not_followed() {
    let directory = tempfile::tempdir().unwrap();
    let link = directory.path().join("log");
    std::os::unix::fs::symlink(directory.path().join("victim"), &link).unwrap();
    let error = open(&LogTarget::File(link.clone())).unwrap_err();
    assert!(matches!(error, JsonLogError::Open { path, .. } if path == link));
}

#[tokio::test]
async fn records_become_lines_and_rotation_loses_none() {
    for (accesses, lines) in [(false, 3), (true, 4)] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let metrics = Arc::new(Metrics::new().unwrap());
        let mut sinks = crate::sinks::Sinks::new(Arc::clone(&metrics));
        let target = LogTarget::File(path.clone());
        sinks
            .add_json_log(JsonLog(LogSink {
                target,
                verbose: accesses,
            }))
            .unwrap();
        let records = [
            samples::alert_record(),
            samples::access_record(),
            samples::pull_record(),
            samples::state_record(),
        ];
        let rotated = directory.path().join("log.1");
        std::fs::rename(&path, &rotated).unwrap();
        sinks.reopen();
        for record in &records {
            sinks.emit(record);
        }
        assert_eq!(sinks.shutdown(Duration::from_secs(10)).await, []);
        let text = crate::bounded::read_text(&path, 1 << 20).unwrap();
        let read: Vec<Record> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let expected: Vec<Record> = records
            .into_iter()
            .filter(|record| accesses || !matches!(record.body, RecordKind::Access(_)))
            .collect();
        assert_eq!((read.len(), read), (lines, expected));
        assert_eq!(std::fs::metadata(&rotated).unwrap().len(), 0);
        let shown = format!("layerwatch_sink_records_total{{sink=\"json-log\"}} {lines}\n");
        assert!(metrics.encode().unwrap().contains(&shown));
    }
}
