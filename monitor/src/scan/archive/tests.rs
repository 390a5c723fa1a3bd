//! Targets of every layout, made by hand, with a key that later layers delete, replace and re-permission.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

use serde_json::json;

use super::super::stream::tests::header;
use super::super::target::{Effect, TargetFinding, TargetScan};
use super::*;
use crate::model::{LayerId, Visibility};
use crate::scan::redact::FingerprintKey;
use crate::scan::rules::RuleSet;
use crate::scan::summary::SkipReason;

/// A token whose checksum is right.
const TOKEN: &str = concat!("gh", "p_Qm3Zt8LwRk1XvB6nHs0YpJc5DfGe2u3ebODB");

/// What the agent would make of the worker's answers.
fn scan(path: &Path) -> TargetScan {
    let scanner = Scanner::new(RuleSet::builtin().unwrap(), FingerprintKey::new([7; 32]));
    let mut scan = TargetScan::default();
    let summary = scan_target(&scanner, path, &mut |told| match told {
        Told::Shape(shape) => scan.shape = Some(shape),
        Told::Progress(progress) => scan.progress = progress,
        Told::Found {
            finding,
            layer,
            image,
        } => scan.findings.push(TargetFinding {
            finding: *finding,
            layer,
            image,
            shadows: Vec::new(),
        }),
        Told::Layer { layer, diff_id } => scan.shape.as_mut().unwrap().layers[layer as usize] = diff_id,
        Told::Shadow(shadow) => scan.findings[shadow.finding as usize]
            .shadows
            .push((shadow.layer, shadow.effect)),
    });
    scan.summary = Some(summary.unwrap());
    scan
}

