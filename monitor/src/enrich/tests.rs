//! Processes of an invented proc(5), and one of the running host.
//!
//! Invariant: a real process is ended by its own handle, whatever the test's outcome. Run by the unit tests.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::*;
use crate::model::{DevIno, Program};
use crate::plane::frames::{Scene, after};

/// Ticks are centiseconds, as on every machine in use.
const TICK_NS: u64 = 10_000_000;

/// A proc(5) of its own: processes with a parent, a start in ticks and a cgroup.
struct Host(tempfile::TempDir);

impl Host {
    fn new() -> Self {
        let host = Self(tempfile::tempdir().unwrap());
        std::fs::create_dir(host.path("proc")).unwrap();
        std::fs::write(host.path("passwd"), "alice:x:1000:1000::/home/alice:/bin/sh\n").unwrap();
        std::fs::write(host.path("program"), "").unwrap();
        host
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn process(&self, pid: u32, parent: u32, start: u64, cgroup: &str) {
        let directory = self.path("proc").join(pid.to_string());
        std::fs::create_dir_all(&directory).unwrap();
        let middle = "0 ".repeat(17);
        let line = format!("{pid} (a) b (\n) S {parent} {middle}{start} 0 0\n");
        std::fs::write(directory.join("stat"), line).unwrap();
        std::fs::write(directory.join("cmdline"), b"cat\0/etc/\x1b[31mkey\0").unwrap();
        std::fs::write(directory.join("cgroup"), cgroup).unwrap();
        if !directory.join("exe").exists() {
            symlink(self.path("program"), directory.join("exe")).unwrap();
        }
    }

    fn enricher(&self) -> Enricher {
        Enricher::new(EnrichRoots {
            proc: self.path("proc"),
            passwd: self.path("passwd"),
            cgroup: self.path("cgroup"),
            ticks_per_second: 100,
        })
    }
}

fn access(pid: u32, start_ticks: u64) -> Access {
    let mut scene = Scene::new();
    (scene.record.tgid, scene.record.parent_tgid) = (pid, 50);
    scene.record.process_start_ns = start_ticks * TICK_NS + 7;
    scene.access()
}

#[test]
fn a_process_is_described() {
    let host = Host::new();
    let id = "ab".repeat(32);
    host.process(100, 50, 5000, &format!("4:memory:/docker/{id}\n0::/\n"));
    host.process(50, 1, 4000, "0::/\n");
    host.process(1, 0, 3, "0::/\n");
    let mut enricher = host.enricher();
    let actor = enricher.actor(&access(100, 5000));
    let exe_key = std::fs::metadata(host.path("program"))
        .map(|one| DevIno::of(&one))
        .ok();
    let process = |pid, comm: &str| Process {
        pid,
        exe: Some(host.path("program")),
        exe_key,
        cmdline: Some("cat /etc/\\x1b[31mkey".to_owned()),
        comm: comm.to_owned(),
    };
    let expected = Actor {
        process: process(100, "cat"),
        ancestors: vec![process(50, "a) b (\\n"), process(1, "a) b (\\n")],
        cgroup: Some(format!("/docker/{id}")),
        container: container_of(&format!("0::/docker/{id}")),
        gone: false,
    };
    assert_eq!(actor, expected);
    assert_eq!(enricher.user(1000).as_deref(), Some("alice"));
}

#[test]
fn a_reused_process_id_is_not_blamed() {
    let host = Host::new();
    host.process(100, 50, 9000, "0::/docker/x\n");
    host.process(50, 1, 4000, "0::/\n");
    for (name, start) in [("another start", 5000), ("one tick off", 8999)] {
        let actor = host.enricher().actor(&access(100, start));
        assert!(
            actor.gone && actor.process.exe.is_none() && actor.container.is_none(),
            "{name}"
        );
        assert_eq!(
            (actor.process.pid, actor.process.comm.as_str()),
            (100, "cat"),
            "{name}: the record's own name"
        );
        let parents: Vec<u32> = actor.ancestors.iter().map(|one| one.pid).collect();
        assert_eq!(parents, [50], "{name}: the parent lives still");
    }
    host.process(100, 50, 0, "0::/docker/x\n");
    let unknown = Access {
        process_start_ns: 0,
        ..access(100, 0)
    };
    assert!(
        host.enricher().actor(&unknown).gone,
        "a start that could not be read"
    );
}

#[test]
fn a_parent_younger_than_its_child_is_no_parent() {
    let host = Host::new();
    host.process(100, 50, 5000, "0::/\n");
    host.process(50, 1, 5001, "0::/\n");
    assert!(host.enricher().actor(&access(100, 5000)).ancestors.is_empty());
}

#[test]
fn the_chain_of_ancestors_is_bounded() {
    let host = Host::new();
    host.process(100, 99, 5000, "0::/\n");
    for pid in 60..100 {
        host.process(pid, pid - 1, 4000, "0::/\n");
    }
    assert_eq!(
        host.enricher().actor(&access(100, 5000)).ancestors.len(),
        ANCESTORS_MAX
    );
    host.process(99, 99, 4000, "0::/\n");
    assert_eq!(
        host.enricher().actor(&access(100, 5000)).ancestors.len(),
        ANCESTORS_MAX,
        "its own parent"
    );
}

#[test]
fn the_cgroup_of_the_gone_is_found_by_its_id() {
    use std::os::unix::fs::MetadataExt;
    let host = Host::new();
    let scope = host
        .path("cgroup")
        .join(format!("system.slice/docker-{}.scope", "cd".repeat(32)));
    std::fs::create_dir_all(&scope).unwrap();
    std::fs::write(host.path("cgroup").join("cgroup.controllers"), "").unwrap();
    let mut gone = access(100, 5000);
    gone.cgroup = std::fs::metadata(&scope).unwrap().ino();
    let actor = host.enricher().actor(&gone);
    assert!(actor.gone);
    assert_eq!(
        actor.container.map(|one| (one.id, one.runtime)),
        Some(("cd".repeat(32), "docker".to_owned()))
    );
    gone.cgroup = u64::MAX;
    assert_eq!(host.enricher().actor(&gone).cgroup, None);
}

#[test]
fn a_burst_of_one_process_reads_once() {
    let host = Host::new();
    host.process(100, 50, 5000, "0::/\n");
    let mut enricher = host.enricher();
    let first = enricher.actor(&access(100, 5000));
    std::fs::remove_dir_all(host.path("proc/100")).unwrap();
    assert_eq!(enricher.actor(&access(100, 5000)), first);
    let late = Access {
        time: after(10),
        ..access(100, 5000)
    };
    assert!(enricher.actor(&late).gone);
}

/// What happened to a process, so many seconds after the access.
fn event(seconds: i64, pid: u32, parent: u32, start_ticks: u64, change: ProcessChange) -> ProcessEvent {
    let parent_start = if parent == 50 { 4000 } else { 3 };
    ProcessEvent {
        change,
        process: ProcessEvent::key(pid, start_ticks * TICK_NS + 7),
        parent: ProcessEvent::key(parent, parent_start * TICK_NS + 7),
        time: after(seconds),
        cgroup: 77,
        comm: b"x".to_vec(),
    }
}

fn exec(name: &str) -> ProcessChange {
    ProcessChange::Exec(Program {
        exe: Some(format!("/bin/{name}").into()),
        exe_key: None,
        cmdline: Some(format!("{name} -v")),
    })
}

/// The command lines of the process and its ancestors, and whether it was gone.
fn told(actor: &Actor) -> (Vec<&str>, bool) {
    let lineage = std::iter::once(&actor.process).chain(&actor.ancestors);
    let lines = lineage.map(|process| process.cmdline.as_deref().unwrap_or("-"));
    (lines.collect(), actor.gone)
}

#[test]
fn the_gone_have_the_names_that_their_events_gave_them() {
    let host = Host::new();
    host.process(1, 0, 3, "0::/\n");
    let mut enricher = host.enricher();
    for event in [
        event(-9, 50, 1, 4000, ProcessChange::Fork),
        event(-8, 50, 1, 4000, exec("shell")),
        event(-2, 100, 50, 5000, ProcessChange::Fork),
        event(-1, 100, 50, 5000, exec("reader")),
        event(1, 100, 50, 5000, exec("later")),
        event(2, 50, 1, 4000, ProcessChange::Exit),
        event(2, 100, 1, 5000, ProcessChange::Exit),
    ] {
        assert!(enricher.learn(&event));
    }
    let actor = enricher.actor(&access(100, 5000));
    assert_eq!(
        told(&actor),
        (vec!["reader -v", "shell -v", "cat /etc/\\x1b[31mkey"], true)
    );
    assert_eq!(actor.process.comm, "cat", "the access's own name");
    let other = enricher.actor(&access(100, 5001));
    assert_eq!(
        told(&other),
        (vec!["-"], true),
        "another start is another process"
    );
}

#[test]
fn the_living_are_told_as_they_were_and_by_whom_they_were_begun() {
    let host = Host::new();
    host.process(1, 0, 3, "0::/\n");
    // Its parent is gone, so procfs has given it to process 1.
    host.process(100, 1, 5000, "0::/\n");
    let mut enricher = host.enricher();
    enricher.learn(&event(-9, 50, 1, 4000, exec("shell")));
    enricher.learn(&event(-2, 100, 50, 5000, ProcessChange::Fork));
    let actor = enricher.actor(&access(100, 5000));
    let cat = "cat /etc/\\x1b[31mkey";
    assert_eq!(told(&actor), (vec![cat, "shell -v", cat], false));
    // The exec came after the access: what procfs shows is not who opened the file, and the cache must not say so either.
    enricher.learn(&event(1, 100, 50, 5000, exec("later")));
    let actor = enricher.actor(&access(100, 5000));
    assert_eq!(told(&actor), (vec!["shell -v", "shell -v", cat], false));
}

#[test]
fn one_that_is_ending_shows_nothing_of_what_it_was() {
    let host = Host::new();
    let id = "ab".repeat(32);
    host.process(100, 50, 5000, "0::/\n");
    for (name, from, to) in [
        ("a zombie", " S ", " Z "),
        ("exiting", " 0 0 0 0 0 ", " 0 0 0 0 4 "),
    ] {
        let stat = host.path("proc/100/stat");
        host.process(100, 50, 5000, "0::/\n");
        let line = crate::bounded::read_text(&stat, 4096).unwrap();
        assert!(line.contains(from));
        std::fs::write(&stat, line.replacen(from, to, 1)).unwrap();
        let mut enricher = host.enricher();
        enricher.learn(&event(-1, 100, 50, 5000, exec("reader")));
        let actor = enricher.actor(&access(100, 5000));
        assert_eq!(told(&actor), (vec!["reader -v"], true), "{name}");
        assert_eq!(
            actor.cgroup, None,
            "{name}: procfs says `/`, the kernel's record another"
        );
    }
    let scope = host.path("cgroup").join(format!("docker-{id}.scope"));
    std::fs::create_dir_all(&scope).unwrap();
    std::fs::write(host.path("cgroup").join("cgroup.controllers"), "").unwrap();
    let mut enricher = host.enricher();
    let mut began = event(-1, 101, 50, 5000, exec("reader"));
    began.cgroup = std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(&scope).unwrap());
    host.process(101, 50, 5000, &format!("0::/docker-{id}.scope\n"));
    enricher.learn(&began);
    std::fs::remove_dir_all(host.path("proc/101")).unwrap();
    std::fs::remove_dir(&scope).unwrap();
    let seen = Access {
        cgroup: began.cgroup,
        ..access(101, 5000)
    };
    assert_eq!(
        enricher.actor(&seen).container.map(|one| one.id),
        Some(id),
        "the container ended with its only process"
    );
}

