//! Pulls of each engine as looks see them: what is told, and when.

use std::path::Path;

use super::super::witness::Worker;
use super::*;
use crate::model::{Engine, KernelDev, Leftovers};
use crate::plane::frames::{Scene, after};

/// A blob that lies there: inode, bytes, second of its last change, its pull, and where it lands.
type Lying = (u64, u64, i64, &'static str, Option<&'static str>);

/// What a look finds.
#[derive(Clone, Default)]
struct Look {
    second: i64,
    lying: Vec<Lying>,
    has_arrived: bool,
    /// Engines' processes that live.
    living: Vec<u32>,
    is_open: bool,
    landed: Vec<&'static str>,
}

fn at(second: i64, lying: &[Lying]) -> Look {
    Look {
        second,
        lying: lying.to_vec(),
        ..Look::default()
    }
}

impl Look {
    fn arrived(self) -> Self {
        Self {
            has_arrived: true,
            ..self
        }
    }

    fn living(self, pid: u32) -> Self {
        Self {
            living: vec![pid],
            ..self
        }
    }

    fn open(self) -> Self {
        Self {
            is_open: true,
            ..self
        }
    }

    fn landed(self, file: &'static str) -> Self {
        Self {
            landed: vec![file],
            ..self
        }
    }

    fn catalog(&self, engine: Engine) -> (Catalog, BTreeSet<StoreId>) {
        let mut store = Scene::new().parts.stores[0].clone();
        store.engine = engine;
        let blobs = self
            .lying
            .iter()
            .map(|(ino, bytes, changed, pull, lands)| LeftBlob {
                pull: (*pull).to_owned(),
                key: DevIno {
                    dev: KernelDev(1),
                    ino: *ino,
                },
                bytes: *bytes,
                changed: after(*changed),
                lands: lands.map(Into::into),
            });
        store.leftovers = Leftovers {
            blobs: blobs.collect(),
            ..Leftovers::default()
        };
        let arrived = self.has_arrived.then(|| store.id.clone()).into_iter().collect();
        let catalog = Catalog {
            stores: vec![store],
            ..Catalog::default()
        };
        (catalog, arrived)
    }
}

impl Witness for Look {
    fn workers(&self, _store: &Store) -> BTreeSet<Worker> {
        self.living.iter().map(|pid| (*pid, 1)).collect()
    }

    fn is_open(&self, _files: &BTreeSet<DevIno>) -> bool {
        self.is_open
    }

    fn is_there(&self, file: &Path) -> bool {
        self.landed.iter().any(|landed| Path::new(landed) == file)
    }
}

/// The second and bytes of each failure that is told.
fn check(name: &str, engine: Engine, looks: &[Look], expected: &[(i64, u64)]) {
    let mut attempts = Attempts::default();
    let mut failed = Vec::new();
    for look in looks {
        let (catalog, arrived) = look.catalog(engine);
        let failures = attempts.look(&catalog, &arrived, look, after(look.second));
        failed.extend(failures.into_iter().map(|one| (look.second, one.bytes)));
    }
    assert_eq!(failed, expected, "{name}");
}

const KIB: u64 = 1 << 10;
const NONE: &[Lying] = &[];

#[test]
fn dockers_is_told_by_blobs_that_go() {
    let blob = |bytes, changed| (1, bytes, changed, "", None);
    let cut = [
        at(0, NONE),
        at(1, &[blob(100, 1)]).open(),
        at(2, &[blob(400, 2), (2, 500, 2, "", None)]).open(),
        at(3, NONE),
        at(6, NONE),
        at(9, NONE),
    ];
    check("a pull that is cut", Engine::Docker, &cut, &[(6, 900)]);
    let pulled = [
        at(0, NONE),
        at(1, &[blob(100, 1)]).open(),
        at(2, NONE),
        at(3, NONE).arrived(),
        at(9, NONE),
    ];
    check("a pull", Engine::Docker, &pulled, &[]);
    let before = [
        at(900, &[blob(100, 1)]),
        at(901, &[blob(100, 1)]),
        at(910, NONE),
        at(920, NONE),
    ];
    check(
        "what lay there before, and is cleared away",
        Engine::Docker,
        &before,
        &[],
    );
}

#[test]
fn containerds_is_told_by_blobs_that_do_not_land() {
    use Engine::Containerd;
    let layer = |changed| (1, 900, changed, "default", Some("/blobs/a"));
    let cut = [
        at(0, NONE),
        at(1, &[layer(1), (2, 5, 1, "default", Some("/blobs/b"))]).open(),
        at(2, &[layer(2)]).open().landed("/blobs/b"),
        at(3, NONE),
        at(6, NONE),
        at(90, NONE),
    ];
    check("a pull that is cut", Containerd, &cut, &[(6, 905)]);
    let unpacked = |end: Look| {
        [
            at(0, NONE),
            at(1, &[layer(1)]).open(),
            at(2, NONE).landed("/blobs/a"),
            at(40, NONE).landed("/blobs/a"),
            end,
            at(99, NONE),
        ]
    };
    let named = at(50, NONE).landed("/blobs/a").arrived();
    check(
        "a pull that is unpacked for long",
        Containerd,
        &unpacked(named),
        &[],
    );
    check(
        "one that cannot be unpacked",
        Containerd,
        &unpacked(at(50, NONE)),
        &[(50, 900)],
    );
    let kept = at(70, NONE).landed("/blobs/a");
    check(
        "a part of an image that is there",
        Containerd,
        &unpacked(kept),
        &[],
    );
}

