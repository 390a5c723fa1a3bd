//! Lives of processes: who they were when, what is forgotten, and what a full table does.
//!
//! Invariant: ids and starts are invented, times are seconds since 1970. Run by the unit tests.

use super::*;

const TICK_NS: u64 = 10_000_000;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

fn event(seconds: i64, tgid: u32, parent: u32, change: ProcessChange) -> ProcessEvent {
    ProcessEvent {
        change,
        process: ProcessEvent::key(tgid, u64::from(tgid) * TICK_NS + 3),
        parent: ProcessEvent::key(parent, u64::from(parent) * TICK_NS + 5),
        time: at(seconds),
        cgroup: 1,
        comm: b"sh\n".to_vec(),
    }
}

fn exec(name: &str) -> ProcessChange {
    ProcessChange::Exec(Program {
        exe: Some(format!("/bin/{name}").into()),
        exe_key: None,
        cmdline: Some(name.to_owned()),
    })
}

fn key(tgid: u32) -> TickKey {
    TickKey {
        tgid: Tgid(tgid),
        start_ticks: u64::from(tgid),
    }
}

/// What `tgid` was at a moment: command line, parent, and whether it ran another program later.
fn check(processes: &Processes, tgid: u32, seconds: i64, expected: Option<(Option<&str>, u32, bool)>) {
    let known = processes.at(key(tgid), at(seconds));
    let known = known.as_ref().map(|known| {
        (
            known.process.cmdline.as_deref(),
            known.parent.tgid.0,
            known.superseded,
        )
    });
    assert_eq!(known, expected, "{tgid} at {seconds}");
}

#[test]
fn each_moment_has_its_program() {
    let mut processes = Processes::new(TICK_NS);
    for event in [
        event(1, 10, 1, exec("shell")),
        event(2, 20, 10, ProcessChange::Fork),
        event(4, 20, 10, exec("cat")),
        event(6, 20, 1, ProcessChange::Exit),
        event(6, 20, 1, ProcessChange::Exit),
    ] {
        assert!(processes.learn(&event));
    }
    check(&processes, 10, 0, None);
    check(&processes, 10, 9, Some((Some("shell"), 1, false)));
    check(&processes, 20, 3, Some((Some("shell"), 10, true)));
    check(&processes, 20, 4, Some((Some("cat"), 10, false)));
    check(&processes, 20, 9, Some((Some("cat"), 10, false)));
    check(&processes, 30, 9, None);
    assert_eq!(processes.dead.len(), 1, "an exit counts once");
    assert_eq!(processes.at(key(20), at(9)).unwrap().process.comm, "sh\\n");
}

#[test]
fn a_reused_id_is_another_process() {
    let mut processes = Processes::new(TICK_NS);
    processes.learn(&event(1, 10, 1, exec("first")));
    let mut other = event(2, 10, 1, exec("second"));
    other.process.start_ns += TICK_NS;
    processes.learn(&other);
    check(&processes, 10, 5, Some((Some("first"), 1, false)));
}

#[test]
fn what_lived_before_is_adopted() {
    let mut processes = Processes::new(TICK_NS);
    let process = Process {
        pid: 10,
        cmdline: Some("daemon".to_owned()),
        ..Process::default()
    };
    assert!(processes.adopt(key(10), key(1), process));
    processes.learn(&event(2, 20, 10, ProcessChange::Fork));
    check(&processes, 20, 3, Some((Some("daemon"), 10, false)));
}

#[test]
fn the_dead_are_forgotten_by_number_and_by_age() {
    let mut processes = Processes::new(TICK_NS);
    let most = u32::try_from(DEAD_MAX).unwrap();
    for tgid in 1..=most + 10 {
        processes.learn(&event(1, tgid, 0, ProcessChange::Fork));
        processes.learn(&event(1, tgid, 0, ProcessChange::Exit));
    }
    assert!(processes.entries.len() <= DEAD_MAX + 1);
    check(&processes, 5, 1, None);
    check(&processes, most, 1, Some((None, 0, false)));
    processes.learn(&event(602, 1, 0, ProcessChange::Fork));
    assert_eq!((processes.entries.len(), processes.dead.len()), (1, 0));
}

#[test]
fn a_full_table_refuses_and_a_sweep_makes_room() {
    let mut processes = Processes::new(TICK_NS);
    let most = u32::try_from(LIVING_MAX).unwrap();
    for tgid in 1..=most {
        assert!(processes.learn(&event(1, tgid, 0, ProcessChange::Fork)));
    }
    assert!(processes.is_full() && !processes.learn(&event(1, most + 1, 0, ProcessChange::Fork)));
    processes.keep_living(&HashSet::from([Tgid(1)]));
    assert!(processes.learn(&event(1, most + 1, 0, ProcessChange::Fork)));
    assert_eq!(processes.entries.len(), 2);
}