/// A tar of these entries: name, mode, content.
fn tar(entries: &[(&str, u32, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, mode, content) in entries {
        let kind = if name.ends_with('/') { b'5' } else { b'0' };
        let size = content.len() as u64;
        bytes.extend(header(name.as_bytes(), kind, size, |block| {
            block[100..107].copy_from_slice(format!("{mode:07o}").as_bytes());
        }));
        bytes.extend(content.as_bytes());
        bytes.resize(bytes.len().next_multiple_of(512), 0);
    }
    bytes.extend([0; 1024]);
    bytes
}

fn bytes_tar(entries: &BTreeMap<String, Vec<u8>>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, content) in entries {
        bytes.extend(header(name.as_bytes(), b'0', content.len() as u64, |_| ()));
        bytes.extend(content);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
    }
    bytes.extend([0; 1024]);
    bytes
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn digest(content: &[u8]) -> String {
    hex(&Sha256::digest(content))
}

fn layers() -> [Vec<u8>; 3] {
    let env = format!("TOKEN={TOKEN}\n");
    let jar = crate::scan::stream::tests::member("conf/app.env", 8, 8, env.as_bytes());
    let mut lower = tar(&[
        ("kept.env", 0o644, &env),
        ("deleted.env", 0o644, &env),
        ("replaced.env", 0o644, &env),
        ("closed.env", 0o644, &env),
        ("opaque/a.env", 0o644, &env),
        ("/odd/../abs.env", 0o644, &env),
    ]);
    lower.truncate(lower.len() - 1024);
    lower.extend(header(b"app.jar", b'0', jar.len() as u64, |_| ()));
    lower.extend(&jar);
    lower.resize(lower.len().next_multiple_of(512), 0);
    lower.extend([0; 1024]);
    let middle = tar(&[
        (".wh.deleted.env", 0o644, ""),
        ("replaced.env", 0o644, "other\n"),
        ("closed.env", 0o600, &env),
        ("opaque/", 0o755, ""),
        ("opaque/.wh..wh..opq", 0o644, ""),
    ]);
    [lower, middle, tar(&[("etc/motd", 0o644, "hello\n")])]
}

fn config(layers: &[Vec<u8>]) -> Vec<u8> {
    let ids: Vec<String> = layers
        .iter()
        .map(|layer| format!("sha256:{}", digest(layer)))
        .collect();
    let config = json!({
        "config": {"Env": [format!("GITHUB_TOKEN={TOKEN}")]},
        "rootfs": {"type": "layers", "diff_ids": ids},
    });
    serde_json::to_vec(&config).unwrap()
}

fn docker() -> BTreeMap<String, Vec<u8>> {
    let layers = layers();
    let config = config(&layers);
    let name = format!("{}.json", digest(&config));
    let names: Vec<String> = layers
        .iter()
        .map(|layer| format!("{}.tar", digest(layer)))
        .collect();
    let manifest = json!([{"Config": name, "RepoTags": ["shop/api:1"], "Layers": names}]);
    let mut files: BTreeMap<String, Vec<u8>> = names.into_iter().zip(layers).collect();
    files.insert(name, config);
    files.insert("manifest.json".to_owned(), serde_json::to_vec(&manifest).unwrap());
    files
}

fn oci(pack: impl Fn(&[u8]) -> Vec<u8>) -> BTreeMap<String, Vec<u8>> {
    let layers = layers();
    let mut files = BTreeMap::new();
    let mut add = |content: Vec<u8>| {
        let digest = digest(&content);
        files.insert(format!("blobs/sha256/{digest}"), content);
        json!({"digest": format!("sha256:{digest}"), "annotations": {"org.opencontainers.image.ref.name": "shop/api:1"}})
    };
    let config = add(config(&layers));
    let layers: Vec<_> = layers.iter().map(|layer| add(pack(layer))).collect();
    let manifest = add(serde_json::to_vec(&json!({"config": config, "layers": layers})).unwrap());
    files.insert(
        "index.json".to_owned(),
        serde_json::to_vec(&json!({"manifests": [manifest]})).unwrap(),
    );
    files.insert(
        "oci-layout".to_owned(),
        b"{\"imageLayoutVersion\": \"1.0.0\"}".to_vec(),
    );
    files
}

fn write(directory: &Path, files: &BTreeMap<String, Vec<u8>>) {
    for (name, content) in files {
        let path = directory.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
}

type Parts = BTreeMap<String, Vec<u8>>;

/// The archive with something wrong in it.
fn changed(change: &dyn Fn(&mut Parts)) -> Parts {
    let mut files = docker();
    change(&mut files);
    files
}

/// Path, member and state in the one image of each finding.
fn states(scan: &TargetScan) -> Vec<(String, Visibility)> {
    let mut states: Vec<_> = scan
        .findings
        .iter()
        .map(|found| {
            let name = match &found.finding.place {
                crate::model::Place::File { path, member, .. } => {
                    let member = member
                        .as_ref()
                        .map(|member| format!("!/{}", String::from_utf8_lossy(member)));
                    format!("{}{}", String::from_utf8_lossy(path), member.unwrap_or_default())
                }
                crate::model::Place::ImageConfig { field, .. } => field.clone(),
            };
            let images = scan.images_of(found);
            assert_eq!(
                (images.len(), images[0].0.names.as_slice()),
                (1, &["shop/api:1".to_owned()][..])
            );
            (name, images[0].1.clone())
        })
        .collect();
    states.sort();
    states
}

#[test]
fn every_layout_gives_the_same_findings_with_their_fate() {
    let scene = tempfile::tempdir().unwrap();
    let at = |name: &str| scene.path().join(name);
    let file = |name: &str, content: &[u8]| -> PathBuf {
        std::fs::write(at(name), content).unwrap();
        at(name)
    };
    let archive = bytes_tar(&docker());
    let zstd = |layer: &[u8]| zstd::encode_all(layer, 3).unwrap();
    write(&at("layout"), &oci(gzip));
    let rows = [
        (file("docker.tar", &archive), Layout::DockerArchive),
        (file("docker.tar.gz", &gzip(&archive)), Layout::DockerArchive),
        (file("oci.tar", &bytes_tar(&oci(gzip))), Layout::OciArchive),
        (
            file("oci.tar.zst", &zstd(&bytes_tar(&oci(zstd)))),
            Layout::OciArchive,
        ),
        (at("layout"), Layout::OciLayout),
    ];
    let [lower, middle, upper] = layers().map(|layer| format!("sha256:{}", digest(&layer)));
    let by = LayerId::new(&middle);
    let visible = Visibility::Visible;
    let expected = [
        ("Env", visible.clone()),
        ("app.jar!/conf/app.env", visible.clone()),
        ("abs.env", visible.clone()),
        ("closed.env", Visibility::Repermissioned { by: by.clone() }),
        ("closed.env", visible.clone()),
        ("deleted.env", Visibility::Deleted { by: by.clone() }),
        ("kept.env", visible),
        ("opaque/a.env", Visibility::Deleted { by: by.clone() }),
        ("replaced.env", Visibility::Replaced { by }),
    ];
    let mut expected = expected.map(|(name, state)| (name.to_owned(), state));
    expected.sort();
    for (path, layout) in rows {
        let scan = scan(&path);
        let shape = scan.shape.as_ref().unwrap();
        assert_eq!(shape.layout, layout, "{}", path.display());
        // Read to their ends, in the order of the image.
        let read: Vec<&String> = shape.images[0]
            .layers
            .iter()
            .map(|l| &shape.layers[*l as usize])
            .collect();
        assert_eq!(read, [&lower, &middle, &upper], "{}", path.display());
        assert_eq!(states(&scan), expected, "{}", path.display());
        let summary = scan.summary.unwrap();
        let kinds: Vec<_> = summary.problems.iter().map(|problem| problem.kind).collect();
        assert_eq!(kinds, [ProblemKind::Name], "{}", path.display());
        assert_eq!((summary.members, summary.skipped[&SkipReason::Whiteout]), (1, 2));
    }
}

#[test]
fn a_blob_a_file_and_a_directory_are_targets_too() {
    let scene = tempfile::tempdir().unwrap();
    let [lower, ..] = layers();
    for (name, content, layout, found) in [
        ("layer.tar", lower.clone(), Layout::LayerBlob, 7),
        ("layer", gzip(&lower), Layout::LayerBlob, 7),
        (
            "layer.zst",
            zstd::encode_all(lower.as_slice(), 3).unwrap(),
            Layout::LayerBlob,
            7,
        ),
        (
            "plain.env",
            format!("TOKEN={TOKEN}\n").into_bytes(),
            Layout::File,
            1,
        ),
        (
            "plain.env.gz",
            gzip(format!("TOKEN={TOKEN}\n").as_bytes()),
            Layout::File,
            1,
        ),
        ("empty", Vec::new(), Layout::File, 0),
    ] {
        let path = scene.path().join(name);
        std::fs::write(&path, content).unwrap();
        let scan = scan(&path);
        assert_eq!(
            (scan.shape.unwrap().layout, scan.findings.len()),
            (layout, found),
            "{name}"
        );
    }
    let scan = scan(scene.path());
    // Archives in a directory are unpacked one level deep, so the jar in a layer's tar is not.
    assert_eq!(
        (scan.shape.unwrap().layout, scan.findings.len()),
        (Layout::Directory, 3 * 6 + 2)
    );
}

#[test]
fn what_an_image_lies_about_or_lacks_is_counted_and_the_rest_is_scanned() {
    let scene = tempfile::tempdir().unwrap();
    let check = |name: &str, files: BTreeMap<String, Vec<u8>>, problems: &[ProblemKind], layers: usize| {
        let path = scene.path().join(name);
        std::fs::write(&path, bytes_tar(&files)).unwrap();
        let scan = scan(&path);
        let kinds: Vec<_> = scan
            .summary
            .unwrap()
            .problems
            .iter()
            .map(|problem| problem.kind)
            .collect();
        assert_eq!(kinds, problems, "{name}");
        let read = scan.shape.unwrap().layers;
        let read = read.iter().filter(|id| id.starts_with("sha256:")).count();
        assert_eq!(read, layers, "{name}");
    };
    let [lower, middle, _] = layers().map(|layer| format!("{}.tar", digest(&layer)));
    let name = ProblemKind::Name;
    check("control", docker(), &[name], 3);
    let missing = changed(&|files| drop(files.remove(&middle)));
    check("missing layer", missing, &[name, ProblemKind::Missing], 3);
    let other = changed(&|files| drop(files.insert(middle.clone(), tar(&[("x", 0o644, "y")]))));
    check("another layer", other, &[name, ProblemKind::Digest], 3);
    let cut = changed(&|files| files.get_mut(&lower).unwrap().truncate(5000));
    check("cut layer", cut, &[ProblemKind::Archive], 3);
    let nonsense = changed(&|files| drop(files.insert(middle.clone(), b"no tar".to_vec())));
    check("no tar", nonsense, &[name, ProblemKind::Archive], 3);
    let blind = changed(&|files| drop(files.insert("manifest.json".to_owned(), b"[".to_vec())));
    check("no manifest", blind, &[ProblemKind::Archive], 0);
}

#[test]
fn a_later_copy_may_be_hidden_again() {
    let by = |layer: u32| LayerId::new(&layer.to_string());
    let found = |shadows: &[(u32, Effect)]| {
        let mut scan = TargetScan {
            shape: Some(Shape {
                layout: Layout::DockerArchive,
                layers: (0..4).map(|layer| layer.to_string()).collect(),
                images: [vec![0, 1, 2], vec![0, 3], vec![2, 1]]
                    .map(|layers| ImageShape {
                        names: Vec::new(),
                        id: String::new(),
                        layers,
                    })
                    .to_vec(),
            }),
            ..TargetScan::default()
        };
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), format!("TOKEN={TOKEN}\n")).unwrap();
        let mut finding = self::scan(file.path()).findings.remove(0);
        finding.layer = Some(0);
        finding.shadows = shadows.to_vec();
        scan.findings.push(finding);
        let images = scan.images_of(&scan.findings[0]);
        images.into_iter().map(|(_, state)| state).collect::<Vec<_>>()
    };
    for (shadows, first, second) in [
        (&[][..], Visibility::Visible, Visibility::Visible),
        (
            &[(1, Effect::Deletes)],
            Visibility::Deleted { by: by(1) },
            Visibility::Visible,
        ),
        (
            &[(1, Effect::Repermissions), (2, Effect::Deletes)],
            Visibility::Deleted { by: by(2) },
            Visibility::Visible,
        ),
        (
            &[(1, Effect::Repermissions), (3, Effect::Replaces)],
            Visibility::Repermissioned { by: by(1) },
            Visibility::Replaced { by: by(3) },
        ),
    ] {
        assert_eq!(found(shadows), [first, second], "{shadows:?}");
    }
}
