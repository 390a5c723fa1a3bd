//! Processes of an invented proc(5), and one of the running host.
//!
//! Invariant: a real process is ended by its own handle, whatever the test's outcome. Run by the unit tests.

mod followed;

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::lineage::ANCESTORS_MAX;
use super::*;
use crate::model::DevIno;
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
