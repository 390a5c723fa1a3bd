//! Many accesses: repeats, ordinary content, damaged frames, signs of pulls.
//!
//! Invariant: the first of its kind goes out at once. Run by the unit tests.

use super::Step::{Access as Seen, Bytes, OpenFile, Tick};
use super::*;

#[test]
fn ordinary_content_is_recorded_once_for_a_process() {
    let ordinary = |ino: u64, pid: u32| {
        scene(|s| {
            s.ordinary("/storage/overlay/l1/diff/bin/x");
            s.record.file.ino = ino;
            s.record.tgid = pid;
        })
    };
    let line = "access LayerContentRead info uid=1000 x1 no-finding";
    let steps = vec![
        Seen(ordinary(300, 5), 0),
        Seen(ordinary(301, 5), 1),
        Seen(ordinary(302, 6), 2),
        Tick(60),
        Tick(62),
    ];
    let summary = "access LayerContentRead info uid=1000 x2 no-finding";
    check("two processes", steps, &[line, line, summary], &[("repeat", 1)]);
    check_access(
        "through an overlay",
        |s| {
            s.ordinary("/x");
            s.through_overlay(40, 1000);
        },
        &[],
        &[("ordinary-content", 1)],
    );
}

#[test]
fn a_corrupted_frame_is_counted_and_the_next_is_fine() {
    let mut frame = Scene::new().frame();
    frame[2] = 77;
    let steps = vec![
        Bytes(frame),
        Bytes(vec![1, 2, 3]),
        Bytes(Vec::new()),
        Seen(Scene::new(), 0),
    ];
    check(
        "three bad, one good",
        steps,
        &[READ],
        &[("kind", 1), ("length", 2)],
    );
}

#[test]
fn process_frames_are_learned_and_never_accesses() {
    use bytemuck::Zeroable;
    let mut head = layerwatch_ebpf::ProcessHead::zeroed();
    (head.version, head.kind) = (
        layerwatch_ebpf::WIRE_VERSION,
        layerwatch_ebpf::process_kinds::FORK,
    );
    let fork = bytemuck::bytes_of(&head).to_vec();
    for (name, room, frame, filtered, dropped) in [
        ("a fork", true, fork.clone(), Some("process"), None),
        ("no room", false, fork.clone(), None, Some("process-table-full")),
        ("damaged", true, vec![0; fork.len()], None, Some("kind")),
        ("cut", true, fork[1..].to_vec(), None, Some("length")),
        ("an access", true, Scene::new().frame(), None, Some("length")),
    ] {
        let script = Script {
            room,
            ..Script::default()
        };
        let mut plane = EventPlane::new(PlaneSettings::default(), boot(), Box::new(script));
        plane.handle_process(&frame);
        let books = plane.counts();
        let reasons = |reasons: &BTreeMap<&'static str, u64>| reasons.keys().copied().next();
        let ended = (reasons(&books.decode.filtered), reasons(&books.decode.dropped));
        assert!(books.is_balanced() && books.decode.received == 1, "{name}");
        assert_eq!(ended, (filtered, dropped), "{name}");
    }
}

#[test]
fn an_open_file_is_told_once_for_each_process_and_hides_no_read() {
    let held = |pid: u32| OpenFile(scene(|s| s.record.tgid = pid), 0);
    let steps = vec![held(5), held(6), held(6), Seen(Scene::new(), 1)];
    check(
        "two hold it, one reads",
        steps,
        &[READ, READ, READ],
        &[("repeat", 1)],
    );
    let root = OpenFile(scene(|s| s.uid(0)), 0);
    check("judged as a read", vec![root], &[], &[("host-root", 1)]);
}

#[test]
fn repeats_are_counted_after_the_first() {
    let again = |seconds| Seen(Scene::new(), seconds);
    let steps = vec![
        again(0),
        again(1),
        again(2),
        Tick(59),
        Tick(60),
        again(61),
        Tick(200),
    ];
    check(
        "three in a window",
        steps,
        &[READ, "alert SensitiveLayerRead high uid=1000 x3", READ],
        &[("repeat", 2)],
    );
    let other = scene(|s| s.uid(1001));
    check(
        "another user",
        vec![again(0), Seen(other, 0)],
        &[READ, "alert SensitiveLayerRead high uid=1001 x1"],
        &[],
    );
    let refused = scene(|s| s.record.result = -13);
    check(
        "refused, then not",
        vec![Seen(refused, 0), again(0)],
        &["alert SensitiveLayerRead low uid=1000 x1 refused", READ],
        &[],
    );
    let each = PlaneSettings {
        repeat_seconds: 0,
        ..PlaneSettings::default()
    };
    check_with(
        each,
        "each, if wanted",
        vec![again(0), again(1)],
        &[READ, READ],
        &[],
    );
    let overlay = scene(|s| s.through_overlay(40, 1000));
    check(
        "another way",
        vec![again(0), Seen(overlay, 1)],
        &[READ, READ],
        &[],
    );
    let full = PlaneSettings {
        repeats_max: 0,
        ..PlaneSettings::default()
    };
    check_with(
        full,
        "a full table hides nothing",
        vec![again(0), again(1)],
        &[READ, READ],
        &[],
    );
}

#[test]
fn a_repeat_tells_when_it_was_last() {
    let played = play(
        PlaneSettings::default(),
        vec![Seen(Scene::new(), 0), Seen(Scene::new(), 7), Tick(60)],
    );
    let times = played.records.iter().map(|record| match &record.body {
        RecordKind::Alert(alert) => (alert.id.clone(), alert.time),
        other @ (RecordKind::Access(_) | RecordKind::Pull(_) | RecordKind::State(_)) => panic!("{other:?}"),
    });
    let times: Vec<_> = times.collect();
    assert_eq!(
        times,
        [
            ("0a1b2c3d-3-41".to_owned(), after(0)),
            ("0a1b2c3d-3-41".to_owned(), after(7))
        ]
    );
}

#[test]
fn signs_of_pulls_go_out_apart() {
    let sign = |watch: u64| {
        scene(|s| {
            s.uid(0);
            s.record.kind = layerwatch_ebpf::kinds::INDEX_RENAME;
            s.record.watch.ino = watch;
        })
    };
    let canary = scene(|s| s.record.kind = layerwatch_ebpf::kinds::CANARY);
    let actor = Script {
        actor: Arc::new(Mutex::new(Some(Scene::new().actor))),
        room: true,
    };
    let mut plane = EventPlane::new(PlaneSettings::default(), boot(), Box::new(actor));
    plane.snapshot_changed(Arc::new(Scene::new().knowledge()), after(0));
    for frame in [sign(2), sign(3), canary] {
        assert_eq!(plane.handle(&frame.frame(), after(0)), []);
    }
    let stores: Vec<String> = plane
        .take_signals()
        .iter()
        .map(|signal| signal.store.to_string())
        .collect();
    assert_eq!(
        (stores, plane.take_signals().len()),
        (vec!["overlay@/storage".to_owned()], 0)
    );
    assert_eq!(plane.last_canary(), Some(after(0)));
    let enrich = &plane.counts().enrich;
    assert_eq!(
        (
            enrich.filtered["pull-signal"],
            enrich.filtered["canary"],
            enrich.dropped["unknown-index"]
        ),
        (1, 1, 1)
    );
    assert!(plane.counts().is_balanced());
}

#[test]
fn a_plane_can_live_in_a_task() {
    fn is_send<T: Send>(_: &T) -> bool {
        true
    }
    let plane = EventPlane::new(PlaneSettings::default(), boot(), Box::new(Script::default()));
    assert!(is_send(&plane));
}
