//! A store of copies with three layers: which layer a file is of, and what became of it.

use std::path::PathBuf;

use super::*;
use crate::catalog::{Host, read};

/// A store of layers `a`, `b` on it and `c` on that, each with a tree of its own; a `~` in a name is the layer.
fn store(files: &[&str]) -> (tempfile::TempDir, Catalog) {
    let directory = tempfile::tempdir().unwrap();
    let host = Host::new(directory.path());
    for layer in ["a", "b", "c"] {
        std::fs::create_dir_all(host.path(format!("/s/vfs/dir/{layer}/etc"))).unwrap();
    }
    for file in files {
        let (name, content) = file.split_once('=').unwrap();
        let path = host.path(format!("/s/vfs/dir/{name}"));
        if let Some(target) = content.strip_prefix("->") {
            std::os::unix::fs::symlink(target, path).unwrap();
            continue;
        }
        std::fs::write(&path, content).unwrap();
        let time = std::fs::FileTimes::new().set_modified(std::time::UNIX_EPOCH);
        std::fs::File::options()
            .write(true)
            .open(path)
            .unwrap()
            .set_times(time)
            .unwrap();
    }
    std::fs::create_dir_all(host.path("/s/vfs-layers")).unwrap();
    std::fs::create_dir_all(host.path("/s/vfs-images")).unwrap();
    let layers = r#"[{"id":"a"},{"id":"b","parent":"a"},{"id":"c","parent":"b"}]"#;
    std::fs::write(host.path("/s/vfs-layers/layers.json"), layers).unwrap();
    std::fs::write(
        host.path("/s/vfs-images/images.json"),
        r#"[{"id":"1","layer":"c"}]"#,
    )
    .unwrap();
    let catalog = read(&host, &[PathBuf::from("/s")]);
    (directory, catalog)
}

fn layer<'a>(catalog: &'a Catalog, id: &str) -> &'a Layer {
    catalog
        .layers
        .values()
        .find(|layer| layer.key.layer.as_str() == id)
        .unwrap()
}

/// Where `etc/f` of a layer came from, and what its image makes of it.
fn check(files: &[&str], held_in: &str, origin: &str, state: &str) {
    let (_directory, catalog) = store(files);
    let found = catalog.origin(layer(&catalog, held_in), b"etc/f");
    let above: Vec<_> = catalog
        .layers_above(&catalog.images[0], &found.key)
        .into_iter()
        .map(|layer| (layer.key.layer.clone(), layer.content.as_path()))
        .collect();
    let visibility = match catalog
        .visibility_in_copies(found, b"etc/f", &above, &|_, _| false)
        .unwrap()
    {
        Visibility::Visible => "visible".to_owned(),
        Visibility::Deleted { by } => format!("deleted by {by}"),
        Visibility::Replaced { by } => format!("replaced by {by}"),
        Visibility::Repermissioned { by } => format!("under other permissions in {by}"),
    };
    assert_eq!(
        (found.key.layer.as_str(), visibility.as_str()),
        (origin, state),
        "{files:?}"
    );
}

#[test]
fn a_file_is_its_origins_until_a_layer_changes_it() {
    check(&["a/etc/f=1", "b/etc/f=1", "c/etc/f=1"], "c", "a", "visible");
    check(&["a/etc/f=1", "b/etc/f=1", "c/etc/f=1"], "a", "a", "visible");
    check(&["b/etc/f=1", "c/etc/f=1"], "c", "b", "visible");
    check(&["a/etc/f=1", "b/etc/f=1"], "b", "a", "deleted by c");
    check(&["a/etc/f=1"], "a", "a", "deleted by b");
    check(&["a/etc/f=1", "b/etc/f=22", "c/etc/f=22"], "c", "b", "visible");
    check(
        &["a/etc/f=1", "b/etc/f=22", "c/etc/f=22"],
        "a",
        "a",
        "replaced by b",
    );
    // Deleted and made again is another file.
    check(&["a/etc/f=1", "c/etc/f=1"], "c", "c", "visible");
    check(&[], "c", "c", "visible");
}

#[test]
fn no_link_of_a_layer_leads_to_another_file() {
    let links = ["a/etc/f=->../../b/etc/f", "b/etc/f=1", "c/etc/f=1"];
    check(&links, "c", "b", "visible");
    let (directory, catalog) = store(&["a/etc/f=1", "b/etc/f=1"]);
    let etc = directory.path().join("s/vfs/dir/b/etc");
    std::fs::remove_dir_all(&etc).unwrap();
    std::os::unix::fs::symlink("../a/etc", &etc).unwrap();
    assert_eq!(look(&layer(&catalog, "b").content, b"etc/f"), None);
    assert_eq!(look(&layer(&catalog, "b").content, b"../a/etc/f"), None);
}

#[test]
fn a_circle_of_parents_ends() {
    let (_directory, mut catalog) = store(&["a/etc/f=1", "b/etc/f=1", "c/etc/f=1"]);
    for one in catalog.layers.values_mut().filter(|one| one.parent.is_none()) {
        one.parent = Some(LayerId::new("c"));
    }
    assert!(catalog.layers.len() == 3);
    catalog.origin(layer(&catalog, "c"), b"etc/f");
}
