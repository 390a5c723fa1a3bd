//! Whole JSON lines of each alert kind, compared with stored ones (`tests/fixtures/plane/`).
//!
//! Invariant: the stored lines are the contract: a difference means a new `SCHEMA_VERSION` or a mistake. They are
//! written by hand or, on purpose, with `LAYERWATCH_BLESS=1`, and read by people in review.

use std::path::PathBuf;
use std::sync::Arc;

use super::frames::{Scene, after, boot, key};
use super::*;
use crate::model::Actor;

/// Says what its scene says.
#[derive(Debug)]
struct One(Scene);

impl Actors for One {
    fn actor(&mut self, _access: &Access) -> Actor {
        self.0.actor.clone()
    }

    fn learn(&mut self, _event: &crate::model::ProcessEvent) -> bool {
        true
    }

    fn user(&mut self, uid: u32) -> Option<String> {
        (uid == 1000).then(|| "alice".to_owned())
    }
}

/// Plays one access, and ticks long enough for what waits, and compares the line.
fn check(name: &str, verbose: bool, change: impl FnOnce(&mut Scene)) {
    let mut scene = Scene::new();
    change(&mut scene);
    let settings = PlaneSettings {
        verbose,
        ..PlaneSettings::default()
    };
    let mut plane = EventPlane::new(settings, boot(), Box::new(One(scene.clone())));
    let mut records = plane.snapshot_changed(Arc::new(scene.knowledge()), after(-1));
    records.extend(plane.handle(&scene.frame(), after(0)));
    records.extend(plane.tick(after(60)));
    let [record] = records.as_slice() else {
        panic!("{name}: {records:?}")
    };
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("../tests/fixtures/plane/{name}.json"));
    let given = serde_json::to_value(record).unwrap();
    if std::env::var_os("LAYERWATCH_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, serde_json::to_string_pretty(&given).unwrap() + "\n").unwrap();
    }
    let stored: serde_json::Value =
        serde_json::from_slice(&crate::bounded::read(&path, 1 << 20).unwrap()).unwrap();
    assert_eq!(given, stored, "{name}");
    assert_eq!(
        &serde_json::from_value::<Record>(stored).unwrap(),
        record,
        "{name}"
    );
}

#[test]
fn sensitive_layer_read() {
    check("sensitive-layer-read", false, |_| {});
}

#[test]
fn sensitive_layer_read_of_a_hidden_file() {
    check("sensitive-layer-read-shadowed", false, |s| {
        s.shadow("i1");
        s.shadow("i2");
        s.through_overlay(40, 1000);
        s.record.mounter_uid = 1000;
    });
}

#[test]
fn sensitive_layer_read_refused() {
    check("sensitive-layer-read-refused", false, |s| s.record.result = -13);
}

#[test]
fn sensitive_layer_read_by_the_gone() {
    check("sensitive-layer-read-gone", false, |s| {
        s.actor.gone = true;
        s.actor.process.exe = None;
        s.actor.process.cmdline = None;
        s.parts.findings.clear();
    });
}

#[test]
fn foreign_container_read() {
    check("foreign-container-read", false, |s| {
        s.in_container(&"ab".repeat(32));
        s.uid(0);
    });
}

#[test]
fn foreign_store_read() {
    check("foreign-store-read", false, |s| {
        s.store_owner(1001);
        s.second_finding(crate::model::Severity::Critical);
    });
}

#[test]
fn layer_content_read() {
    check("layer-content-read", false, |s| {
        s.ordinary("/storage/overlay/l1/diff/usr/bin/tool");
    });
}

#[test]
fn unknown_until_the_deadline() {
    check("unknown-layer", false, |s| {
        s.ordinary("/storage/overlay/l9/diff/a\u{1b}[31m");
        s.record.watch.ino = 4242;
    });
}

#[test]
fn image_configuration_read() {
    check("image-configuration-read", false, Scene::configuration);
}

#[test]
fn raw_device_read() {
    check("raw-device-read", false, Scene::device);
}

#[test]
fn sanctioned_access() {
    check("sanctioned-engine", true, |s| {
        s.uid(0);
        s.actor.process.exe_key = Some(key(900));
    });
}

#[test]
fn hostile_names_come_out_escaped() {
    use std::os::unix::ffi::OsStringExt;
    check("hostile-names", false, |s| {
        s.parts.images[0].names = vec!["registry.example/a\n\u{1b}[31m:1".to_owned()];
        let exe = std::ffi::OsString::from_vec(b"/tmp/\xff\xfe\x1b".to_vec());
        s.actor.process.exe = Some(exe.into());
        if let crate::model::Place::File { path, .. } = &mut s.parts.findings[0].finding.place {
            *path = b"etc/\xff\nkey".to_vec();
        }
        let gate = s.parts.findings[0]
            .exposure
            .as_mut()
            .unwrap()
            .opened_by
            .as_mut()
            .unwrap();
        gate.path = std::ffi::OsString::from_vec(b"/storage/\xff".to_vec()).into();
    });
}
