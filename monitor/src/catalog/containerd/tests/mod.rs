//! The reader against the databases of a real containerd, whole and damaged.

mod buildkit;
mod damage;
mod recorded;
mod subvolumes;

use std::path::{Path, PathBuf};

use crate::catalog::bolt::tests::recorded as meta_db;
use crate::catalog::bolt::tests::writer::{bucket, bytes, file};
use crate::catalog::{Catalog, Host, read};

const OVERLAYFS: &[u8] = include_bytes!("../../../../../tests/fixtures/fuzz/bolt/overlayfs.db");

const META: &str = "io.containerd.metadata.v1.bolt/meta.db";
const SNAPSHOTTER: &str = "io.containerd.snapshotter.v1.";
const CONTENT: &str = "io.containerd.content.v1.content/blobs/sha256";

const BASE: &str = "e6972cbde143ebe8fdc32c7c46bcdbccd4adac43e9a21c8e50a6044a5f80b0e0";
const TOP: &str = "c2539e4e3fe7a794c9155210b8fa4316c6865064d4575468e3fffebf9a906113";
const TOP_DIFF: &str = "8165a4d168a4b92391f60436c910f50a614c1aeb4989536e4e731a821181553e";
const BLOBS: [&str; 2] = [
    "77240b5c3d3707bc1461fc34516819c680d895500b6da099d6a45345579d1263",
    "5592f7d3295187ded39e776d16867eb86be97d716ca938511bf7f8e0fb15de9f",
];
const CONFIG: &str = "980207d75f832cafd7da9df4b2819a1f68d96d6bb1c1d186555bffe33200e603";
/// The manifests of both namespaces.
const MANIFESTS: [&str; 2] = [
    "f7488b861d65cac75350e84d1dbb0d4421201478f909dc8d765dcb4ca05aac7b",
    "46f05e2abba39a7b63ae4ea085ee71fb3e2849ad279a2890d9a6e5b1426544fb",
];

/// A host whose root `/c` has the recorded databases and what they speak of: an image of two layers that namespace
/// `default` pulled, and that `k8s.io` has from an archive, unpacked for overlayfs and for native.
fn host() -> (tempfile::TempDir, Host) {
    let directory = tempfile::tempdir().unwrap();
    let host = Host::new(directory.path());
    put(&host, META, &meta_db());
    put(&host, &format!("{SNAPSHOTTER}overlayfs/metadata.db"), OVERLAYFS);
    put(&host, &format!("{SNAPSHOTTER}native/metadata.db"), &native());
    for number in 1..5 {
        make(&host, &format!("{SNAPSHOTTER}overlayfs/snapshots/{number}/fs"));
        make(&host, &format!("{SNAPSHOTTER}native/snapshots/{number}"));
    }
    let digest = |hex: &str| serde_json::json!({"digest": format!("sha256:{hex}")});
    let manifest = serde_json::json!({"config": digest(CONFIG), "layers": BLOBS.map(digest)});
    for name in MANIFESTS {
        put(
            &host,
            &format!("{CONTENT}/{name}"),
            manifest.to_string().as_bytes(),
        );
    }
    let diff_ids = [BASE, TOP_DIFF].map(|hex| format!("sha256:{hex}"));
    let config = serde_json::json!({"created": "2026-11-23T06:50:00Z", "rootfs": {"diff_ids": diff_ids}});
    put(
        &host,
        &format!("{CONTENT}/{CONFIG}"),
        config.to_string().as_bytes(),
    );
    for blob in BLOBS {
        put(&host, &format!("{CONTENT}/{blob}"), b"packed");
    }
    (directory, host)
}

/// The database of the snapshotter native, which was not recorded.
fn native() -> Vec<u8> {
    let snapshot = |number: u8| {
        vec![
            bytes("id", &[number]),
            bytes("kind", &[3]),
            bytes("size", &[0x80, 0x80, 0x02]),
        ]
    };
    let snapshots = vec![
        bucket(&format!("k8s.io/2/sha256:{BASE}"), snapshot(1)),
        bucket(&format!("k8s.io/4/sha256:{TOP}"), snapshot(2)),
    ];
    file(vec![bucket("v1", vec![bucket("snapshots", snapshots)])])
}

fn path(host: &Host, name: &str) -> PathBuf {
    host.path(Path::new("/c").join(name))
}

fn put(host: &Host, name: &str, content: &[u8]) {
    let path = path(host, name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}

fn make(host: &Host, name: &str) {
    std::fs::create_dir_all(path(host, name)).unwrap();
}

fn read_c(host: &Host) -> Catalog {
    read(host, &[PathBuf::from("/c")])
}

fn short(id: &str) -> &str {
    id.get(..4).unwrap_or(id)
}

/// A catalog in short: one line for each store, layer, image and problem, with ids cut.
fn outline(catalog: &Catalog) -> Vec<String> {
    let stores = catalog.stores.iter().map(|store| {
        format!(
            "{} {:?} {}",
            store.id,
            store.namespace.as_deref().unwrap_or("-"),
            store.unlisted
        )
    });
    let layers = catalog.layers.values().map(|layer| {
        let hex = |digest: Option<&crate::model::Digest>| {
            digest.map_or("-".to_owned(), |digest| short(digest.hex()).to_owned())
        };
        let root = &catalog.store(&layer.key.store).unwrap().root;
        let content: Vec<&str> = layer
            .content
            .strip_prefix(root)
            .unwrap()
            .iter()
            .skip(1)
            .filter_map(|part| Some(part.to_str()?.get(..8).unwrap_or(part.to_str()?)))
            .collect();
        format!(
            "{:?} {} {} on {} in {} diff {} blob {} size {:?}",
            layer.state,
            layer.key.store.as_str().replace("@/c#", " "),
            short(layer.key.layer.as_str()),
            layer.parent.as_ref().map_or("-", |parent| short(parent.as_str())),
            content.join("/"),
            hex(layer.diff_id.as_ref()),
            hex(layer.blob_digest.as_ref()),
            layer.size_bytes,
        )
    });
    let images = catalog.images.iter().map(|image| {
        let chain: Vec<_> = image.layers.iter().map(|id| short(id.as_str())).collect();
        format!(
            "{} {} {} {}",
            image.store.as_str().replace("@/c#", " "),
            short(image.id.as_str()),
            image.names.join(" "),
            chain.join(">")
        )
    });
    let lines = stores.chain(layers).chain(images);
    lines.chain(problems(catalog)).collect()
}

/// The problems in short: kind, file below the root, cause.
fn problems(catalog: &Catalog) -> Vec<String> {
    let root = catalog
        .stores
        .first()
        .map_or("/c", |store| store.root.to_str().unwrap());
    let line = |problem: &crate::catalog::Problem| {
        let file = problem.file.replace(&format!("{root}/"), "");
        let cause = problem.cause.replace(root, "/c");
        format!("{} {file}: {cause}", problem.kind.as_str())
    };
    catalog.problems.iter().map(line).collect()
}
