//! The JSON contract: one stored object per kind of record, compared whole, and docs/schema.md compared with their keys.
//!
//! Invariant: the stored objects change only by `UPDATE_DOCS=1`, and with them the reviewer sees each changed key.

use std::collections::BTreeSet;
use std::path::PathBuf;

use layerwatch::model::{
    AccessReport, Alert, AlertKind, ArrivalKind, AskedReport, Bypass, Category, Cause, Confidence,
    ContainerReport, Digest, Engine, ExposedReport, Exposure, FindingReport, Fingerprint, Gate, Grade,
    ImageId, ImageReport, LayerId, LayerReport, LayerState, Means, Operation, ProcessReport, Provenance,
    PullReport, Reader, Record, RecordKind, RuleId, Sanction, Severity, StateReport, StoreId, SubjectReport,
    TrustReport, Via,
};
use layerwatch_tests::root;
use serde_json::Value;

fn digest(fill: &str) -> Digest {
    Digest::parse(&format!("sha256:{}", fill.repeat(32))).unwrap()
}

fn image() -> ImageReport {
    ImageReport {
        name: Some("registry.example/shop/api:1.4".to_owned()),
        id: ImageId::new(&"1d".repeat(32)),
        digest: Some(digest("ab")),
    }
}

fn layer() -> LayerReport {
    LayerReport {
        engine: Engine::ContainersStorage,
        store: StoreId::new("overlay@/var/lib/containers/storage"),
        id: LayerId::new(&"c0".repeat(32)),
        diff_id: Some(digest("c0")),
        state: LayerState::Image,
    }
}

fn process() -> ProcessReport {
    ProcessReport {
        pid: 4711,
        comm: "cat".to_owned(),
        exe: Some("/usr/bin/cat".to_owned()),
        cmdline: Some("cat id_ed25519".to_owned()),
        ancestors: vec!["/usr/bin/bash".to_owned(), "/usr/sbin/sshd".to_owned()],
    }
}

fn subject() -> SubjectReport {
    SubjectReport {
        uid: 65534,
        user: Some("nobody".to_owned()),
        loginuid: Some(1000),
    }
}

fn trust() -> TrustReport {
    TrustReport {
        provenance: Provenance::Unattested,
        quality: Grade::Unknown,
    }
}

fn exposure() -> Exposure {
    let gate = |path: &str, mode| Gate {
        path: path.into(),
        mode,
        uid: 0,
        gid: 0,
    };
    Exposure {
        readers: vec![
            Reader::World,
            Reader::Group { gid: 100 },
            Reader::User { uid: 1000 },
        ],
        closed_by: Some(gate("/var/lib/containers/storage/overlay-images", 0o700)),
        opened_by: Some(gate("/var/lib/containers/storage", 0o755)),
        remedy: Some("chmod 0700 /var/lib/containers/storage".to_owned()),
        uncertain: vec!["/mnt: permission denied".to_owned()],
        excepted: vec![Reader::Group { gid: 0 }],
        bypasses: vec![Bypass {
            reader: Reader::Group { gid: 6 },
            by: Means::Device,
            via: "/dev/vda".to_owned(),
            root_equivalent: true,
        }],
        exposed_to: vec![Reader::World],
        cause: Some(Cause {
            cve: Some("CVE-2021-41091".to_owned()),
            text: "Docker 20.10.3 to 20.10.8 made its directories so.".to_owned(),
        }),
        security_modules: vec!["selinux".to_owned()],
    }
}

/// A read with every optional part there.
fn read(kind: AlertKind) -> Alert {
    let directory = "/containers/storage/overlay/c0/diff";
    Alert {
        alert: kind,
        id: "5e6f-2-991".to_owned(),
        severity: Severity::Critical,
        time: "2026-03-04T05:06:07.089Z".parse().unwrap(),
        subject: subject(),
        process: process(),
        container: None,
        access: AccessReport {
            operation: Operation::Open,
            via: Via::Direct,
            path: format!("{directory}/root/.ssh/id_ed25519"),
            path_in_layer: Some("root/.ssh/id_ed25519".to_owned()),
            allowed: true,
        },
        layer: Some(layer()),
        images: vec![image()],
        finding: Some(FindingReport {
            rule: RuleId::new("private-key-openssh"),
            title: "OpenSSH private key".to_owned(),
            category: Category::PrivateKey,
            severity: Severity::Critical,
            confidence: Confidence::High,
            fingerprint: Fingerprint("0f".repeat(12)),
            line: Some(1),
            shadowed: true,
        }),
        exposure: Some(exposure()),
        trust: trust(),
        sanction: None,
        count: 3,
        why: "Any user of this host can log in wherever the key is accepted.".to_owned(),
        remedy: "Replace the key, rebuild the image without it, close the store.".to_owned(),
    }
}

fn container() -> ContainerReport {
    ContainerReport {
        id: "9a".repeat(32),
        runtime: "cri-o".to_owned(),
        pod: Some("2c5ea4c0-4067-11e9-8bad-9b1deb4d3b7d".to_owned()),
    }
}

fn state(alert: AlertKind, detail: &str) -> RecordKind {
    let time = "2026-03-04T05:06:07Z".parse().unwrap();
    RecordKind::State(StateReport {
        time,
        alert,
        active: true,
        detail: detail.to_owned(),
        exposed: None,
    })
}

