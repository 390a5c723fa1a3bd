//! What the BuildKit of a real Docker 20.10.24 kept of a build of two stages on a pulled image of two layers, whole and damaged.

use super::{outline, path, put, read_d};
use crate::catalog::bolt::tests::writer::{Entries, bucket, bytes, file};
use crate::catalog::{Catalog, Host, ProblemKind, refresh};
use crate::model::{BuildWork, LayerState};

const SNAPSHOTS: &[u8] = include_bytes!("../../../../../tests/fixtures/fuzz/bolt/build-snapshots.db");
const RECORDS: &[u8] = include_bytes!("../../../../../tests/fixtures/fuzz/bolt/build-records.db");

/// The layers of the pulled image and that of the built one: chain id, the driver's id, the one below, diff id.
const LAYERS: [(&str, &str, Option<&str>, &str); 3] = [
    (BASE, "75fa", None, BASE),
    (
        "8567e4102a8f875b481bc4a7af0d6a30c40cf0929ecef3ce0fe1096843f2d88a",
        "0df8",
        Some(BASE),
        "9b2ce34718252e0da7f46db5bad49e79e9695d42c8c13d1d61a8db8835c39d87",
    ),
    (
        "68b14118d46671491e07b38a9114022405be050257913eeb9b10339e3fc8c1c0",
        "do7vj9e26a6durtm22co4tqgm",
        None,
        "68b14118d46671491e07b38a9114022405be050257913eeb9b10339e3fc8c1c0",
    ),
];

const BASE: &str = "974a5c9d55357f5bc29d860bda73d03d9a7ac5cd5a4afc5bcefd45ea88bbf092";

/// What the driver calls what the builder keeps, and one that nobody knows.
const KEPT: [&str; 6] = [
    "1smxqt6nor2snw3wdwhqj8i0h",
    "f0r9721yjgavy1s6ccike8ms3",
    "qon4td89y1gh9gmct46qg72fy",
    "xaw8df7xmc6lo73prgc1hriz0",
    "xwbkjdts5lamofomwyzvmfp3t",
    "nobodys",
];

const OWN: [&str; 3] = [
    "Dangling 68b1 on - in do7v diff 68b1 blob - size 3",
    "Dangling 8567 on 974a in 0df8 diff 9b2c blob - size 3",
    "Dangling 974a on - in 75fa diff 974a blob - size 3",
];

fn host() -> (tempfile::TempDir, Host) {
    let directory = tempfile::tempdir().unwrap();
    let host = Host::new(directory.path());
    for (chain, cache_id, parent, diff) in LAYERS {
        let layer = format!("image/overlay2/layerdb/sha256/{chain}");
        put(&host, &format!("{layer}/cache-id"), cache_id.as_bytes());
        put(
            &host,
            &format!("{layer}/diff"),
            format!("sha256:{diff}").as_bytes(),
        );
        put(&host, &format!("{layer}/size"), b"3");
        if let Some(parent) = parent {
            put(
                &host,
                &format!("{layer}/parent"),
                format!("sha256:{parent}").as_bytes(),
            );
        }
    }
    for cache_id in LAYERS.map(|layer| layer.1).into_iter().chain(KEPT) {
        std::fs::create_dir_all(path(&host, &format!("overlay2/{cache_id}/diff"))).unwrap();
    }
    put(&host, "buildkit/snapshots.db", SNAPSHOTS);
    put(&host, "buildkit/metadata_v2.db", RECORDS);
    (directory, host)
}

/// The layers that an image or nobody has, and what more there is.
fn with(more: &[&str]) -> Vec<String> {
    let lines = OWN.iter().chain(more).map(|line| (*line).to_owned());
    sorted(lines.collect())
}

fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort();
    lines
}

const RECORDED: [&str; 5] = [
    "BuildCache 1smx on - in 1smx diff - blob - size 139",
    "BuildCache f0r9 on x9mz in f0r9 diff - blob - size 3",
    "BuildCache qon4 on - in qon4 diff - blob - size 0",
    "BuildCache x9mz on 8567 in xwbk diff - blob - size 119",
    "BuildCache xaw8 on - in xaw8 diff - blob - size 122",
];

