//! A BuildKit that runs for itself: containerd's formats at its own places, without images.
//!
//! No package of the test machines has a buildkitd; keys and places are those of worker/runc and cache/manager.go of BuildKit.

use super::{BASE, BLOBS, make, outline, put, short};
use crate::catalog::bolt::tests::writer::{bucket, bytes, file};
use crate::catalog::{Catalog, Host, Location, read};
use crate::model::Engine;

/// What it calls what a build made, until it is exported.
const BUILT: &str = "q8x0n2g5r1m7c4v9k6j3h0b2d";

/// A context that a client sent, which later builds write to.
const SENT: &str = "a7k3n9x0q2w5e8r1t4y6u0i3o";

/// What a step writes to now.
const WORKED_ON: &str = "z1x4c7v0b3n6m9a2s5d8f1g4h";

/// A snapshot in the database of namespaces: its key, its number, its kind and the one below.
type Snapshot<'a> = (&'a str, u8, u8, Option<&'a str>);

fn databases(snapshots: &[Snapshot<'_>]) -> (Vec<u8>, Vec<u8>) {
    let name = |(key, number, ..): &Snapshot<'_>| format!("buildkit/{number}/{key}");
    let rows = snapshots.iter().map(|row| {
        let mut fields = vec![bytes("name", name(row).as_bytes())];
        fields.extend(row.3.map(|parent| bytes("parent", parent.as_bytes())));
        bucket(row.0, fields)
    });
    let blobs = vec![bucket(
        &format!("sha256:{}", BLOBS[0]),
        vec![bytes("size", &[12])],
    )];
    let namespace = vec![
        bucket("content", vec![bucket("blob", blobs)]),
        bucket("snapshots", vec![bucket("overlayfs", rows.collect())]),
    ];
    let metadata = file(vec![bucket("v1", vec![bucket("buildkit", namespace)])]);
    let rows = snapshots.iter().map(|row| {
        let fields = vec![
            bytes("id", &[row.1]),
            bytes("kind", &[row.2]),
            bytes("size", &[2]),
        ];
        bucket(&name(row), fields)
    });
    let snapshotter = file(vec![bucket("v1", vec![bucket("snapshots", rows.collect())])]);
    (metadata, snapshotter)
}

/// What the builder says of them.
fn records() -> Vec<u8> {
    let value = |key, text: &str| bytes(key, format!(r#"{{"value":{text}}}"#).as_bytes());
    let digest = |hex: &str| format!(r#""sha256:{hex}""#);
    let rows = vec![
        bucket(
            "q0pulled",
            vec![
                value("cache.snapshot", &digest(BASE)),
                value("cache.diffID", &digest(BASE)),
                value("cache.blob", &digest(BLOBS[0])),
                value("snapshot.committed", "true"),
            ],
        ),
        bucket(BUILT, vec![value("snapshot.committed", "true")]),
        bucket(SENT, vec![value("cache.recordType", r#""source.local""#)]),
        bucket(WORKED_ON, Vec::new()),
    ];
    file(vec![bucket("_main", rows)])
}

/// A host whose BuildKit is at `/c`, with a pulled image's layer and what a build made on it.
fn host(worker: &str) -> (tempfile::TempDir, Host, Catalog) {
    let directory = tempfile::tempdir().unwrap();
    let host = Host::new(directory.path());
    let base = format!("sha256:{BASE}");
    let (metadata, snapshotter) = databases(&[
        (&base, 1, 3, None),
        (BUILT, 2, 3, Some(&base)),
        (SENT, 3, 2, None),
        (WORKED_ON, 4, 2, Some(BUILT)),
    ]);
    put(&host, &format!("{worker}/metadata_v2.db"), &records());
    put(&host, &format!("{worker}/containerdmeta.db"), &metadata);
    put(&host, &format!("{worker}/snapshots/metadata.db"), &snapshotter);
    for number in 1..6 {
        make(&host, &format!("{worker}/snapshots/snapshots/{number}/fs/etc"));
    }
    put(
        &host,
        &format!("{worker}/content/blobs/sha256/{}", BLOBS[0]),
        b"packed",
    );
    let catalog = read(&host, &["/c".into()]);
    (directory, host, catalog)
}

#[test]
fn its_snapshots_are_layers_and_its_content_is_watched() {
    let (_directory, host, catalog) = host("runc-overlayfs");
    let store = "overlayfs@/c/runc-overlayfs#buildkit";
    assert_eq!(
        outline(&catalog),
        [
            // A directory that no database knows is counted.
            format!("{store} \"buildkit\" 1"),
            format!(
                "BuildCache {store} {} on - in snapshot/3/fs diff - blob - size None",
                short(SENT)
            ),
            format!(
                "Dangling {store} {base} on - in snapshot/1/fs diff {base} blob {} size Some(1)",
                short(BLOBS[0]),
                base = short(BASE)
            ),
            format!(
                "BuildCache {store} {} on {} in snapshot/2/fs diff - blob - size Some(1)",
                short(BUILT),
                short(BASE)
            ),
            format!(
                "Container {store} {} on {} in snapshot/4/fs diff - blob - size None",
                short(WORKED_ON),
                short(BUILT)
            ),
        ]
    );
    let found = &catalog.stores[0];
    assert_eq!(found.engine, Engine::BuildKit);
    let watched: Vec<_> = found
        .index_directories
        .iter()
        .chain(&found.layer_directories)
        .map(|(path, _)| path.strip_prefix(&found.root).unwrap().to_str().unwrap())
        .collect();
    assert_eq!(
        watched,
        [
            "",
            "content/blobs/sha256",
            "snapshots/snapshots",
            "snapshots/snapshots"
        ]
    );
    let scanned = catalog.layers.values().filter(|layer| layer.is_scannable());
    assert_eq!(scanned.count(), 3);
    let layer = catalog
        .layers
        .values()
        .find(|layer| layer.key.layer.as_str() == BUILT)
        .unwrap();
    let expected = Location {
        layer: layer.key.clone(),
        path_in_layer: b"etc/x".to_vec(),
    };
    assert_eq!(
        catalog.locate(&host, &layer.content.join("etc/x")),
        Some(expected)
    );
}

#[test]
fn workers_are_told_apart_and_other_places_are_none() {
    for (worker, stores) in [("runc-overlayfs", 1), ("oci-overlayfs", 1), ("elsewhere", 0)] {
        let (_directory, _host, catalog) = host(worker);
        assert_eq!(catalog.stores.len(), stores, "{worker}");
    }
}