#[test]
fn what_a_killed_client_left_is_told_once() {
    use Engine::Containerd;
    let layer = |changed| (1, 900, changed, "default", Some("/blobs/a"));
    let stalled = [
        at(0, NONE),
        at(1, &[layer(1)]).open(),
        at(300, &[layer(1)]).open(),
    ];
    check("one that waits", Containerd, &stalled, &[]);
    let killed = [
        at(0, NONE),
        at(1, &[layer(1)]).open(),
        at(3, &[layer(1)]),
        at(7, &[layer(1)]),
        at(900, &[layer(1)]),
    ];
    check("one whose client was killed", Containerd, &killed, &[(7, 900)]);
    let another = (3, 70, 950, "default", Some("/blobs/c"));
    let again = [
        &killed[..],
        &[
            at(951, &[layer(1), another]).open(),
            at(952, &[layer(1)]),
            at(956, &[layer(1)]),
        ],
    ]
    .concat();
    check(
        "and another that is cut",
        Containerd,
        &again,
        &[(7, 900), (956, 70)],
    );
    let went_on = [
        &killed[..],
        &[at(950, &[layer(950)]).open(), at(960, NONE).arrived()],
    ]
    .concat();
    check("and went on", Containerd, &went_on, &[(7, 900)]);
}

#[test]
fn podmans_is_told_by_its_process() {
    use Engine::{ContainersStorage as Podman, CriO};
    let blob = |changed| (1, 900 * KIB, changed, "/var/tmp/storage1", None);
    let next = (2, 300 * KIB, 4, "/var/tmp/storage2", None);
    let begun = [at(0, NONE), at(1, &[blob(1)]).living(7)];
    let with = |rest: &[Look]| [&begun[..], rest].concat();
    let cut = with(&[at(2, NONE), at(3, NONE), at(5, NONE), at(9, NONE)]);
    check("a pull that is cut", Podman, &cut, &[(5, 900 * KIB)]);
    let service = with(&[
        at(2, NONE).living(7),
        at(6, NONE).living(7),
        at(17, NONE).living(7),
    ]);
    check("one by a service", Podman, &service, &[(17, 900 * KIB)]);
    check("one by CRI-O", CriO, &service, &[(6, 900 * KIB)]);
    let again = with(&[
        at(2, NONE).living(7),
        at(4, &[next]).living(7),
        at(5, &[next]).living(7),
    ]);
    let retried = [&again[..], &[at(6, NONE).living(7).arrived(), at(30, NONE)]].concat();
    check("one that tries again", Podman, &retried, &[]);
    let gave_up = [
        &again[..],
        &[at(6, NONE).living(7), at(7, NONE), at(10, NONE), at(30, NONE)],
    ]
    .concat();
    check("and gives up", Podman, &gave_up, &[(10, 300 * KIB)]);
    let by_another = with(&[
        at(2, NONE),
        at(4, &[next]).living(8),
        at(5, &[next]).living(8),
        at(6, NONE),
        at(9, NONE),
    ]);
    check(
        "another process",
        Podman,
        &by_another,
        &[(5, 900 * KIB), (9, 300 * KIB)],
    );
}

#[test]
fn what_a_killed_podman_left_is_told_once() {
    use Engine::ContainersStorage as Podman;
    let blob = |changed| (1, 900 * KIB, changed, "/var/tmp/storage1", None);
    let begun = [at(0, NONE), at(1, &[blob(1)]).living(7)];
    let with = |rest: &[Look]| [&begun[..], rest].concat();
    let killed = with(&[
        at(2, &[blob(1)]),
        at(7, &[blob(1)]),
        at(900, &[blob(1)]),
        at(901, NONE),
    ]);
    check("one that was killed", Podman, &killed, &[(7, 900 * KIB)]);
    let waits = with(&[
        at(9, &[blob(1)]).living(7),
        at(599, &[blob(1)]).living(7),
        at(602, &[blob(1)]).living(7),
    ]);
    check(
        "one that waits, and is given up",
        Podman,
        &waits,
        &[(602, 900 * KIB)],
    );
    let unknown = [
        at(0, NONE),
        at(1, &[blob(1)]),
        at(9, &[blob(1)]),
        at(62, &[blob(1)]),
    ];
    check("one by another program", Podman, &unknown, &[(62, 900 * KIB)]);
    let kept = with(&[at(2, &[blob(1)]).arrived(), at(3, NONE), at(30, NONE)]);
    check("a pull whose blobs go after its image came", Podman, &kept, &[]);
    let configuration = [
        at(0, NONE),
        at(1, &[(1, 900, 1, "/var/tmp/storage1", None)]),
        at(2, NONE),
        at(9, NONE),
    ];
    check("a configuration alone", Podman, &configuration, &[]);
}

#[test]
fn one_that_goes_on_is_not_looked_at_twice_a_second_for_ever() {
    let mut attempts = Attempts::default();
    let mut waits = Vec::new();
    for (second, lies) in [
        (0, false),
        (1, true),
        (60, true),
        (62, true),
        (500, false),
        (504, false),
    ] {
        let blobs: &[Lying] = &[(1, 5, second, "", None)];
        let look = at(second, if lies { blobs } else { NONE }).open();
        let (catalog, arrived) = look.catalog(Engine::Docker);
        attempts.look(&catalog, &arrived, &look, after(second));
        waits.push(attempts.is_waiting(after(second)));
    }
    assert_eq!(waits, [false, true, true, false, true, false]);
}
