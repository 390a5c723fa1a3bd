//! Who touched what: each row of the table of rules, each sanction, and the severity.
//!
//! Invariant: each row is one access on the host of `plane::frames`. Run by the unit tests.

use super::Step::{Access as Seen, Snapshot};
use super::*;
use crate::model::{LayerKey, Severity};
use crate::plane::frames::key;

#[test]
fn who_reads_a_secret_is_reported() {
    check_access("directly", |_| {}, &[READ], &[]);
    check_access(
        "by a bind mount or a hard link",
        |s| s.path("/alias"),
        &[READ],
        &[],
    );
    check_access(
        "through an overlay of root's",
        |s| s.through_overlay(40, 1000),
        &[READ],
        &[],
    );
    check_access(
        "through an overlay of their own",
        |s| {
            s.through_overlay(40, 1000);
            s.record.mounter_uid = 1000;
        },
        &[READ],
        &[],
    );
    check_access(
        "in that overlay, as their root",
        |s| s.through_own_root(1000),
        &[READ],
        &[],
    );
    check_access(
        "by mapping",
        |s| s.record.kind = layerwatch_ebpf::kinds::MAP_FINDING,
        &[READ],
        &[],
    );
    check_access(
        "by a received descriptor",
        |s| s.record.kind = layerwatch_ebpf::kinds::RECEIVE_FINDING,
        &[READ],
        &[],
    );
    check_access(
        "refused",
        |s| s.record.result = -13,
        &["alert SensitiveLayerRead low uid=1000 x1 refused"],
        &[],
    );
    check_access(
        "a process already gone",
        |s| {
            s.actor.gone = true;
            s.actor.cgroup = None;
        },
        &[READ],
        &[],
    );
    check_access(
        "as root in a user namespace",
        |s| {
            s.uid(0);
            s.record.effective.user_namespace_level = 1;
        },
        &["alert SensitiveLayerRead high uid=0 x1"],
        &[],
    );
}

#[test]
fn containers_that_reach_out_are_reported() {
    let foreign = "alert ForeignContainerRead high uid=1000 x1";
    check_access("a host path", |s| s.in_container("c1"), &[foreign], &[]);
    check_access(
        "another's root",
        |s| {
            s.in_container("c1");
            s.through_overlay(40, 1000);
            s.record.root_dev = 41;
        },
        &[foreign],
        &[],
    );
    check_access(
        "root there",
        |s| {
            s.in_container("c1");
            s.uid(0);
        },
        &["alert ForeignContainerRead high uid=0 x1"],
        &[],
    );
}

#[test]
fn the_device_under_a_store_is_watched() {
    let device = |change: fn(&mut Scene)| {
        move |s: &mut Scene| {
            s.device();
            change(s);
        }
    };
    let opened = "alert RawDeviceRead high uid=1000 x1 no-layer no-finding";
    check_access("by a user", device(|_| {}), &[opened], &[]);
    check_access(
        "refused",
        device(|s| s.record.result = -13),
        &["alert RawDeviceRead low uid=1000 x1 refused no-layer no-finding"],
        &[],
    );
    check_access(
        "by root in a container",
        device(|s| {
            s.uid(0);
            s.in_container("c1");
        }),
        &["alert RawDeviceRead high uid=0 x1 no-layer no-finding"],
        &[],
    );
    check_access("by root", device(|s| s.uid(0)), &[], &[("host-root", 1)]);
}

#[test]
fn a_rootless_store_has_one_reader() {
    let owned = |owner: u32| {
        vec![
            Snapshot(scene(|s| s.store_owner(owner)), 0),
            Seen(Scene::new(), 0),
        ]
    };
    check(
        "another user",
        owned(1001),
        &["alert ForeignStoreRead high uid=1000 x1"],
        &[],
    );
    check("the owner", owned(1000), &[], &[("own-store", 1)]);
}

