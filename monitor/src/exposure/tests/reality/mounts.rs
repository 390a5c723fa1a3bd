//! Other mounts of a closed store: on the host, and in the mount namespace of a running process.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::*;

/// Mounts the layer over `$1` in a namespace of its own, lets go of root, and waits.
const INSIDE: &str =
    "mount --bind \"$1\" \"$2\" && exec setpriv --reuid 65534 --regid 65534 --clear-groups sleep 600";

/// Ends with the value.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

struct Mounted(PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        rustix::mount::unmount(&self.0, rustix::mount::UnmountFlags::DETACH).unwrap();
    }
}

fn closed() -> Ground {
    let layouts = tools::LAYOUTS.iter();
    Ground::new(
        layouts
            .clone()
            .find(|one| one.name.contains("an image's layer"))
            .unwrap(),
    )
}

#[test]
fn a_mount_of_a_closed_layer_opens_it() {
    if !root_or_skip("a_mount_of_a_closed_layer_opens_it") {
        return;
    }
    let ground = closed();
    let before = ground.exposure(0, Vec::new(), &Processes::default());
    assert_eq!((before.exposed_to, before.bypasses), (vec![], vec![]));
    let point = ground.directory.path().join("mnt");
    std::fs::create_dir(&point).unwrap();
    let layer = ground.file.parent().unwrap();
    rustix::mount::mount_bind(layer, &point).unwrap();
    let mounted = Mounted(point.clone());
    let after = ground.exposure(0, Vec::new(), &Processes::default());
    for subject in SUBJECTS.into_iter().take(8) {
        let read = command(subject)
            .arg("cat")
            .arg(point.join("key"))
            .output()
            .unwrap();
        assert!(read.status.success(), "{}", subject.0);
        assert!(
            says(&after, subject, &[Means::Mount]),
            "{}: {after:#?}",
            subject.0
        );
    }
    assert_eq!(
        (after.exposed_to.as_slice(), after.remedy.as_deref()),
        (&[Reader::World][..], Some("umount /mnt"))
    );
    drop(mounted);
    let closed = ground.exposure(0, Vec::new(), &Processes::default());
    assert_eq!(closed.exposed_to, []);
}

#[test]
fn a_mount_in_another_namespace_opens_it_to_who_runs_there() {
    if !root_or_skip("a_mount_in_another_namespace_opens_it_to_who_runs_there") {
        return;
    }
    let ground = closed();
    let point = ground.directory.path().join("inside");
    std::fs::create_dir(&point).unwrap();
    let mut unshare = Command::new("unshare");
    unshare.args(["--mount", "--propagation", "private", "sh", "-c", INSIDE, "sh"]);
    unshare
        .arg(ground.file.parent().unwrap())
        .arg(&point)
        .stdin(Stdio::null());
    let running = Running(unshare.spawn().unwrap());
    let deadline = Instant::now() + Duration::from_secs(30);
    let exposure = loop {
        let found = ground.exposure(0, Vec::new(), &Processes::look(&Host::new("/")));
        // While setpriv starts it is that user already and has its capabilities still.
        if found.exposed_to.contains(&Reader::User { uid: 65534 }) {
            break found;
        }
        assert!(
            Instant::now() < deadline,
            "the process inside is seen: {found:#?}"
        );
    };
    let who: Vec<&Reader> = exposure
        .bypasses
        .iter()
        .filter(|one| one.by == Means::Namespace)
        .map(|one| &one.reader)
        .collect();
    assert_eq!(who, [&Reader::User { uid: 65534 }]);
    // What it says is what happens there, and not here.
    let inside = format!("/proc/{}/root{}", running.0.id(), point.join("key").display());
    let plain = SUBJECTS[0];
    assert!(
        command(plain)
            .arg("cat")
            .arg(inside)
            .output()
            .unwrap()
            .status
            .success()
    );
    assert!(
        !command(plain)
            .arg("cat")
            .arg(&ground.file)
            .output()
            .unwrap()
            .status
            .success()
    );
}
