//! What an engine reads for somebody who asked it at its socket.
//!
//! Invariant: each row is a connection and what the engine of `plane::frames` reads afterwards. Run by the unit tests.

use super::Step::Access as Seen;
use super::*;

const DOCKERD: &str = "/usr/bin/dockerd";
const HAD_READ: &str = "alert CacheApiAccess high uid=1000 x1";
const ASKED: (&str, u64) = ("engine-socket", 1);
const AT_WORK: (&str, u64) = ("engine-at-work", 1);

/// A connection of uid 1000, so changed.
fn asks(seconds: i64, change: fn(&mut Scene)) -> Step {
    let asking = scene(|s| {
        s.connects();
        change(s);
    });
    Seen(asking, seconds)
}

/// An engine reads the key.
fn reads(seconds: i64, exe: &str) -> Step {
    Seen(scene(|s| s.engine(exe)), seconds)
}

#[test]
fn what_an_engine_reads_for_somebody_is_theirs() {
    check(
        "asked",
        vec![asks(0, |_| {}), reads(5, DOCKERD)],
        &[HAD_READ],
        &[ASKED],
    );
    check("not asked", vec![reads(5, DOCKERD)], &[], &[AT_WORK]);
    check("asked alone", vec![asks(0, |_| {})], &[], &[ASKED]);
    check(
        "asked long before",
        vec![asks(0, |_| {}), reads(31, DOCKERD)],
        &[],
        &[ASKED, AT_WORK],
    );
    check(
        "asked after",
        vec![asks(6, |_| {}), reads(5, DOCKERD)],
        &[],
        &[ASKED, AT_WORK],
    );
    check(
        "an export that goes on",
        vec![
            asks(0, |_| {}),
            reads(25, DOCKERD),
            reads(50, DOCKERD),
            reads(75, DOCKERD),
        ],
        &[HAD_READ],
        &[ASKED, ("repeat", 2)],
    );
    check(
        "another engine reads",
        vec![asks(0, |_| {}), reads(5, "/usr/bin/podman")],
        &[],
        &[ASKED, AT_WORK],
    );
}

#[test]
fn not_all_who_ask_count() {
    check(
        "root asked",
        vec![asks(0, |s| s.uid(0)), reads(5, DOCKERD)],
        &[],
        &[("host-root", 1), AT_WORK],
    );
    check(
        "an engine asked",
        vec![
            asks(0, |s| s.engine("/usr/bin/dockerd")),
            reads(5, "/usr/bin/containerd"),
        ],
        &[],
        &[("engine-at-work", 2)],
    );
    check(
        "a container's root asked",
        vec![
            asks(0, |s| {
                s.uid(0);
                s.in_container("c1");
            }),
            reads(5, DOCKERD),
        ],
        &["alert CacheApiAccess high uid=0 x1"],
        &[ASKED],
    );
    check(
        "at a socket that is gone",
        vec![asks(0, |s| {
            s.record.file.ino = 951;
            s.record.watch.ino = 951;
        })],
        &[],
        &[("unknown-socket", 1)],
    );
    check(
        "ordinary content",
        vec![
            asks(0, |_| {}),
            Seen(
                scene(|s| {
                    s.ordinary("/storage/overlay/l1/diff/etc/motd");
                    s.engine("/usr/bin/dockerd");
                }),
                5,
            ),
        ],
        &[],
        &[ASKED, AT_WORK],
    );
}
