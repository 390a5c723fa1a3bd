//! Exposure equals reality: over the layouts that engines and administrators leave, each of a set of users tries to read,
//! and what happens is what the agent says.
//!
//! Users are numbers, the host's files are a directory's own, so that nothing of the machine changes.

mod daemons;
mod ground;
mod layout;
mod mounts;
mod tools;

use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use ground::Ground;
use layout::{Layout, ROOTS_GROUP};

use super::super::*;
use crate::catalog::Host;
use crate::model::{DevIno, Exposure, Means, RawDevice, RawKey, Reader, StoreId};
use crate::testing::root_or_skip;

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
    for layout in daemons::LAYOUTS.iter().chain(tools::LAYOUTS) {
        check(layout, &processes);
    }
}

#[test]
fn a_socket_and_a_device_are_told_with_those_whom_they_let_in() {
    if !root_or_skip("a_socket_and_a_device_are_told_with_those_whom_they_let_in") {
        return;
    }
    let ground = Ground::new(
        daemons::LAYOUTS
            .iter()
            .find(|one| one.name.contains("20.10.9"))
            .unwrap(),
    );
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
