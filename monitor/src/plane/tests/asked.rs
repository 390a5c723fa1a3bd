//! What an engine reads for somebody who asked it at its socket.
//!
//! Invariant: each row is a connection and what the engine of `plane::frames` reads afterwards. Run by the unit tests.

use super::Step::{Access as Seen, Begins, Ends};
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

/// A connection of this process of uid 1000.
fn client(pid: u32) -> Scene {
    scene(|s| {
        s.connects();
        s.record.tgid = pid;
    })
}

#[test]
fn who_may_be_connected_still_answers() {
    let root = || asks(40, |s| s.uid(0));
    check(
        "a slow export",
        vec![Seen(client(7), 0), reads(600, DOCKERD)],
        &[HAD_READ],
        &[ASKED],
    );
    check(
        "the client ended",
        vec![Seen(client(7), 0), Ends(7), reads(31, DOCKERD)],
        &[],
        &[ASKED, AT_WORK],
    );
    check(
        "it ended, and the engine reads at once",
        vec![Seen(client(7), 0), Ends(7), reads(30, DOCKERD)],
        &[HAD_READ],
        &[ASKED],
    );
    check(
        "its end was told before its connection",
        vec![Ends(7), Seen(client(7), 0), reads(31, DOCKERD)],
        &[],
        &[ASKED, AT_WORK],
    );
    check(
        "it left the connection to a child",
        vec![
            Seen(client(7), 0),
            Begins(7, 8),
            Ends(7),
            reads(31, DOCKERD),
            Ends(8),
            reads(100, DOCKERD),
        ],
        &[HAD_READ],
        &[ASKED, AT_WORK],
    );
    check(
        "the same user asks another thing meanwhile",
        vec![
            Seen(client(7), 0),
            Seen(client(9), 1),
            Ends(9),
            reads(100, DOCKERD),
        ],
        &[HAD_READ],
        &[("engine-socket", 2)],
    );
    check(
        "nobody knows of its end",
        vec![Seen(client(7), 0), reads(3601, DOCKERD)],
        &[],
        &[ASKED, AT_WORK],
    );
    check(
        "root asked since",
        vec![Seen(client(7), 0), root(), reads(45, DOCKERD)],
        &[],
        &[ASKED, ("host-root", 1), AT_WORK],
    );
    check(
        "root asked, and the export was seen already",
        vec![Seen(client(7), 0), reads(20, DOCKERD), root(), reads(45, DOCKERD)],
        &[HAD_READ],
        &[ASKED, ("host-root", 1), ("repeat", 1)],
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