#[test]
fn what_is_sanctioned_is_counted() {
    check_access("root", |s| s.uid(0), &[], &[("host-root", 1)]);
    check_access(
        "a container in its own root",
        |s| {
            s.in_container("c1");
            s.through_own_root(0);
        },
        &[],
        &[("own-root-file-system", 1)],
    );
    check_access(
        "its root",
        |s| {
            s.in_container("c1");
            s.uid(0);
            s.through_own_root(0);
        },
        &[],
        &[("own-root-file-system", 1)],
    );
    check_access(
        "an engine's pull",
        |s| {
            s.uid(0);
            s.actor.process.exe_key = Some(key(900));
        },
        &[],
        &[("engine-at-work", 1)],
    );
    check_access(
        "the scan",
        |s| {
            s.actor.process.exe_key = Some(key(901));
            s.ancestor(77, None);
        },
        &[],
        &[("agent", 1)],
    );
    check_access(
        "a directory",
        |s| s.record.mode = 0o040_755,
        &[],
        &[("not-a-file", 1)],
    );
}

#[test]
fn verbose_shows_what_is_sanctioned() {
    let settings = PlaneSettings {
        verbose: true,
        ..PlaneSettings::default()
    };
    let shown = |name: &str, change: fn(&mut Scene), line: &str| {
        check_with(settings, name, vec![Seen(scene(change), 0)], &[line], &[]);
    };
    shown(
        "root",
        |s| s.uid(0),
        "access SensitiveLayerRead low uid=0 x1 host-root",
    );
    shown(
        "own root",
        |s| s.through_own_root(0),
        "access SensitiveLayerRead low uid=1000 x1 own-root-file-system",
    );
    shown(
        "ordinary",
        |s| {
            s.ordinary("/x");
            s.through_overlay(40, 1000);
        },
        "access LayerContentRead info uid=1000 x1 no-finding",
    );
}

#[test]
fn hidden_secrets_say_so() {
    let hidden = scene(|s| {
        s.parts.generation = 2;
        s.shadow("i1");
        s.shadow("i2");
    });
    let line = format!("{READ} shadowed");
    check(
        "in each image",
        vec![Snapshot(hidden, 0), Seen(Scene::new(), 0)],
        &[&line],
        &[],
    );
}

#[test]
fn severity_is_bounded_by_states() {
    let with = |change: fn(&mut Scene)| {
        vec![
            Snapshot(
                scene(|s| {
                    s.parts.generation = 2;
                    change(s);
                }),
                0,
            ),
            Seen(Scene::new(), 0),
        ]
    };
    check(
        "the worst of two",
        with(|s| s.second_finding(Severity::Critical)),
        &["alert SensitiveLayerRead critical uid=1000 x1"],
        &[],
    );
    check(
        "a name alone",
        with(|s| s.parts.findings[0].finding.confidence = crate::model::Confidence::Low),
        &["alert SensitiveLayerRead medium uid=1000 x1"],
        &[],
    );
}

#[test]
fn two_layers_of_one_inode_name_all_images() {
    let mut shared = Scene::new();
    let mut twin = shared.parts.findings[0].clone();
    if let crate::model::Place::File {
        layer: Some(LayerKey { layer, .. }),
        ..
    } = &mut twin.finding.place
    {
        *layer = crate::model::LayerId::new("l2");
    }
    shared.parts.generation = 2;
    shared.parts.images[1].layers.clear();
    shared.parts.findings.push(twin);
    let played = play(
        PlaneSettings::default(),
        vec![Snapshot(shared, 0), Seen(Scene::new(), 0)],
    );
    let RecordKind::Alert(alert) = &played.records[0].body else {
        panic!("{played:?}", played = played.records)
    };
    assert_eq!(
        alert
            .images
            .iter()
            .map(|image| image.id.as_str())
            .collect::<Vec<_>>(),
        ["i1"],
        "once"
    );
}
