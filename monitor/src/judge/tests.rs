//! One table for each sanction: who passes, and who nearly does.
//!
//! Invariant: each row starts from "uid 1000 reads a store file directly on the host". Run by the unit tests.

use super::*;
use crate::model::Driver;
use crate::plane::frames::{Scene, key};

/// One judgement: a scene, changed from "uid 1000 reads a store file directly on the host", and its outcome.
fn check(name: &str, change: impl FnOnce(&mut Scene), expected: Option<Sanction>) {
    let mut scene = Scene::new();
    change(&mut scene);
    let (sighting, attribution, knowledge) = scene.judged();
    assert_eq!(
        sanction(&sighting, attribution.as_ref(), &knowledge),
        expected,
        "{name}"
    );
}

fn root(scene: &mut Scene) {
    scene.uid(0);
}

#[test]
fn only_root_of_the_host_is_exempt() {
    check("a user", |_| {}, None);
    check("root", root, Some(Sanction::HostRoot));
    check(
        "root in a user namespace",
        |s| {
            root(s);
            s.record.effective.user_namespace_level = 1;
        },
        None,
    );
    check(
        "root in a container",
        |s| {
            root(s);
            s.in_container("c1");
        },
        None,
    );
    check(
        "root by an unreadable field",
        |s| {
            root(s);
            s.incomplete();
        },
        None,
    );
    check(
        "root, cgroup unknown",
        |s| {
            root(s);
            s.actor.cgroup = None;
            s.record.mount_namespace = 7;
        },
        None,
    );
    check(
        "root, cgroup unknown, in the host's mounts",
        |s| {
            root(s);
            s.actor.cgroup = None;
        },
        Some(Sanction::HostRoot),
    );
    check(
        "a user's setuid program",
        |s| (s.record.real.fsuid, s.record.effective.fsuid) = (0, 0),
        Some(Sanction::HostRoot),
    );
    check(
        "a user who borrows root's rights",
        |s| s.record.effective.fsuid = 0,
        None,
    );
    check(
        "root as another fsuid",
        |s| {
            root(s);
            s.record.effective.fsuid = 1000;
        },
        None,
    );
}

#[test]
fn a_container_reads_its_own_thin_device() {
    let on_device = |s: &mut Scene| {
        s.parts.stores[0].driver = Driver::Devicemapper;
        s.record.root_dev = s.record.file.dev;
    };
    check("its own device", on_device, Some(Sanction::OwnRootFileSystem));
    check(
        "its own dataset",
        |s| {
            on_device(s);
            s.parts.stores[0].driver = Driver::Zfs;
        },
        Some(Sanction::OwnRootFileSystem),
    );
    check(
        "a directory that a user took for their root",
        |s| {
            on_device(s);
            s.record.real.user_namespace_level = 1;
        },
        None,
    );
    check(
        "another's device",
        |s| {
            on_device(s);
            s.record.root_dev += 1;
        },
        None,
    );
    check(
        "a driver with directories",
        |s| {
            on_device(s);
            s.parts.stores[0].driver = Driver::Vfs;
        },
        None,
    );
}

#[test]
fn a_container_reads_its_own_root_file_system() {
    check(
        "own root",
        |s| s.through_own_root(0),
        Some(Sanction::OwnRootFileSystem),
    );
    check(
        "own root, as root in a container",
        |s| {
            root(s);
            s.in_container("c1");
            s.through_own_root(0);
        },
        Some(Sanction::OwnRootFileSystem),
    );
    check(
        "mounted by a container's root in its user namespace",
        |s| {
            s.through_own_root(0);
            s.record.effective.user_namespace_level = 1;
        },
        None,
    );
    check(
        "mounted by host root for a user namespace",
        |s| {
            s.through_own_root(0);
            s.record.real.user_namespace_level = 1;
        },
        Some(Sanction::OwnRootFileSystem),
    );
    check("mounted by a user", |s| s.through_own_root(1000), None);
    check(
        "mounted by nobody knows whom",
        |s| s.through_own_root(u32::MAX),
        None,
    );
    check(
        "mounted by the store's owner",
        |s| {
            s.store_owner(1001);
            s.through_own_root(1001);
        },
        Some(Sanction::OwnRootFileSystem),
    );
    check(
        "another's root",
        |s| {
            s.through_own_root(0);
            s.record.root_dev += 1;
        },
        None,
    );
    check(
        "the host's root is an overlay",
        |s| {
            s.through_own_root(0);
            s.host_root_on_that_overlay();
        },
        None,
    );
    check(
        "unreadable",
        |s| {
            s.through_own_root(0);
            s.incomplete();
        },
        None,
    );
}

