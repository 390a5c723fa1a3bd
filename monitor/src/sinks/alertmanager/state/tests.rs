//! The state file in a temporary directory.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use super::super::active::Active;
use super::*;

fn entries() -> Vec<Entry> {
    let now = "2026-01-01T00:00:00Z".parse().unwrap();
    let mut active = Active::new(Duration::from_mins(15), Duration::from_mins(1), Vec::new(), now);
    for name in ["a", "b"] {
        active.seen(
            [("alertname".to_owned(), name.to_owned())].into(),
            [].into(),
            now,
            now,
        );
    }
    active.entries()
}

#[test]
fn what_was_saved_is_loaded() {
    let directory = tempfile::tempdir().unwrap();
    let state = StateFile::new(directory.path());
    assert_eq!(state.load().unwrap(), []);
    // A crash in the middle of a save left this.
    std::fs::write(directory.path().join("alertmanager.json.new"), "{").unwrap();
    for kept in [entries(), Vec::new(), entries()] {
        state.save(kept.clone()).unwrap();
        assert_eq!(state.load().unwrap(), kept);
    }
    let mode = std::fs::metadata(&state.path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn what_cannot_be_understood_is_set_aside() {
    let directory = tempfile::tempdir().unwrap();
    let state = StateFile::new(directory.path());
    let aside = directory.path().join("alertmanager.json.unreadable");
    for (text, parse) in [
        ("{\"version\":1,\"alerts\":[{\"la", true),
        ("{\"version\":2,\"alerts\":[]}", false),
    ] {
        std::fs::write(&state.path, text).unwrap();
        let error = state.load().unwrap_err();
        assert_eq!(matches!(error, StateError::Parse { .. }), parse, "{error:?}");
        assert_eq!(
            matches!(error, StateError::Version { version: 2, .. }),
            !parse,
            "{error:?}"
        );
        assert_eq!(bounded::read_text(&aside, 1000).unwrap(), text);
        assert_eq!(state.load().unwrap(), []);
    }
}

#[test]
fn a_directory_that_is_not_there_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let state = StateFile::new(&directory.path().join("missing"));
    assert!(matches!(state.save(Vec::new()), Err(StateError::Write { .. })));
}