fn exposed(kind: AlertKind) -> RecordKind {
    let report = ExposedReport {
        store: StoreId::new("overlay@/var/lib/containers/storage"),
        engine: Engine::ContainersStorage,
        component: "/var/lib/containers/storage".into(),
        exposed_to: vec![Reader::World],
        findings: 2,
        severity: Severity::Critical,
        images: vec!["registry.example/shop/api:1.4".to_owned()],
        cve: Some("CVE-2021-41091".to_owned()),
        cause: Some("Docker 20.10.3 to 20.10.8 made its directories so.".to_owned()),
        remedy: Some("chmod 700 /var/lib/containers/storage".to_owned()),
        security_modules: vec!["selinux".to_owned()],
    };
    RecordKind::State(StateReport {
        time: "2026-03-04T05:06:07Z".parse().unwrap(),
        alert: kind,
        active: true,
        detail: report.sentence(),
        exposed: Some(report),
    })
}

fn of_kind(kind: AlertKind) -> RecordKind {
    match kind {
        AlertKind::SensitiveLayerRead | AlertKind::ForeignStoreRead | AlertKind::CacheApiAccess => {
            RecordKind::Alert(read(kind))
        }
        AlertKind::ForeignContainerRead => RecordKind::Alert(Alert {
            container: Some(container()),
            ..read(kind)
        }),
        AlertKind::LayerContentRead | AlertKind::RawDeviceRead => RecordKind::Alert(Alert {
            severity: Severity::Low,
            finding: None,
            exposure: None,
            layer: None,
            images: Vec::new(),
            ..read(kind)
        }),
        AlertKind::SensitiveLayerExposed => exposed(kind),
        AlertKind::MonitorBlind => state(kind, "hook fexit-file-open does not fire"),
        AlertKind::EventsLost => state(kind, "17 events lost: ring-full"),
        AlertKind::CoverageGap => state(kind, "12 inodes do not fit the kernel's maps and are not watched"),
    }
}

fn pull() -> PullReport {
    PullReport {
        time: "2026-03-04T05:06:07Z".parse().unwrap(),
        arrival: ArrivalKind::Unknown,
        store: StoreId::new("overlay@/var/lib/containers/storage"),
        image: Some(image()),
        names: vec![
            "registry.example/shop/api:1.4".to_owned(),
            "registry.example/shop/api:latest".to_owned(),
        ],
        layers: vec![layer()],
        new_layers: 1,
        new_bytes: Some(3584),
        registry: Some("registry.example".to_owned()),
        took_ms: Some(412),
        process: Some(process()),
        subject: Some(subject()),
        container: Some(container()),
        asked_by: Some(AskedReport {
            socket: "/run/docker.sock".to_owned(),
            process: process(),
            subject: subject(),
            container: None,
            others: 0,
        }),
        trust: trust(),
    }
}

/// Each stored file and what must be in it.
fn goldens() -> Vec<(String, Record)> {
    let mut goldens: Vec<(String, RecordKind)> = AlertKind::ALL
        .iter()
        .map(|kind| (kebab(kind.as_str()), of_kind(*kind)))
        .collect();
    let own = Alert {
        sanction: Some(Sanction::OwnRootFileSystem),
        container: Some(container()),
        ..read(AlertKind::ForeignContainerRead)
    };
    goldens.push(("access".to_owned(), RecordKind::Access(own)));
    goldens.push(("pull".to_owned(), RecordKind::Pull(pull())));
    goldens
        .into_iter()
        .map(|(name, body)| (name, Record::new(body)))
        .collect()
}

fn kebab(name: &str) -> String {
    let mut text = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !text.is_empty() {
            text.push('-');
        }
        text.push(c.to_ascii_lowercase());
    }
    text
}

fn path(name: &str) -> PathBuf {
    root()
        .join("tests/fixtures/records")
        .join(name)
        .with_extension("json")
}

fn stored(name: &str) -> Value {
    let file = std::fs::File::open(path(name)).unwrap();
    serde_json::from_reader(file).unwrap()
}

#[test]
fn each_kind_of_record_is_what_is_stored() {
    for (name, record) in goldens() {
        let made = serde_json::to_value(&record).unwrap();
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path(&name), serde_json::to_string_pretty(&record).unwrap() + "\n").unwrap();
        }
        assert_eq!(
            made,
            stored(&name),
            "{name}: UPDATE_DOCS=1 writes it anew; think of schema_version"
        );
        let back: Record = serde_json::from_value(made).unwrap();
        assert_eq!(back, record, "{name} does not come back as it was");
    }
}

#[test]
fn nothing_else_is_stored() {
    let names: BTreeSet<String> = goldens().into_iter().map(|(name, _)| name + ".json").collect();
    let files = std::fs::read_dir(root().join("tests/fixtures/records")).unwrap();
    let files: BTreeSet<String> = files
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(files, names);
}

/// `a.b[].c` for each key; a key below an object or in each element of a list.
fn keys(value: &Value, prefix: &str, into: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                let place = if prefix.is_empty() {
                    key.clone()
                } else {
                    format!("{prefix}.{key}")
                };
                into.insert(place.clone());
                keys(value, &place, into);
            }
        }
        Value::Array(values) => {
            for value in values {
                keys(value, &format!("{prefix}[]"), into);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn the_schema_lists_the_stored_keys_and_no_others() {
    let mut in_records = BTreeSet::new();
    for (name, _) in goldens() {
        keys(&stored(&name), "", &mut in_records);
    }
    let text = std::fs::File::open(root().join("docs/schema.md"))
        .map(std::io::read_to_string)
        .unwrap()
        .unwrap();
    let first_cells = text.lines().filter_map(|line| line.strip_prefix("| `"));
    let in_schema: BTreeSet<String> = first_cells
        .filter_map(|rest| Some(rest.split_once('`')?.0.to_owned()))
        .collect();
    assert_eq!(in_schema, in_records);
}
