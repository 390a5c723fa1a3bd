//! The snapshotter btrfs: a place for each kind of snapshot, told by its own database.
//!
//! What a real one says of each layer is compared in the integration tests.

use super::{BASE, META, SNAPSHOTTER, TOP, host, make, outline, put, read_c};
use crate::catalog::bolt::tests::writer::{bucket, bytes, file};

/// Snapshots: key, number, kind as the database has it, and the one below.
const ROWS: [(&str, u8, u8, Option<&str>); 4] = [
    (BASE, 1, 3, None),
    (TOP, 2, 3, Some(BASE)),
    ("written", 3, 2, Some(TOP)),
    ("shown", 4, 1, Some(TOP)),
];

fn key(name: &str) -> String {
    if name.len() == 64 {
        format!("sha256:{name}")
    } else {
        name.to_owned()
    }
}

#[test]
fn each_kind_of_snapshot_has_a_place_of_its_own() {
    let (_directory, host) = host();
    let name =
        |(snapshot, number, ..): &(&str, u8, u8, Option<&str>)| format!("n/{number}/{}", key(snapshot));
    let known = ROWS.iter().map(|row| {
        let mut fields = vec![bytes("name", name(row).as_bytes())];
        fields.extend(row.3.map(|below| bytes("parent", key(below).as_bytes())));
        bucket(&key(row.0), fields)
    });
    let namespace = bucket(
        "n",
        vec![bucket("snapshots", vec![bucket("btrfs", known.collect())])],
    );
    put(&host, META, &file(vec![bucket("v1", vec![namespace])]));
    let own = ROWS.iter().map(|row| {
        let fields = vec![
            bytes("id", &[row.1]),
            bytes("kind", &[row.2]),
            bytes("size", &[2]),
        ];
        bucket(&name(row), fields)
    });
    let own = file(vec![bucket("v1", vec![bucket("snapshots", own.collect())])]);
    put(&host, &format!("{SNAPSHOTTER}btrfs/metadata.db"), &own);
    // The fifth of the layers' place is nobody's.
    for place in ["snapshots/1", "snapshots/2", "active/3", "view/4", "snapshots/5"] {
        make(&host, &format!("{SNAPSHOTTER}btrfs/{place}"));
    }
    assert_eq!(
        outline(&read_c(&host)),
        [
            "btrfs@/c#n \"n\" 1",
            "Dangling btrfs n c253 on e697 in snapshot/2 diff - blob - size Some(1)",
            "Dangling btrfs n e697 on - in snapshot/1 diff - blob - size Some(1)",
            "Container btrfs n show on c253 in view/4 diff - blob - size None",
            "Container btrfs n writ on c253 in active/3 diff - blob - size None",
        ]
    );
}
