//! Processes that were followed: named when they are gone, told as they were, with those who began them.
//!
//! Run by the unit tests.

use super::*;
use crate::model::{ProcessEvent, Program};

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