#[test]
fn what_a_build_keeps_is_told_by_what_it_came_from() {
    let (_directory, host) = host();
    let catalog = read_d(&host);
    assert_eq!(sorted(outline(&catalog)), with(&RECORDED));
    assert_eq!(catalog.stores[0].unlisted, 1);
    let kept = catalog
        .layers
        .values()
        .filter(|layer| layer.state == LayerState::BuildCache);
    let told: Vec<_> = kept
        .map(|layer| {
            let cache = layer.build_cache.unwrap();
            assert!(layer.is_scannable());
            (cache.work, cache.last_used > layer.created)
        })
        .collect();
    let (regular, sent) = ((BuildWork::Regular, true), (BuildWork::LocalSource, true));
    assert_eq!(told, [sent, regular, sent, regular, sent]);
}

type Snapshot<'a> = (&'a str, &'a [(&'a str, &'a str)]);

/// Databases in which the builder says this of a snapshot, and that of its work.
fn check(snapshots: &[Snapshot<'_>], records: &[Snapshot<'_>], expected: &[&str]) {
    let rows = |rows: &[Snapshot<'_>]| -> Entries {
        let row = |(key, fields): &Snapshot<'_>| {
            let fields = fields.iter().map(|(name, value)| bytes(name, value.as_bytes()));
            bucket(key, fields.collect())
        };
        rows.iter().map(row).collect()
    };
    let (_directory, host) = host();
    put(&host, "buildkit/snapshots.db", &file(rows(snapshots)));
    let records = file(vec![bucket("_main", rows(records))]);
    put(&host, "buildkit/metadata_v2.db", &records);
    assert_eq!(sorted(outline(&read_d(&host))), with(expected), "{snapshots:?}");
}

#[test]
fn a_snapshot_is_what_its_record_says() {
    const ID: &str = "f0r9721yjgavy1s6ccike8ms3";
    let regular = |state: &str| format!("{state} f0r9 on - in f0r9 diff - blob - size -");
    let unfinished = regular("Incomplete");
    let kept = regular("BuildCache");
    let own: &[Snapshot<'_>] = &[(ID, &[])];
    // A step that is being worked on; one that is done, known by its second record; a cache that steps share.
    check(own, &[(ID, &[])], &[&unfinished]);
    check(
        own,
        &[
            (ID, &[]),
            (
                "second",
                &[("cache.equalMutable", r#"{"value":"f0r9721yjgavy1s6ccike8ms3"}"#)],
            ),
        ],
        &[&kept],
    );
    check(
        own,
        &[(ID, &[("snapshot.committed", r#"{"value":true}"#)])],
        &[&kept],
    );
    check(
        own,
        &[(ID, &[("cache.recordType", r#"{"value":"exec.cachemount"}"#)])],
        &[&kept],
    );
    // Older builders have no such records.
    check(own, &[], &[&kept]);
    check(
        &[(ID, &[("iscommitted", "")])],
        &[(ID, &[("cache.recordType", "no JSON")])],
        &[&kept],
    );
    let digest = format!("sha256:{}", "ab".repeat(32));
    check(
        own,
        &[(
            ID,
            &[
                ("cache.diffID", &format!(r#"{{"value":"{digest}"}}"#)),
                ("snapshot.committed", r#"{"value":true}"#),
            ],
        )],
        &["BuildCache f0r9 on - in f0r9 diff - blob - size -"],
    );
}

#[test]
fn names_that_lead_elsewhere_are_said() {
    let said = "bad-record /d/buildkit/snapshots.db: the id holds a character other than letters, digits, '-', '_' and '.': ";
    check(&[("a/../b", &[])], &[], &[&format!("{said}\"a/../b\"")]);
    check(
        &[
            ("a/b", &[("committed", "xwbkjdts5lamofomwyzvmfp3t")]),
            ("xwbkjdts5lamofomwyzvmfp3t", &[]),
        ],
        &[],
        &[&format!("{said}\"a/b\"")],
    );
    check(
        &[("gone", &[("size", "many")])],
        &[],
        &["BuildCache gone on - in gone diff - blob - size -"],
    );
}

#[test]
fn a_database_that_cannot_be_read_leaves_what_was_known() {
    for (name, content, kind) in [
        ("snapshots.db", &b"no database"[..], ProblemKind::Malformed),
        ("metadata_v2.db", b"no database", ProblemKind::Malformed),
    ] {
        let (_directory, host) = host();
        let before = read_d(&host);
        put(&host, &format!("buildkit/{name}"), content);
        let after: Catalog = refresh(&before, &host, &["/d".into()]);
        let ids = |catalog: &Catalog| -> Vec<_> { catalog.layers.keys().cloned().collect() };
        assert_eq!(ids(&after), ids(&before), "{name}");
        let kinds: Vec<_> = after.problems.iter().map(|problem| problem.kind).collect();
        assert_eq!(kinds, [kind], "{name}");
    }
}
