//! Test scenes: a frame, the process behind it and a small host, from "uid 1000 opens a layer's private key directly".
//!
//! Invariant: every scene starts complete and valid, so that a test states only what it changes. Used by the tests of
//! the event plane's stages.

use jiff::{SignedDuration, Timestamp};
use layerwatch_ebpf::{InodeKey, Record, WIRE_VERSION, flags, hooks, kinds};

use crate::attribute::attribute;
use crate::decode::{BootClock, decode};
use crate::judge;
use crate::knowledge::{
    AgentProcess, HostFacts, Knowledge, KnowledgeParts, KnownBlob, KnownConfig, KnownFinding, KnownVerdict,
};
use crate::model::{
    Access, Actor, Attribution, Category, Confidence, Container, Decision, DevIno, Digest, Driver, Engine,
    EngineSocket, Exposure, Finding, Fingerprint, Gate, Grade, Image, ImageId, KernelDev, Layer, LayerId,
    LayerKey, LayerState, Place, Process, Provenance, Reader, RuleId, Severity, Sighting, Store, StoreId,
    Verdict, Visibility,
};

/// The device of the store.
pub(crate) const DEVICE: u32 = 7;
/// When the machine booted.
pub(crate) const BOOT: &str = "2026-01-02T03:00:00Z";
/// When the access happened: an hour later.
pub(crate) const OPENED_NS: u64 = 3_600_000_000_000;

/// An inode on the store's device.
pub(crate) fn key(ino: u64) -> DevIno {
    DevIno {
        dev: KernelDev(DEVICE),
        ino,
    }
}

/// Seconds after the access.
pub(crate) fn after(seconds: i64) -> Timestamp {
    let opened = BOOT.parse::<Timestamp>().unwrap() + SignedDuration::from_secs(3600);
    opened + SignedDuration::from_secs(seconds)
}

