//! A store of the driver zfs, none of whose datasets is mounted: an image of two layers, a container, a pull on its way.

use std::io::Write as _;

use super::{host, outline, put, read_s};
use crate::catalog::{Catalog, Host, ProblemKind};
use crate::model::{LayerId, Visibility};

const LAYERS: &str = r#"[{"id":"a"},{"id":"b","parent":"a"},{"id":"c","parent":"b"},
    {"id":"i","parent":"b","flags":{"incomplete":true}}]"#;
const CONTAINERS: &str = r#"[{"id":"1","layer":"c","image":"one"}]"#;
const IMAGES: &str = r#"[{"id":"one","names":["x/y:1"],"layer":"b"}]"#;
const TOLD: &str = "layers are datasets that are not mounted here: they are neither scanned nor watched, and whoever can \
                    open the pool's disks, or may send or clone a dataset, reads them";

/// A store whose layers came with these files: name and size.
fn zfs_host(came_with: &[(&str, &[(&str, u64)])]) -> (tempfile::TempDir, Host) {
    let (directory, host) = host(&[
        ("zfs-layers/layers.json", LAYERS),
        ("zfs-containers/containers.json", CONTAINERS),
        ("zfs-images/images.json", IMAGES),
    ]);
    std::fs::remove_dir(host.path("/s/overlay-layers")).unwrap();
    for (layer, files) in came_with {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        for (name, size) in *files {
            writeln!(packed, r#"{{"type":1,"name":"{name}","size":{size}}}"#).unwrap();
        }
        let name = format!("zfs-layers/{layer}.tar-split.gz");
        put(&host, &name, &packed.finish().unwrap());
    }
    (directory, host)
}

fn kinds(catalog: &Catalog) -> Vec<ProblemKind> {
    catalog.problems.iter().map(|problem| problem.kind).collect()
}

#[test]
fn what_is_not_mounted_is_listed_and_said_and_not_scanned() {
    let (_directory, host) = zfs_host(&[]);
    // A mount point that an engine left behind when it was killed.
    std::fs::create_dir_all(host.path("/s/zfs/graph/a")).unwrap();
    let catalog = read_s(&host);
    let lines = [
        "layer a on - Image",
        "layer b on a Image",
        "layer c on b Container",
        "layer i on b Incomplete",
        r#"image one ["x/y:1"] a>b +"#,
        &format!("not-mounted graph: 4 {TOLD}"),
    ];
    assert_eq!(outline(&catalog), lines);
    assert_eq!(kinds(&catalog), [ProblemKind::NotMounted]);
    for layer in catalog.layers.values() {
        let device = layer.device.as_ref().unwrap();
        let told = (device.name.as_str(), device.is_mounted, layer.is_scannable());
        // Nothing here tells what the dataset is below.
        assert_eq!(told, (layer.key.layer.as_str(), false, false));
    }
}

#[test]
fn a_dataset_that_is_called_like_its_blob_is_no_blob() {
    // As engines name the lowest layer of an image that was not packed.
    let id = "ab".repeat(32);
    let layers = format!(r#"[{{"id":"{id}","compressed-diff-digest":"sha256:{id}"}}]"#);
    let (_directory, host) = zfs_host(&[]);
    put(&host, "zfs-layers/layers.json", layers.as_bytes());
    let catalog = read_s(&host);
    let layer = catalog.layers.values().next().unwrap();
    assert_eq!(
        (layer.is_packed(), layer.is_file(), layer.is_scannable()),
        (false, false, false)
    );
}

/// Which layer a file of the container's came with, by its name and size, and whether the image still has it.
fn check(path: &str, size: usize, origin: &str) {
    let (_directory, host) = zfs_host(&[
        ("a", &[("etc/", 0), ("etc/key", 3), ("./etc/motd", 5)]),
        ("b", &[("etc/motd", 6)]),
    ]);
    let catalog = read_s(&host);
    let layer = |id: &str| {
        let mut layers = catalog.layers.values();
        layers.find(|layer| layer.key.layer.as_str() == id).unwrap()
    };
    put(&host, &format!("zfs/graph/c/{path}"), &vec![b'x'; size]);
    // The mount point of what is not mounted is empty, and says nothing.
    std::fs::create_dir_all(host.path("/s/zfs/graph/b")).unwrap();
    let found = catalog.origin(layer("c"), path.as_bytes());
    let above = [(LayerId::new("b"), layer("b").content.as_path())];
    let visibility = catalog.visibility_in_copies(layer("a"), path.as_bytes(), &above, &|_, _| false);
    assert_eq!(
        (found.key.layer.as_str(), visibility),
        (origin, Some(Visibility::Visible)),
        "{path} of {size} bytes"
    );
}

#[test]
fn a_file_of_a_container_is_told_of_the_layer_that_it_came_with() {
    check("etc/key", 3, "a");
    check("etc/motd", 5, "a");
    check("etc/motd", 6, "b");
    // The container's own, under a name of the image.
    check("etc/key", 4, "c");
    check("etc/new", 0, "c");
}

#[test]
fn a_damaged_record_tells_of_no_file() {
    let (_directory, host) = zfs_host(&[("a", &[("etc/key", 3)])]);
    put(&host, "zfs-layers/b.tar-split.gz", b"no archive");
    let catalog = read_s(&host);
    let known = catalog.layers.values().map(|layer| {
        layer
            .device
            .as_ref()
            .unwrap()
            .files
            .as_ref()
            .map(|files| files.len())
    });
    assert_eq!(known.collect::<Vec<_>>(), [Some(1), None, None, None]);
}
