//! The reader against a store that a real daemon made, whole and damaged.

mod builds;
mod damage;
mod devices;
mod recorded;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::catalog::{Catalog, Host, read};
use crate::model::LayerId;

const RECORDED: &str = include_str!("../../../../../tests/fixtures/docker/store.json");

/// Metadata and directories of a store of Docker 20.10.24: an image of three layers that was pulled and got a second
/// name, one that BuildKit built, and a container; the tar-split files are left out.
#[derive(Deserialize)]
struct Recorded {
    files: BTreeMap<String, String>,
    directories: Vec<String>,
}

/// A host whose data root `/d` is the recorded one.
fn host() -> (tempfile::TempDir, Host) {
    lay(&serde_json::from_str(RECORDED).unwrap())
}

/// Lays what was recorded below the data root of a host.
fn lay(recorded: &Recorded) -> (tempfile::TempDir, Host) {
    let directory = tempfile::tempdir().unwrap();
    let host = Host::new(directory.path());
    for (name, content) in &recorded.files {
        put(&host, name, content.as_bytes());
    }
    for name in &recorded.directories {
        std::fs::create_dir_all(path(&host, name)).unwrap();
    }
    (directory, host)
}

fn path(host: &Host, name: &str) -> PathBuf {
    host.path(Path::new("/d").join(name))
}

fn put(host: &Host, name: &str, content: &[u8]) {
    let path = path(host, name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}

fn read_d(host: &Host) -> Catalog {
    read(host, &[PathBuf::from("/d")])
}

fn short(id: &str) -> &str {
    id.get(..4).unwrap_or(id)
}

/// A catalog in short: one line for each layer, image and problem, with ids cut.
fn outline(catalog: &Catalog) -> Vec<String> {
    let layers = catalog.layers.values().map(|layer| {
        let id = |id: &LayerId| {
            format!(
                "{}{}",
                short(id.as_str()),
                if id.as_str().ends_with("-init") {
                    "-init"
                } else {
                    ""
                }
            )
        };
        let parent = layer.parent.as_ref().map_or("-".to_owned(), id);
        let held = layer
            .content
            .parent()
            .unwrap()
            .file_name()
            .unwrap()
            .to_str()
            .unwrap();
        let diff = layer.diff_id.as_ref().map_or("-", |diff| short(diff.hex()));
        let blob = layer.blob_digest.as_ref().map_or("-", |blob| short(blob.hex()));
        let size = layer.size_bytes.map_or("-".to_owned(), |size| size.to_string());
        format!(
            "{:?} {} on {parent} in {} diff {diff} blob {blob} size {size}",
            layer.state,
            id(&layer.key.layer),
            short(held),
        )
    });
    let images = catalog.images.iter().map(|image| {
        let chain: Vec<_> = image.layers.iter().map(|id| short(id.as_str())).collect();
        format!(
            "{} {} {}",
            short(image.id.as_str()),
            image.names.join(" "),
            chain.join(">")
        )
    });
    layers.chain(images).chain(problems(catalog)).collect()
}

/// The problems in short: kind, file below the data root, cause.
fn problems(catalog: &Catalog) -> Vec<String> {
    let root = catalog.stores[0].root.to_str().unwrap();
    let line = |problem: &crate::catalog::Problem| {
        let file = problem.file.replace(root, "/d").replace("/d/image/overlay2/", "");
        let part = |part| {
            if usize::min(str::len(part), 64) == 64 {
                short(part)
            } else {
                part
            }
        };
        let file: Vec<_> = file.split('/').map(part).collect();
        let cause = problem.cause.replace(root, "/d");
        format!("{} {}: {cause}", problem.kind.as_str(), file.join("/"))
    };
    catalog.problems.iter().map(line).collect()
}