pub(crate) fn boot() -> BootClock {
    BootClock {
        boot_time: BOOT.parse().unwrap(),
        boot_id: "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9".to_owned(),
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Scene {
    pub(crate) record: Record,
    pub(crate) actor: Actor,
    pub(crate) parts: KnowledgeParts,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let mut scene = Self {
            record: bytemuck::Zeroable::zeroed(),
            actor: shell(),
            parts: host(),
        };
        let record = &mut scene.record;
        (record.version, record.kind, record.hook) = (WIRE_VERSION, kinds::OPEN_FINDING, hooks::OPEN);
        (record.cpu, record.sequence, record.time_ns) = (3, 41, OPENED_NS);
        (record.tgid, record.tid, record.parent_tgid) = (4242, 4242, 4200);
        (record.process_start_ns, record.cgroup) = (3_599_000_000_000, 5000);
        (record.mode, record.generation) = (0o100_644, 99);
        (record.root_dev, record.mount_namespace) = (1, 10);
        (record.outer_fsuid, record.mounter_uid) = (u32::MAX, u32::MAX);
        record.loginuid = 1000;
        record.file = InodeKey::new(DEVICE, 100);
        record.watch = record.file;
        record.comm[..3].copy_from_slice(b"cat");
        scene.path("/storage/overlay/l1/diff/etc/key.pem");
        scene.uid(1000);
        scene
    }

    /// All ids of the process.
    pub(crate) fn uid(&mut self, uid: u32) {
        for set in [&mut self.record.real, &mut self.record.effective] {
            (set.uid, set.euid, set.fsuid) = (uid, uid, uid);
            (set.gid, set.egid, set.fsgid) = (uid, uid, uid);
            set.user_namespace = 4_026_531_837;
        }
    }

    /// The path inside the file system, `/a/b`.
    pub(crate) fn path(&mut self, path: &str) {
        self.record.path.fill(0);
        let mut at = 0;
        for component in path.split('/').rev().filter(|one| !one.is_empty()) {
            self.record.path[at..at + component.len()].copy_from_slice(component.as_bytes());
            at += component.len() + 1;
        }
        self.record.path_length = u16::try_from(at).unwrap();
    }

    /// Reached as the backing file of the overlay on `device`, which uid 0 mounted.
    pub(crate) fn through_overlay(&mut self, device: u32, uid: u32) {
        self.record.flags |= flags::BACKING | flags::OUTER_CARRIED;
        self.record.outer_dev = device;
        (self.record.outer_fsuid, self.record.mounter_uid) = (uid, 0);
        let user = self.record.real;
        self.uid(0);
        self.record.real = user;
    }

    /// The same, and that overlay is the process's root, mounted by `mounter`.
    pub(crate) fn through_own_root(&mut self, mounter: u32) {
        self.through_overlay(40, self.record.real.fsuid);
        (self.record.root_dev, self.record.mounter_uid) = (40, mounter);
    }

    pub(crate) fn host_root_on_that_overlay(&mut self) {
        self.parts.host.root_device = Some(KernelDev(40));
    }

    pub(crate) fn in_container(&mut self, id: &str) {
        self.actor.cgroup = Some(format!("/system.slice/docker-{id}.scope"));
        self.actor.container = Some(Container {
            id: id.to_owned(),
            runtime: "docker".to_owned(),
            pod: None,
        });
    }

    pub(crate) fn incomplete(&mut self) {
        self.record.flags |= flags::INCOMPLETE;
    }

    /// The disk under the store is opened instead.
    pub(crate) fn device(&mut self) {
        self.record.kind = kinds::OPEN_DEVICE;
        self.record.mode = 0o060_660;
        self.record.file = InodeKey::new(6, 321);
        self.record.watch = self.record.file;
        self.path("/vda");
    }

    /// The engine's socket is connected to instead.
    pub(crate) fn connects(&mut self) {
        (self.record.kind, self.record.hook) = (kinds::CONNECT, hooks::CONNECT);
        self.record.mode = 0o140_660;
        self.record.file = InodeKey::new(DEVICE, 950);
        self.record.watch = self.record.file;
        self.path("/docker.sock");
    }

    /// The process is the engine, as root.
    pub(crate) fn engine(&mut self, exe: &str) {
        self.uid(0);
        self.actor.process.exe = Some(exe.into());
        self.actor.process.exe_key = Some(key(900));
    }

    /// The file is the first image's configuration, with a finding in it.
    pub(crate) fn configuration(&mut self) {
        let image = self.parts.images[0].clone();
        let mut finding = self.parts.findings.remove(0);
        finding.finding.place = Place::ImageConfig {
            store: image.store.clone(),
            image: image.id.clone(),
            field: "Env".to_owned(),
            name: "TOKEN".to_owned(),
        };
        self.parts.configs.push(KnownConfig {
            key: key(100),
            store: image.store,
            image: image.id,
            findings: vec![finding.finding],
            exposure: finding.exposure,
        });
        self.path("/storage/overlay-images/i1/=config");
    }

    /// The file is the blob of the finding's layer.
    pub(crate) fn blob(&mut self) {
        self.parts.blobs.push(KnownBlob {
            key: key(300),
            layer: self.parts.layers[0].key.clone(),
            exposure: None,
        });
        self.record.file = InodeKey::new(DEVICE, 300);
        self.record.watch = self.record.file;
        self.path("/storage/blobs/sha256/b1");
    }

    pub(crate) fn reused(&mut self) {
        self.record.flags |= flags::GENERATION_DIFFERS;
        self.record.generation += 1;
    }

    /// What was found, found again in the file that has the numbers now.
    pub(crate) fn found_again(&mut self) {
        for known in &mut self.parts.findings {
            if let Place::File { generation, .. } = &mut known.finding.place {
                *generation = self.record.generation;
            }
        }
    }

    pub(crate) fn built_after(&mut self) {
        self.parts.built = after(1);
    }

    /// Ordinary content of the first layer, seen below its directory.
    pub(crate) fn ordinary(&mut self, path: &str) {
        self.record.kind = kinds::OPEN_CONTENT;
        self.record.flags |= flags::BY_DIRECTORY;
        self.record.file = InodeKey::new(DEVICE, 300);
        self.record.watch = InodeKey::new(DEVICE, 11);
        self.path(path);
    }

    /// Seen below the store's root only.
    pub(crate) fn watch_store(&mut self) {
        self.record.flags |= flags::BY_DIRECTORY;
        self.record.watch = InodeKey::new(DEVICE, 1);
    }

    pub(crate) fn store_owner(&mut self, uid: u32) {
        self.parts.stores[0].owner_uid = uid;
    }

    pub(crate) fn ancestor(&mut self, pid: u32, exe_key: Option<DevIno>) {
        self.actor.ancestors.push(Process {
            pid,
            exe_key,
            ..Process::default()
        });
    }

    /// A later layer of `image` deleted the file of the first finding.
    pub(crate) fn shadow(&mut self, image: &str) {
        let by = LayerId::new("l2");
        let state = (ImageId::new(image), Visibility::Deleted { by });
        self.parts.findings[0].visibility.push(state);
    }

    /// A second finding in the same file.
    pub(crate) fn second_finding(&mut self, severity: Severity) {
        let mut known = self.parts.findings[0].clone();
        known.finding.rule = RuleId::new("test-second");
        known.finding.severity = severity;
        self.parts.findings.push(known);
    }

    pub(crate) fn frame(&self) -> Vec<u8> {
        bytemuck::bytes_of(&self.record).to_vec()
    }

    pub(crate) fn access(&self) -> Access {
        decode(&self.frame(), &boot()).unwrap()
    }

    pub(crate) fn knowledge(&self) -> Knowledge {
        self.parts.clone().into()
    }

    pub(crate) fn sighting(&self) -> Sighting {
        let (access, actor) = (self.access(), self.actor.clone());
        let subject = judge::subject(&access, &actor, None, &self.parts.host);
        Sighting {
            access,
            actor,
            subject,
        }
    }

    pub(crate) fn judged(&self) -> (Sighting, Option<Attribution>, Knowledge) {
        let knowledge = self.knowledge();
        (
            self.sighting(),
            attribute(&self.access(), &knowledge).ok(),
            knowledge,
        )
    }
}

fn shell() -> Actor {
    Actor {
        process: Process {
            pid: 4242,
            exe: Some("/usr/bin/cat".into()),
            exe_key: Some(key(800)),
            cmdline: Some("cat /storage/overlay/l1/diff/etc/key.pem".to_owned()),
            comm: "cat".to_owned(),
        },
        ancestors: vec![Process {
            pid: 4200,
            exe: Some("/usr/bin/bash".into()),
            exe_key: Some(key(801)),
            cmdline: Some("-bash".to_owned()),
            comm: "bash".to_owned(),
        }],
        cgroup: Some("/user.slice/user-1000.slice/session-1.scope".to_owned()),
        container: None,
        gone: false,
    }
}

/// A rootful store with a finding in its first layer, which two images share; the engine's inode is 900, the agent is
/// process 77 with inode 901.
fn host() -> KnowledgeParts {
    let store = StoreId::new("overlay@/storage");
    KnowledgeParts {
        generation: 1,
        built: after(-60),
        host: HostFacts {
            root_device: Some(KernelDev(1)),
            mount_namespace: Some(10),
            agent: Some(AgentProcess {
                pid: 77,
                exe: key(901),
            }),
        },
        stores: vec![Store {
            id: store.clone(),
            engine: Engine::ContainersStorage,
            driver: Driver::Overlay,
            namespace: None,
            unlisted: 0,
            leftovers: crate::model::Leftovers::default(),
            root: "/storage".into(),
            root_key: key(1),
            owner_uid: 0,
            filesystem: "ext4".to_owned(),
            index_directories: vec![("/storage/overlay-images".into(), key(2))],
            layer_directories: vec![("/storage/overlay".into(), key(3))],
        }],
        layers: vec![layer(&store, "l1", 11), layer(&store, "l2", 12)],
        images: vec![image(&store, "i1", &["l1", "l2"]), image(&store, "i2", &["l1"])],
        scanned: vec![layer_key(&store, "l1"), layer_key(&store, "l2")],
        findings: vec![private_key(&store)],
        configs: Vec::new(),
        blobs: Vec::new(),
        verdicts: vec![
            verdict(&store, "i1", Provenance::Unattested),
            verdict(&store, "i2", Provenance::Verified),
        ],
        raw_devices: Vec::new(),
        engine_sockets: vec![EngineSocket {
            key: key(950),
            path: "/run/docker.sock".into(),
            owner_uid: 0,
        }],
        engine_executables: vec![key(900)],
    }
}

fn layer_key(store: &StoreId, layer: &str) -> LayerKey {
    LayerKey {
        store: store.clone(),
        layer: LayerId::new(layer),
    }
}

fn layer(store: &StoreId, id: &str, ino: u64) -> Layer {
    Layer {
        key: layer_key(store, id),
        diff_id: Digest::parse(&format!("sha256:{}", "1".repeat(64))).ok(),
        blob_digest: None,
        toc_digest: None,
        parent: None,
        content: format!("/storage/overlay/{id}/diff").into(),
        content_key: Some(key(ino)),
        size_bytes: None,
        created: None,
        state: LayerState::Image,
        build_cache: None,
        device: None,
    }
}

fn image(store: &StoreId, id: &str, layers: &[&str]) -> Image {
    Image {
        store: store.clone(),
        id: ImageId::new(id),
        digest: Digest::parse(&format!("sha256:{}", "2".repeat(64))).ok(),
        digests: Vec::new(),
        names: vec![format!("registry.example/{id}:1")],
        names_history: Vec::new(),
        layers: layers.iter().map(|layer| LayerId::new(layer)).collect(),
        mapped_layers: Vec::new(),
        created: None,
        config: None,
    }
}

fn verdict(store: &StoreId, image: &str, provenance: Provenance) -> KnownVerdict {
    KnownVerdict {
        store: store.clone(),
        image: ImageId::new(image),
        verdict: Verdict {
            name: Some(format!("registry.example/{image}:1")),
            provenance,
            quality: Grade::Unknown,
            decision: Decision::Accepted,
            reasons: Vec::new(),
        },
    }
}

fn private_key(store: &StoreId) -> KnownFinding {
    KnownFinding {
        finding: Finding {
            rule: RuleId::new("private-key-openssh"),
            title: "OpenSSH private key".to_owned(),
            category: Category::PrivateKey,
            severity: Severity::High,
            lowered: Vec::new(),
            confidence: Confidence::High,
            place: Place::File {
                layer: Some(layer_key(store, "l1")),
                path: b"etc/key.pem".to_vec(),
                member: None,
                line: Some(1),
                key: key(100),
                generation: 99,
            },
            fingerprint: Fingerprint("00112233445566778899aabb".to_owned()),
            excerpt: "-----BEGIN OPENSSH PRIVATE KEY-----".to_owned(),
        },
        visibility: Vec::new(),
        exposure: Some(Exposure {
            readers: vec![Reader::World],
            closed_by: None,
            opened_by: Some(Gate {
                path: "/storage".into(),
                mode: 0o755,
                uid: 0,
                gid: 0,
            }),
            remedy: Some("chmod 0700 /storage".to_owned()),
            uncertain: Vec::new(),
            ..Exposure::default()
        }),
    }
}
