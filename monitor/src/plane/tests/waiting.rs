//! Knowledge that comes late, in part, or not at all.
//!
//! Invariant: what waits is reported in the end, whatever comes. Run by the unit tests.

use super::Step::{Access as Seen, Snapshot, Tick};
use super::*;

/// Before the scan: the layer is known by its directory only.
fn unscanned() -> Scene {
    scene(|s| {
        s.parts.generation = 2;
        s.parts.findings.clear();
        s.parts.scanned.clear();
        s.parts.built = after(-1);
    })
}

/// The same access as the kernel sees it before the file is watched.
fn early() -> Scene {
    scene(|s| {
        s.ordinary("/storage/overlay/l1/diff/etc/key.pem");
        s.record.file.ino = 100;
    })
}

fn scanned(generation: u64) -> Scene {
    scene(|s| s.parts.generation = generation)
}

#[test]
fn an_access_waits_for_the_scan() {
    check(
        "until it is done",
        vec![
            Snapshot(unscanned(), 0),
            Seen(early(), 0),
            Tick(5),
            Snapshot(scanned(3), 10),
        ],
        &[READ],
        &[],
    );
    let unknown = "access LayerContentRead info uid=1000 x1 no-finding";
    check(
        "or its deadline",
        vec![Snapshot(unscanned(), 0), Seen(early(), 0), Tick(59), Tick(60)],
        &[unknown],
        &[],
    );
    let no_layer = scene(|s| {
        s.parts.generation = 2;
        s.parts.layers.clear();
        s.parts.findings.clear();
    });
    let lost = "access LayerContentRead info uid=1000 x1 no-layer no-finding";
    check(
        "of a layer nobody knows",
        vec![Snapshot(no_layer, 0), Seen(early(), 0), Tick(60)],
        &[lost],
        &[],
    );
    let below = scene(|s| {
        s.ordinary("/storage/overlay/l1/diff/etc/key.pem");
        s.record.file.ino = 100;
        s.watch_store();
    });
    check(
        "of a layer that came later",
        vec![
            Snapshot(unscanned(), 0),
            Seen(below, 0),
            Snapshot(unscanned(), 1),
            Snapshot(scanned(3), 2),
        ],
        &[READ],
        &[],
    );
    check(
        "and root does not wait",
        vec![
            Snapshot(unscanned(), 0),
            Seen(
                scene(|s| {
                    s.ordinary("/x");
                    s.uid(0);
                }),
                0,
            ),
        ],
        &[],
        &[("host-root", 1)],
    );
}

#[test]
fn an_older_snapshot_changes_nothing() {
    let older = || {
        scene(|s| {
            s.parts.generation = 0;
            s.parts.findings.clear();
        })
    };
    check(
        "twice too late",
        vec![Snapshot(older(), 0), Snapshot(older(), 0), Seen(Scene::new(), 0)],
        &[READ],
        &[],
    );
}

#[test]
fn a_watched_file_that_left_is_still_reported() {
    let removed = |generation| {
        scene(|s| {
            s.parts.generation = generation;
            s.parts.findings.clear();
        })
    };
    check(
        "just now",
        vec![Snapshot(removed(2), 0), Seen(Scene::new(), 0)],
        &[READ],
        &[],
    );
    let gone = "alert SensitiveLayerRead medium uid=1000 x1 no-layer no-finding";
    check(
        "before",
        vec![
            Snapshot(removed(2), 0),
            Snapshot(removed(3), 0),
            Seen(Scene::new(), 0),
            Tick(60),
        ],
        &[gone],
        &[],
    );
}

#[test]
fn full_parking_reports_the_oldest() {
    let settings = PlaneSettings {
        parked_max: 1,
        ..PlaneSettings::default()
    };
    let other = scene(|s| {
        s.ordinary("/storage/overlay/l1/diff/other");
        s.record.tgid = 9;
    });
    let unknown = "access LayerContentRead info uid=1000 x1 no-finding";
    let steps = vec![
        Snapshot(unscanned(), 0),
        Seen(other, 0),
        Seen(early(), 0),
        Snapshot(scanned(3), 1),
    ];
    check_with(settings, "two for one place", steps, &[unknown, READ], &[]);
}
