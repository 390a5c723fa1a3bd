//! Exposure equals reality: over the layouts that engines and administrators leave, each of a set of users tries to read,
//! and what happens is what the agent says.
//!
//! Users are numbers, the host's files are a directory's own, so that nothing of the machine changes.

use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::super::acl::tests::bytes_of;
use super::super::acl::{Entry, Who};
use super::super::*;
use crate::catalog::{Catalog, Host};
use crate::model::{DevIno, Driver, Engine, Exposure, Means, RawDevice, RawKey, Reader, Store, StoreId};
use crate::testing::root_or_skip;

const PASSWD: &str = "root:x:0:0::/:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\nbob:x:1001:1001::/:/bin/sh\n\
                      op:x:11:0::/:/sbin/nologin\ndaisy:x:1002:1002::/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n";
const GROUP: &str = "root:x:0:\ndisk:x:6:daisy\ndocker:x:998:daisy\nstaff:x:50:bob\n";
const SUBUID: &str = "ann:200000:65536\n";

/// Somebody who tries: user, groups, and what the process may do besides.
type Subject = (&'static str, u32, &'static [u32], Option<&'static str>);

const SUBJECTS: [Subject; 9] = [
    ("plain", 65534, &[65534], None),
    ("gid 0", 65534, &[0], None),
    ("group docker", 1002, &[1002, 998], None),
    ("group disk", 1002, &[1002, 6], None),
    ("group staff", 1001, &[1001, 50], None),
    ("ann, who has a list entry", 1000, &[1000], None),
    ("a subuid", 200_000, &[200_000], None),
    ("another subuid", 200_007, &[200_007], None),
    ("a backup program", 65534, &[65534], Some("dac_read_search")),
];

const ANN_MAY: [Entry; 5] = [
    (Who::Owner, 7),
    (Who::User(1000), 5),
    (Who::OwningGroup, 5),
    (Who::Mask, 7),
    (Who::Other, 0),
];

/// A directory or, for the last of a layout, the file: name, mode, owner and group.
type Step = (&'static str, u32, u32, u32);

struct Layout {
    name: &'static str,
    steps: &'static [Step],
    /// What of the root is made beside the way.
    beside: &'static str,
    /// A default list on the directory above, as it is when the engine makes its directories.
    default_list: bool,
    owner: u32,
    /// Name of the opening component, its vulnerability, and who besides owner and root's equals reads.
    opened: Option<(&'static str, Option<&'static str>)>,
    exposed: &'static [Reader],
}

const PLAIN: Layout = Layout {
    name: "",
    steps: &[],
    beside: "",
    default_list: false,
    owner: 0,
    opened: None,
    exposed: &[],
};
const ANN: Reader = Reader::User { uid: 1000 };
const ROOTS_GROUP: Reader = Reader::Group { gid: 0 };

fn layouts() -> Vec<Layout> {
    vec![
        Layout {
            name: "Docker 20.10.3 to 20.10.8",
            steps: &[
                ("docker", 0o711, 0, 0),
                ("overlay2", 0o701, 0, 0),
                ("abc", 0o701, 0, 0),
                ("diff", 0o755, 0, 0),
                ("key", 0o644, 0, 0),
            ],
            opened: Some(("docker", Some("CVE-2021-41091"))),
            exposed: &[Reader::World],
            ..PLAIN
        },
        Layout {
            name: "Docker from 20.10.9 on",
            steps: &[
                ("docker", 0o710, 0, 0),
                ("overlay2", 0o710, 0, 0),
                ("abc", 0o710, 0, 0),
                ("diff", 0o755, 0, 0),
                ("key", 0o644, 0, 0),
            ],
            exposed: &[ROOTS_GROUP],
            ..PLAIN
        },
        Layout {
            name: "Docker upgraded from 20.10.3 to 20.10.8, and its root opened since",
            steps: &[
                ("docker", 0o711, 0, 0),
                ("overlay2", 0o711, 0, 0),
                ("abc", 0o701, 0, 0),
                ("diff", 0o755, 0, 0),
                ("key", 0o644, 0, 0),
            ],
            opened: Some(("docker", Some("CVE-2021-41091"))),
            exposed: &[Reader::World],
            ..PLAIN
        },
        Layout {
            name: "Docker with remapped users, which are ann's",
            steps: &[
                ("docker", 0o710, 0, 200_000),
                ("overlay2", 0o710, 0, 200_000),
                ("abc", 0o710, 0, 200_000),
                ("diff", 0o755, 200_000, 200_000),
                ("key", 0o600, 200_000, 200_000),
            ],
            exposed: &[ANN],
            ..PLAIN
        },
        Layout {
            name: "Docker, vfs",
            steps: &[
                ("docker", 0o711, 0, 0),
                ("vfs", 0o701, 0, 0),
                ("dir", 0o701, 0, 0),
                ("abc", 0o755, 0, 0),
                ("key", 0o644, 0, 0),
            ],
            beside: "image/vfs",
            opened: Some(("docker", Some("CVE-2021-41091"))),
            exposed: &[Reader::World],
            ..PLAIN
        },
        Layout {
            name: "containerd before its fix: a blob",
            steps: &[
                ("containerd", 0o711, 0, 0),
                ("io.containerd.content.v1.content", 0o755, 0, 0),
                ("blobs", 0o755, 0, 0),
                ("sha256", 0o755, 0, 0),
                ("abc", 0o444, 0, 0),
            ],
            opened: Some(("containerd", Some("CVE-2024-25621"))),
            exposed: &[Reader::World],
            ..PLAIN
        },
        Layout {
            name: "containerd before its fix: a snapshot",
            steps: &[
                ("containerd", 0o711, 0, 0),
                ("io.containerd.snapshotter.v1.overlayfs", 0o700, 0, 0),
                ("snapshots", 0o700, 0, 0),
                ("1", 0o700, 0, 0),
                ("key", 0o644, 0, 0),
            ],
            ..PLAIN
        },
        Layout {
            name: "Podman after --uidmap: an image's layer",
            steps: &[
                ("storage", 0o711, 0, 0),
                ("overlay", 0o711, 0, 0),
                ("abc", 0o700, 0, 0),
                ("diff", 0o555, 0, 0),
                ("key", 0o644, 0, 0),
            ],
            ..PLAIN
        },
        Layout {
            name: "Podman after --uidmap: the mapped copy, in ann's range",
            steps: &[
                ("storage", 0o711, 0, 0),
                ("overlay", 0o711, 0, 0),
                ("abc", 0o700, 200_000, 200_000),
                ("diff", 0o555, 200_000, 200_000),
                ("key", 0o600, 200_000, 200_000),
            ],
            opened: Some(("storage", None)),
            exposed: &[ANN, Reader::User { uid: 200_000 }],
            ..PLAIN
        },
        Layout {
            name: "Podman after --uidmap, vfs",
            steps: &[
                ("storage", 0o711, 0, 0),
                ("vfs", 0o711, 0, 0),
                ("dir", 0o711, 200_000, 200_000),
                ("abc", 0o555, 0, 0),
                ("key", 0o644, 0, 0),
            ],
            beside: "vfs-layers",
            opened: Some(("storage", None)),
            exposed: &[Reader::World],
            ..PLAIN
        },
        Layout {
            name: "a shared additional store under force_mask=shared",
            steps: &[
                ("shared", 0o755, 0, 0),
                ("overlay", 0o755, 0, 0),
                ("abc", 0o755, 0, 0),
                ("diff", 0o755, 0, 0),
                ("shadow", 0o755, 0, 0),
            ],
            opened: Some(("shared", None)),
            exposed: &[Reader::World],
            ..PLAIN
        },
        Layout {
            name: "Docker below a default list on /var/lib",
            steps: &[
                ("docker", 0o710, 0, 0),
                ("overlay2", 0o710, 0, 0),
                ("abc", 0o710, 0, 0),
                ("diff", 0o755, 0, 0),
                ("key", 0o644, 0, 0),
            ],
            default_list: true,
            opened: Some(("docker", None)),
            exposed: &[ROOTS_GROUP, ANN],
            ..PLAIN
        },
        Layout {
            name: "containers/storage below a default list on /var/lib",
            steps: &[
                ("storage", 0o700, 0, 0),
                ("overlay", 0o700, 0, 0),
                ("abc", 0o700, 0, 0),
                ("diff", 0o755, 0, 0),
                ("key", 0o644, 0, 0),
            ],
            default_list: true,
            ..PLAIN
        },
        Layout {
            name: "a rootless store",
            steps: &[
                ("containers", 0o700, 1000, 1000),
                ("storage", 0o700, 1000, 1000),
                ("overlay", 0o700, 1000, 1000),
                ("abc", 0o700, 1000, 1000),
                ("diff", 0o755, 1000, 1000),
                ("key", 0o600, 200_007, 200_007),
            ],
            owner: 1000,
            ..PLAIN
        },
        Layout {
            name: "a rootless store that its owner opened",
            steps: &[
                ("storage", 0o755, 1000, 1000),
                ("overlay", 0o755, 1000, 1000),
                ("abc", 0o755, 1000, 1000),
                ("diff", 0o755, 1000, 1000),
                ("key", 0o640, 1000, 50),
            ],
            owner: 1000,
            opened: Some(("storage", None)),
            exposed: &[Reader::Group { gid: 50 }],
            ..PLAIN
        },
    ]
}

/// A host of its own, with one layout in its `/var/lib`.
struct Ground {
    directory: tempfile::TempDir,
    file: PathBuf,
}

impl Ground {
    fn new(layout: &Layout) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let etc = directory.path().join("etc");
        std::fs::create_dir(&etc).unwrap();
        for (name, text) in [
            ("passwd", PASSWD),
            ("group", GROUP),
            ("subuid", SUBUID),
            ("subgid", SUBUID),
        ] {
            std::fs::write(etc.join(name), text).unwrap();
        }
        let mut path = directory.path().join("var");
        std::fs::create_dir(&path).unwrap();
        if layout.default_list {
            let flags = rustix::fs::XattrFlags::empty();
            rustix::fs::setxattr(&path, "system.posix_acl_default", &bytes_of(&ANN_MAY), flags).unwrap();
        }
        let (file, above) = layout.steps.split_last().unwrap();
        for step in above {
            path.push(step.0);
            std::fs::DirBuilder::new().mode(step.1).create(&path).unwrap();
            Self::own(&path, *step, layout.default_list);
        }
        path.push(file.0);
        std::fs::write(&path, "content").unwrap();
        Self::own(&path, *file, layout.default_list);
        if !layout.beside.is_empty() {
            let root = directory.path().join("var").join(layout.steps[0].0);
            std::fs::create_dir_all(root.join(layout.beside)).unwrap();
        }
        Self {
            directory,
            file: path,
        }
    }

    /// As an engine leaves it: below a default list nothing is set after the making.
    fn own(path: &Path, (_, mode, uid, gid): Step, as_made: bool) {
        chown(path, Some(uid), Some(gid)).unwrap();
        if !as_made {
            std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
        }
    }

    fn store(&self, owner_uid: u32) -> Store {
        let root = self.directory.path().join("var");
        Store {
            id: StoreId::new("overlay@/var"),
            engine: Engine::Docker,
            driver: Driver::Overlay2,
            root_key: DevIno::of(&std::fs::metadata(&root).unwrap()),
            root,
            owner_uid,
            filesystem: "ext4".to_owned(),
            index_directories: Vec::new(),
            layer_directories: Vec::new(),
            unlisted: 0,
        }
    }

    fn exposure(&self, owner: u32, raw_devices: Vec<RawDevice>, processes: &Processes) -> Exposure {
        let store = self.store(owner);
        let catalog = Catalog {
            stores: vec![store.clone()],
            raw_devices,
            ..Catalog::default()
        };
        let host = Host::new(self.directory.path());
        let around = Surroundings::look(&host, &catalog, processes);
        let whose = Whose {
            store: Some(&store),
            in_layer: None,
        };
        around.of(&self.file, whose)
    }
}

fn command((_, uid, gids, capability): Subject) -> Command {
    let list: Vec<String> = gids.iter().map(u32::to_string).collect();
    let mut command = Command::new("setpriv");
    command.args(["--reuid", &uid.to_string(), "--regid", &gids[0].to_string()]);
    command.args(["--groups", &list.join(",")]);
    if let Some(capability) = capability {
        let plus = format!("+{capability}");
        command.args(["--inh-caps", &plus, "--ambient-caps", &plus]);
    }
    command
}

/// What the agent says of the path for somebody, without what counts as another way.
fn says(exposure: &Exposure, (_, uid, gids, _): Subject, by: &[Means]) -> bool {
    let is_one = |reader: &Reader| match reader {
        Reader::World => true,
        Reader::Group { gid } => gids.contains(gid),
        Reader::User { uid: reader } => *reader == uid,
    };
    // A group or a user that the modes single out.
    let is_excepted = exposure.excepted.iter().any(is_one);
    let by_path = !is_excepted && exposure.readers.iter().any(is_one);
    let mut others = exposure.bypasses.iter().filter(|one| by.contains(&one.by));
    by_path || others.any(|one| is_one(&one.reader))
}

fn check(layout: &Layout, processes: &Processes) {
    let ground = Ground::new(layout);
    let exposure = ground.exposure(layout.owner, Vec::new(), processes);
    for subject in SUBJECTS {
        let read = command(subject).arg("cat").arg(&ground.file).output().unwrap();
        let really = read.status.success() && read.stdout == b"content";
        let means: &[Means] = match subject.3 {
            Some(_) => &[Means::Capability],
            None => &[],
        };
        let said = says(&exposure, subject, means);
        // Two ids of one range are one user's, who may take on both: that is said of the user, not of each id.
        let together = exposure
            .uncertain
            .iter()
            .any(|text| text.contains(" as a member of "));
        assert!(
            said == really || (really && together),
            "{}: {} reads: {really}, said: {said}; {exposure:#?}",
            layout.name,
            subject.0
        );
    }
    let opened = exposure.opened_by.as_ref().map(|gate| {
        let name = gate.path.file_name().unwrap().to_str().unwrap();
        let cve = exposure.cause.as_ref().and_then(|cause| cause.cve.as_deref());
        (name, cve)
    });
    assert_eq!(opened, layout.opened, "{}: {exposure:#?}", layout.name);
    assert_eq!(
        exposure.exposed_to, layout.exposed,
        "{}: {exposure:#?}",
        layout.name
    );
    closes(layout, &ground, &exposure, processes);
}

/// What the remedy leaves exposed is what nobody can close without breaking the engine: its own group.
fn closes(layout: &Layout, ground: &Ground, before: &Exposure, processes: &Processes) {
    let Some(remedy) = &before.remedy else { return };
    let root = ground.directory.path().display();
    let script = remedy.replace(" /", &format!(" {root}/"));
    let done = Command::new("sh").args(["-c", &script]).status().unwrap();
    assert!(done.success(), "{}: {script}", layout.name);
    let after = ground.exposure(layout.owner, Vec::new(), processes);
    let left = after
        .exposed_to
        .iter()
        .filter(|reader| **reader != ROOTS_GROUP)
        .count();
    assert_eq!(left, 0, "{}: {remedy}: {after:#?}", layout.name);
}

#[test]
fn what_is_said_of_each_layout_is_what_happens() {
    if !root_or_skip("what_is_said_of_each_layout_is_what_happens") {
        return;
    }
    // Somebody with the capability runs while the agent looks.
    let mut backup = command(SUBJECTS[8]).args(["sleep", "600"]).spawn().unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    let processes = loop {
        let found = Processes::look(&Host::new("/"));
        if found.capable.contains_key(&65534) {
            break found;
        }
        assert!(
            std::time::Instant::now() < deadline,
            "the program with a capability is seen"
        );
    };
    backup.kill().unwrap();
    backup.wait().unwrap();
    // Who else runs processes on this machine is not this host's.
    let processes = Processes {
        capable: processes
            .capable
            .into_iter()
            .filter(|(uid, _)| *uid == 65534)
            .collect(),
        ..Processes::default()
    };
    for layout in layouts() {
        check(&layout, &processes);
    }
}

#[test]
fn a_socket_and_a_device_are_told_with_those_whom_they_let_in() {
    if !root_or_skip("a_socket_and_a_device_are_told_with_those_whom_they_let_in") {
        return;
    }
    let layouts = layouts();
    let ground = Ground::new(layouts.iter().find(|one| one.name.contains("20.10.9")).unwrap());
    let run = ground.directory.path().join("run");
    std::fs::create_dir(&run).unwrap();
    let socket = run.join("docker.sock");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let image = ground.directory.path().join("disk.img");
    std::fs::write(&image, "content").unwrap();
    let device = RawDevice {
        key: RawKey::File(DevIno::of(&std::fs::metadata(&image).unwrap())),
        path: "/disk.img".into(),
        store: StoreId::new("overlay@/var"),
    };
    // Modes and groups of the socket and the image, and to whom that exposes the layer beside root's group.
    let world = vec![Reader::World];
    let disk = vec![ROOTS_GROUP, Reader::Group { gid: 6 }];
    for (modes, exposed) in [
        ([(0o660, 998), (0o600, 0)], vec![ROOTS_GROUP]),
        ([(0o666, 998), (0o600, 0)], world.clone()),
        ([(0o600, 0), (0o640, 6)], disk),
        ([(0o600, 0), (0o644, 0)], world),
    ] {
        for (path, (mode, gid)) in [&socket, &image].into_iter().zip(modes) {
            chown(path, Some(0), Some(gid)).unwrap();
            std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
        }
        let exposure = ground.exposure(0, vec![device.clone()], &Processes::default());
        assert_eq!(exposure.exposed_to, exposed, "{modes:?}: {exposure:#?}");
        for subject in SUBJECTS.into_iter().take(8) {
            let may = |program: &[&str], path: &Path| {
                let output = command(subject).args(program).arg(path).output().unwrap();
                output.status.success()
            };
            for (by, really) in [
                (Means::Socket, may(&["test", "-w"], &socket)),
                (Means::Device, may(&["cat"], &image)),
            ] {
                let only = Exposure {
                    bypasses: exposure.bypasses.clone(),
                    ..Exposure::default()
                };
                assert_eq!(
                    says(&only, subject, &[by]),
                    really,
                    "{modes:?} {by:?} {}",
                    subject.0
                );
            }
        }
    }
}
