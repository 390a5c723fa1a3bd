//! Process frames that are valid, damaged, cut, or of another version.
//!
//! Invariant: each refusal is compared as a whole error, and arbitrary bytes never panic. Run by the unit tests.

use bytemuck::Zeroable;
use layerwatch_ebpf::InodeKey;
use proptest::prelude::*;

use super::*;
use crate::model::{ProcessChange, ProcessEvent, Program};
use crate::plane::frames::{OPENED_NS, after, boot, key};

/// `cat /etc/key` of process 42, begun by process 7.
fn exec() -> ProcessExec {
    let mut record = ProcessExec::zeroed();
    record.head = head(process_kinds::EXEC);
    record.program = InodeKey::new(7, 800);
    let (path, arguments) = (b"cat\0bin\0usr\0", b"cat\0/etc/key\0");
    record.path[..path.len()].copy_from_slice(path);
    record.path_length = u32::try_from(path.len()).unwrap();
    record.arguments[..arguments.len()].copy_from_slice(arguments);
    record.arguments_length = u32::try_from(arguments.len()).unwrap();
    record
}

fn head(kind: u16) -> ProcessHead {
    let mut head = ProcessHead::zeroed();
    (head.version, head.kind, head.time_ns) = (WIRE_VERSION, kind, OPENED_NS);
    (head.tgid, head.start_ns) = (42, 4200);
    (head.parent_tgid, head.parent_start_ns) = (7, 700);
    head.cgroup = 5000;
    head.comm[..3].copy_from_slice(b"cat");
    head
}

fn event(change: ProcessChange) -> ProcessEvent {
    ProcessEvent {
        change,
        process: ProcessEvent::key(42, 4200),
        parent: ProcessEvent::key(7, 700),
        time: after(0),
        cgroup: 5000,
        comm: b"cat".to_vec(),
    }
}

fn program(exe: &str, cmdline: Option<&str>) -> ProcessChange {
    ProcessChange::Exec(Program {
        exe: Some(exe.into()),
        exe_key: Some(key(800)),
        cmdline: cmdline.map(str::to_owned),
    })
}

/// An exec's record, changed, and the event or error that it must give.
fn check(name: &str, change: impl FnOnce(&mut ProcessExec), expected: Result<ProcessChange, DecodeError>) {
    let mut record = exec();
    change(&mut record);
    let decoded = decode_process(bytemuck::bytes_of(&record), &boot());
    assert_eq!(decoded, expected.map(event), "{name}");
}

#[test]
fn an_exec_has_its_program() {
    let cat = || program("/usr/bin/cat", Some("cat /etc/key"));
    check("whole", |_| {}, Ok(cat()));
    check(
        "cut",
        |r| r.head.flags = process_flags::PATH_TRUNCATED | process_flags::ARGUMENTS_TRUNCATED,
        Ok(program("…/usr/bin/cat", Some("cat /etc/key…"))),
    );
    check(
        "no arguments",
        |r| r.arguments_length = 0,
        Ok(program("/usr/bin/cat", None)),
    );
    check(
        "hostile arguments",
        |r| r.arguments[..6].copy_from_slice(b"\x1b[1m\xff\n"),
        Ok(program("/usr/bin/cat", Some("\\x1b[1m\\xff\\ntc/key"))),
    );
    check(
        "nothing could be read",
        |r| (r.path_length, r.program.ino, r.arguments_length) = (0, 0, 0),
        Ok(ProcessChange::Exec(Program::default())),
    );
}

#[test]
fn what_no_version_defines_is_refused_by_name() {
    check("version", |r| r.head.version = 0, Err(DecodeError::Version(0)));
    check(
        "a fork of this size",
        |r| r.head.kind = 1,
        Err(DecodeError::Kind(1)),
    );
    check(
        "a new flag",
        |r| r.head.flags = 1 << 30,
        Err(DecodeError::Flags(1 << 30)),
    );
    check(
        "long path",
        |r| r.path_length = 321,
        Err(DecodeError::PathLength(321)),
    );
    check(
        "open path",
        |r| r.path_length = 2,
        Err(DecodeError::PathUnterminated),
    );
    check(
        "long arguments",
        |r| r.arguments_length = 257,
        Err(DecodeError::ArgumentsLength(257)),
    );
    check(
        "the end of time",
        |r| r.head.time_ns = u64::MAX,
        Err(DecodeError::Time(u64::MAX)),
    );
}

#[test]
fn forks_and_exits_are_heads_alone() {
    for (kind, expected) in [
        (process_kinds::FORK, Ok(event(ProcessChange::Fork))),
        (process_kinds::EXIT, Ok(event(ProcessChange::Exit))),
        (process_kinds::EXEC, Err(DecodeError::Kind(process_kinds::EXEC))),
        (0, Err(DecodeError::Kind(0))),
    ] {
        assert_eq!(decode_process(bytemuck::bytes_of(&head(kind)), &boot()), expected);
    }
    let bytes = bytemuck::bytes_of(&head(process_kinds::FORK)).to_vec();
    let length = bytes.len() - 1;
    assert_eq!(
        decode_process(&bytes[1..], &boot()),
        Err(DecodeError::Length { length })
    );
}

proptest! {
    #[test]
    fn any_bytes_give_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..1200)) {
        if let Err(error) = decode_process(&bytes, &boot()) {
            prop_assert!(!error.to_string().is_empty());
        }
    }

    #[test]
    fn a_damaged_frame_gives_an_answer(damage in prop::collection::vec((0..size_of::<ProcessExec>(), any::<u8>()), 1..40)) {
        let mut frame = bytemuck::bytes_of(&exec()).to_vec();
        for (at, byte) in damage {
            frame[at] = byte;
        }
        if let Ok(event) = decode_process(&frame, &boot()) {
            prop_assert!(!event.comm.contains(&0));
        }
    }
}
