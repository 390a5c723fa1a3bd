//! Records as a real BuildKit wrote them, and as nobody should have.

use super::Records;
use crate::catalog::bolt::Database;
use crate::catalog::bolt::tests::writer::{bucket, bytes, file};
use crate::model::{BuildCache, BuildWork, Digest};

const RECORDED: &[u8] = include_bytes!("../../../../tests/fixtures/fuzz/bolt/build-records.db");

fn read(bytes: Vec<u8>) -> Records {
    let (records, left_out) = Records::of(&Database::parse(bytes).unwrap());
    assert_eq!(left_out, 0);
    records
}

#[test]
fn a_recorded_database_is_read_whole() {
    let records = read(RECORDED.to_vec());
    // What was pulled is known by the snapshot's name.
    let pulled = "sha256:8567e4102a8f875b481bc4a7af0d6a30c40cf0929ecef3ce0fe1096843f2d88a";
    let diff = "sha256:9b2ce34718252e0da7f46db5bad49e79e9695d42c8c13d1d61a8db8835c39d87";
    let sent = "xaw8df7xmc6lo73prgc1hriz0";
    for (name, work, diff_id) in [
        (pulled, BuildWork::Regular, Some(diff)),
        (sent, BuildWork::LocalSource, None),
        ("x9mz1wr8o9f6ls2x7zth5els1", BuildWork::Regular, None),
    ] {
        let record = records.get(name).unwrap();
        let told = (
            record.cache.work,
            record.diff_id.as_ref().map(Digest::as_str),
            record.is_finished,
        );
        assert_eq!(told, (work, diff_id, true), "{name}");
        assert!(record.created.is_some() && record.cache.last_used > record.created);
    }
    assert_eq!(records.0.len(), 8);
}

/// What a record's field says of the work, and when.
fn check(field: &str, value: &str, work: BuildWork, last_used: Option<&str>) {
    let row = bucket("a", vec![bytes(field, value.as_bytes())]);
    let records = read(file(vec![bucket("_main", vec![row])]));
    let last_used = last_used.map(|text| text.parse().unwrap());
    assert_eq!(
        records.get("a").map(|record| record.cache),
        Some(BuildCache { work, last_used }),
        "{field}: {value}"
    );
}

#[test]
fn what_cannot_be_believed_is_not_there() {
    use BuildWork::{CacheMount, Frontend, GitSource, Internal, LocalSource, Regular};
    for (value, work) in [
        ("regular", Regular),
        ("source.local", LocalSource),
        ("source.git.checkout", GitSource),
        ("exec.cachemount", CacheMount),
        ("frontend", Frontend),
        ("internal", Internal),
        ("something new", Regular),
    ] {
        let wrapped = format!(r#"{{"value":"{value}"}}"#);
        check("cache.recordType", &wrapped, work, None);
    }
    let time = "cache.lastUsedAt";
    check(
        time,
        r#"{"value":1}"#,
        Regular,
        Some("1970-01-01T00:00:00.000000001Z"),
    );
    for value in [
        r#"{"value":9223372036854775807000}"#,
        r#"{"value":"1"}"#,
        r"{}",
        r"[]",
        "",
        "\u{0}",
        r#"{"value":"#,
    ] {
        check(time, value, Regular, None);
        check("cache.recordType", value, Regular, None);
    }
}

#[test]
fn a_command_is_not_kept() {
    let text = format!("{:?}", read(RECORDED.to_vec()));
    assert!(
        !text.contains("fileop") && !text.contains("pulled from"),
        "{text}"
    );
}

#[test]
fn a_name_that_is_no_text_is_said() {
    let mut row = bucket("a", Vec::new());
    row.0 = b"\xff".to_vec();
    let bytes = file(vec![bucket("_main", vec![row, bucket("b", Vec::new())])]);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(super::RECORDS);
    std::fs::write(&path, bytes).unwrap();
    let (mut records, mut complaints) = (Records::default(), Vec::new());
    records.read(directory.path(), &mut complaints);
    let cause = "1 rows are left out: their names are no text, or there are too many".to_owned();
    assert_eq!(
        complaints,
        [(crate::catalog::ProblemKind::BadRecord, path, cause)]
    );
    assert_eq!(records.0.len(), 1);
}
