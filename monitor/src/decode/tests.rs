//! Frames that are valid, damaged, cut, or of another version.
//!
//! Invariant: each refusal is compared as a whole error, and arbitrary bytes never panic. Run by the unit tests.

use layerwatch_ebpf::{PATH_LENGTH, Record, flags, kinds};
use proptest::prelude::*;

use super::*;
use crate::plane::frames::{Scene, after, boot, key};

/// One frame, changed from a valid one, and the error it must give.
fn check(name: &str, change: impl FnOnce(&mut Record), expected: Result<(), DecodeError>) {
    let mut scene = Scene::new();
    change(&mut scene.record);
    assert_eq!(decode(&scene.frame(), &boot()).map(|_| ()), expected, "{name}");
}

#[test]
fn what_no_version_defines_is_refused_by_name() {
    check("valid", |_| {}, Ok(()));
    check("version 0", |r| r.version = 0, Err(DecodeError::Version(0)));
    check("version 1", |r| r.version = 1, Err(DecodeError::Version(1)));
    check("version 3", |r| r.version = 3, Err(DecodeError::Version(3)));
    check("kind 0", |r| r.kind = 0, Err(DecodeError::Kind(0)));
    check("kind 12", |r| r.kind = 12, Err(DecodeError::Kind(12)));
    check("hook 9", |r| r.hook = 9, Err(DecodeError::Hook(9)));
    check(
        "a new flag",
        |r| r.flags |= 1 << 31,
        Err(DecodeError::Flags(1 << 31)),
    );
    check(
        "long path",
        |r| r.path_length = 337,
        Err(DecodeError::PathLength(337)),
    );
    check(
        "open path",
        |r| {
            r.path[0] = b'x';
            r.path_length = 1;
        },
        Err(DecodeError::PathUnterminated),
    );
    check(
        "a positive result",
        |r| r.result = 3,
        Err(DecodeError::ResultCode(3)),
    );
    check(
        "no error number",
        |r| r.result = -4096,
        Err(DecodeError::ResultCode(-4096)),
    );
    check(
        "the end of time",
        |r| r.time_ns = u64::MAX,
        Err(DecodeError::Time(u64::MAX)),
    );
}

#[test]
fn a_frame_of_another_size_is_refused() {
    let frame = Scene::new().frame();
    for length in [0, 1, frame.len() - 1, frame.len() + 1] {
        let mut cut = frame.clone();
        cut.resize(length, 0);
        assert_eq!(decode(&cut, &boot()), Err(DecodeError::Length { length }));
    }
}

#[test]
fn every_field_arrives() {
    let mut scene = Scene::new();
    scene.through_overlay(40, 1000);
    scene.record.result = -13;
    scene.record.flags |= flags::PATH_TRUNCATED;
    let access = scene.access();
    assert_eq!(access.id, "0a1b2c3d-3-41");
    assert_eq!(access.time, after(0));
    assert_eq!(
        (access.operation, access.via, access.matched),
        (Operation::Open, Via::Overlay, WatchMatch::File)
    );
    assert_eq!((access.file, access.watch), (key(100), key(100)));
    assert_eq!(access.path, b"/storage/overlay/l1/diff/etc/key.pem");
    assert!(access.path_truncated && !access.number_reused && !access.incomplete && !access.kernel_thread);
    assert_eq!(
        (access.result, access.mode, access.generation),
        (-13, 0o100_644, 99)
    );
    assert_eq!(
        (access.tgid, access.parent, access.comm.as_slice()),
        (Tgid(4242), Tgid(4200), &b"cat"[..])
    );
    assert_eq!((access.real.fsuid, access.effective.fsuid), (1000, 0));
    assert_eq!(
        (access.outer_device, access.outer_fsuid),
        (Some(KernelDev(40)), Some(1000))
    );
    assert_eq!((access.mounter_uid, access.loginuid), (Some(0), 1000));
}

#[test]
fn what_was_not_carried_is_absent() {
    let access = Scene::new().access();
    assert_eq!(
        (access.outer_device, access.outer_fsuid, access.mounter_uid),
        (None, None, None)
    );
    let mut scene = Scene::new();
    scene.record.outer_fsuid = 0;
    assert_eq!(scene.access().outer_fsuid, None, "a 0 nobody carried is not root");
}

#[test]
fn kinds_become_operations() {
    for (kind, operation) in [
        (kinds::OPEN_FINDING, Operation::Open),
        (kinds::OPEN_CONTENT, Operation::Open),
        (kinds::INDEX_RENAME, Operation::Rename),
        (kinds::INDEX_WRITE, Operation::Create),
        (kinds::CANARY, Operation::Canary),
        (kinds::MAP_FINDING, Operation::Map),
        (kinds::READ_FINDING, Operation::Read),
        (kinds::RECEIVE_FINDING, Operation::Receive),
        (kinds::OPEN_DEVICE, Operation::OpenDevice),
        (kinds::CONNECT, Operation::Connect),
    ] {
        let mut scene = Scene::new();
        scene.record.kind = kind;
        assert_eq!(scene.access().operation, operation);
    }
}

#[test]
fn paths_are_joined_from_the_leaf() {
    for (bytes, joined) in [
        (&b""[..], &b""[..]),
        (b"passwd\0etc\0", b"/etc/passwd"),
        (b"\xff\n\0a\0", b"/a/\xff\n"),
        (b"\0", b"/"),
    ] {
        let mut scene = Scene::new();
        scene.record.path[..bytes.len()].copy_from_slice(bytes);
        scene.record.path_length = u16::try_from(bytes.len()).unwrap();
        assert_eq!(scene.access().path, joined);
    }
}

#[test]
fn alignment_does_not_matter() {
    let frame = Scene::new().frame();
    for shift in 0..8 {
        let mut shifted = vec![0; shift];
        shifted.extend_from_slice(&frame);
        assert_eq!(decode(&shifted[shift..], &boot()), decode(&frame, &boot()));
    }
}

#[test]
fn each_error_has_a_label_of_its_own() {
    let errors = [
        DecodeError::Length { length: 0 },
        DecodeError::Version(0),
        DecodeError::Kind(0),
        DecodeError::Hook(0),
        DecodeError::Flags(0),
        DecodeError::PathLength(0),
        DecodeError::ArgumentsLength(0),
        DecodeError::PathUnterminated,
        DecodeError::ResultCode(0),
        DecodeError::Time(0),
    ];
    let labels: std::collections::BTreeSet<_> = errors.iter().map(|error| error.as_str()).collect();
    assert_eq!(labels.len(), errors.len());
}

proptest! {
    #[test]
    fn any_bytes_give_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..1200)) {
        if let Err(error) = decode(&bytes, &boot()) {
            prop_assert!(!error.to_string().is_empty());
        }
    }

    #[test]
    fn a_damaged_frame_gives_an_answer(damage in prop::collection::vec((0..size_of::<Record>(), any::<u8>()), 1..40)) {
        let mut frame = Scene::new().frame();
        for (at, byte) in damage {
            frame[at] = byte;
        }
        if let Ok(access) = decode(&frame, &boot()) {
            prop_assert!(access.path.len() <= PATH_LENGTH + 1);
            prop_assert!(!access.comm.contains(&0));
        }
    }

    #[test]
    fn a_boot_id_may_be_anything(boot_id: String) {
        let boot = BootClock { boot_id, ..boot() };
        prop_assert!(decode(&Scene::new().frame(), &boot).is_ok());
    }
}