#[test]
fn processes_that_lived_before_the_agent_are_named_when_they_are_gone() {
    let host = Host::new();
    host.process(50, 1, 4000, "0::/\n");
    host.process(1, 0, 3, "0::/\n");
    let mut enricher = host.enricher();
    enricher.adopt_the_living();
    enricher.learn(&event(-2, 100, 50, 5000, ProcessChange::Fork));
    for pid in [50, 1] {
        std::fs::remove_dir_all(host.path("proc").join(pid.to_string())).unwrap();
    }
    let cat = "cat /etc/\\x1b[31mkey";
    assert_eq!(
        told(&enricher.actor(&access(100, 5000))),
        (vec![cat, cat, cat], true)
    );
}

/// A real process, ended by the test.
struct Sleeper(Child);

impl Drop for Sleeper {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
fn the_running_host_is_read() {
    let child = Command::new("sleep")
        .arg("60")
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let sleeper = Sleeper(child);
    let pid = sleeper.0.id();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    let roots = EnrichRoots::under(Path::new("/"));
    let tick_ns = 1_000_000_000 / roots.ticks_per_second;
    let stat = crate::bounded::read(Path::new(&format!("/proc/{pid}/stat")), 4096).unwrap();
    let mut seen = access(pid, 1);
    seen.process_start_ns = procfs::parse_stat(&stat).unwrap().start_ticks * tick_ns;
    let actor = loop {
        // Until its exec is over the child is this program still, or has no command line.
        let actor = Enricher::new(roots.clone()).actor(&seen);
        if actor.process.cmdline.as_deref() == Some("sleep 60") {
            break actor;
        }
        assert!(std::time::Instant::now() < deadline, "{actor:?}");
    };
    assert!(!actor.gone);
    let exe = actor.process.exe.unwrap();
    assert_eq!(
        actor.process.exe_key,
        std::fs::metadata(&exe).map(|one| DevIno::of(&one)).ok()
    );
    assert_eq!(
        actor.ancestors.first().map(|one| one.pid),
        Some(std::process::id())
    );
}

proptest::proptest! {
    #[test]
    fn any_stat_line_is_read(line: Vec<u8>) {
        procfs::parse_stat(&line);
    }
}