#[test]
fn an_engine_is_known_by_its_inode() {
    let engine = |s: &mut Scene| {
        root(s);
        s.actor.process.exe_key = Some(key(900));
    };
    check("podman", engine, Some(Sanction::EngineAtWork));
    check(
        "podman as an fsuid",
        |s| {
            engine(s);
            s.record.effective.fsuid = 1000;
        },
        Some(Sanction::EngineAtWork),
    );
    check(
        "podman by a user",
        |s| s.actor.process.exe_key = Some(key(900)),
        None,
    );
    check(
        "podman inside a container",
        |s| {
            engine(s);
            s.in_container("c1");
        },
        None,
    );
    check(
        "podman's name alone",
        |s| s.actor.process.comm = "podman".to_owned(),
        None,
    );
    check(
        "its child",
        |s| {
            root(s);
            s.ancestor(50, Some(key(900)));
        },
        Some(Sanction::EngineAtWork),
    );
    check(
        "a user's child of podman",
        |s| s.ancestor(50, Some(key(900))),
        None,
    );
}

#[test]
fn the_agent_is_its_process_tree() {
    let agent = |s: &mut Scene| s.actor.process.exe_key = Some(key(901));
    check("its program, started by a user", agent, None);
    check(
        "its scan child",
        |s| {
            agent(s);
            s.ancestor(77, Some(key(901)));
        },
        Some(Sanction::Agent),
    );
    check(
        "another program below it",
        |s| s.ancestor(77, Some(key(901))),
        None,
    );
    check(
        "itself",
        |s| {
            agent(s);
            s.actor.process.pid = 77;
        },
        Some(Sanction::Agent),
    );
}

#[test]
fn a_rootless_store_is_its_owners() {
    check("the owner", |s| s.store_owner(1000), Some(Sanction::OwnStore));
    check("another user", |s| s.store_owner(1001), None);
    check(
        "a sub-uid in the owner's namespace",
        |s| {
            s.store_owner(1000);
            s.uid(100_033);
            s.record.effective.user_namespace_level = 1;
            s.record.effective.user_namespace_owner = 1000;
        },
        Some(Sanction::OwnStore),
    );
    check(
        "a namespace of somebody else",
        |s| {
            s.store_owner(1000);
            s.uid(200_033);
            s.record.effective.user_namespace_level = 1;
            s.record.effective.user_namespace_owner = 1001;
        },
        None,
    );
    check(
        "root's store is nobody's own",
        |s| {
            s.record.effective.user_namespace_level = 1;
        },
        None,
    );
}

#[test]
fn through_an_overlay_the_outer_open_names_the_user() {
    let mut scene = Scene::new();
    scene.through_overlay(40, 1000);
    assert_eq!(subject_uid(&scene.access()), 1000, "carried");
    scene.record.flags &= !layerwatch_ebpf::flags::OUTER_CARRIED;
    scene.record.real.fsuid = 1234;
    assert_eq!(
        subject_uid(&scene.access()),
        1234,
        "the task's own where nothing was carried"
    );
    assert_eq!(
        scene.access().effective.fsuid,
        0,
        "the mounter's, which would have been root"
    );
}
