//! A store of the driver devicemapper as Docker 20.10.24 left it: an image of two layers on a pool of two loop files, and
//! a container that does not run. Docker's own records are the same for each driver: the store of the driver zfs has those.

use super::{Recorded, lay, outline, put, read_d};
use crate::catalog::{Catalog, Host, ProblemKind};
use crate::model::{Driver, LayerDevice, RawKey, ThinDevice};

const RECORDED: &str = include_str!("../../../../../tests/fixtures/docker/devicemapper.json");

fn host() -> (tempfile::TempDir, Host) {
    lay_packed(serde_json::from_str(RECORDED).unwrap())
}

/// The same with the driver zfs, which leaves nothing in its own directory.
fn zfs_host() -> (tempfile::TempDir, Host) {
    let mut recorded: Recorded = serde_json::from_str(RECORDED).unwrap();
    recorded.directories = vec!["zfs/graph".to_owned()];
    let files = std::mem::take(&mut recorded.files).into_iter();
    let files = files.filter(|(name, _)| !name.starts_with("devicemapper/"));
    recorded.files = files
        .map(|(name, text)| (name.replace("image/devicemapper/", "image/zfs/"), text))
        .collect();
    lay_packed(recorded)
}

fn lay_packed(mut recorded: Recorded) -> (tempfile::TempDir, Host) {
    // They are kept unpacked, to be read by people.
    let is_packed = |name: &String| name.rsplit('.').next() == Some("gz");
    let names: Vec<String> = recorded
        .files
        .keys()
        .filter(|name| is_packed(name))
        .cloned()
        .collect();
    let packed: Vec<_> = names
        .into_iter()
        .filter_map(|name| recorded.files.remove_entry(&name))
        .collect();
    let (directory, host) = lay(&recorded);
    for (name, text) in packed {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut encoder, text.as_bytes()).unwrap();
        put(&host, &name, &encoder.finish().unwrap());
    }
    (directory, host)
}

const TOLD: &str = "layers are on thin devices that are not mounted here: they are neither scanned nor watched, and \
                    whoever can open the pool or its devices reads them";

#[test]
fn a_recorded_store_is_read_whole_and_nothing_of_it_is_scanned() {
    let (_directory, host) = host();
    let catalog = read_d(&host);
    assert_eq!(
        outline(&catalog),
        [
            "Container 716c on 716c-init in 716c diff - blob - size -",
            "Container 716c-init on ffc8 in 716c diff - blob - size -",
            "Image 8075 on - in 98cb diff 8075 blob - size 5946895",
            "Image ffc8 on 8075 in d10e diff ae65 blob - size 4",
            "f6a8 docker.io/dm/app:2 8075>ffc8",
            &format!("not-mounted /d/devicemapper/mnt: 4 {TOLD}"),
        ]
    );
    let store = &catalog.stores[0];
    assert_eq!((store.driver, store.unlisted), (Driver::Devicemapper, 0));
    let scannable = catalog.layers.values().filter(|layer| layer.is_scannable());
    assert_eq!(scannable.count(), 0);
}

#[test]
fn a_store_of_datasets_is_read_whole_and_nothing_of_it_is_scanned() {
    const TOLD: &str = "layers are datasets that are not mounted here: they are neither scanned nor watched, and whoever \
                        can open the pool's disks, or may send or clone a dataset, reads them";
    let (_directory, host) = zfs_host();
    let options = r#"{"storage-opts":["zfs.fsname=tank/docker"]}"#;
    std::fs::create_dir_all(host.path("/etc/docker")).unwrap();
    std::fs::write(host.path("/etc/docker/daemon.json"), options).unwrap();
    // What a daemon that was killed leaves: a mount point without a mount is no layer.
    std::fs::create_dir(host.path("/d/zfs/graph/left")).unwrap();
    let catalog = read_d(&host);
    assert_eq!(
        outline(&catalog),
        [
            "Container 716c on 716c-init in grap diff - blob - size -",
            "Container 716c-init on ffc8 in grap diff - blob - size -",
            "Image 8075 on - in grap diff 8075 blob - size 5946895",
            "Image ffc8 on 8075 in grap diff ae65 blob - size 4",
            "f6a8 docker.io/dm/app:2 8075>ffc8",
            &format!("not-mounted /d/zfs/graph: 4 {TOLD}"),
        ]
    );
    let store = &catalog.stores[0];
    assert_eq!(
        (store.driver, store.dataset.as_deref(), store.unlisted),
        (Driver::Zfs, Some("tank/docker"), 0)
    );
    let devices: Vec<_> = catalog
        .layers
        .values()
        .map(|layer| LayerDevice {
            files: None,
            ..layer.device.clone().unwrap()
        })
        .collect();
    let expected = catalog.layers.values().map(|layer| LayerDevice {
        name: format!(
            "tank/docker/{}",
            layer.content.file_name().unwrap().to_str().unwrap()
        ),
        thin: None,
        is_mounted: false,
        files: None,
    });
    assert_eq!(devices, expected.collect::<Vec<_>>());
    assert!(catalog.layers.values().all(|layer| !layer.is_scannable()));
}

#[test]
fn a_layer_is_told_with_its_device() {
    use std::os::unix::fs::MetadataExt as _;
    let (_directory, host) = host();
    let catalog = read_d(&host);
    let home = host.path("/d/devicemapper").metadata().unwrap();
    let (major, minor) = (rustix::fs::major(home.dev()), rustix::fs::minor(home.dev()));
    let cache_id = "d10ebfce72a4e2cd79a7044504ccd067e5f82d03455b12a4b71420e0c793b037";
    let layer = catalog
        .layers
        .values()
        .find(|layer| layer.content.ends_with(format!("{cache_id}/rootfs")))
        .unwrap();
    let device = LayerDevice {
        files: None,
        ..layer.device.clone().unwrap()
    };
    let expected = LayerDevice {
        name: format!("docker-{major}:{minor}-{}-{cache_id}", home.ino()),
        thin: Some(ThinDevice {
            id: 3,
            size_bytes: 62_914_560,
        }),
        is_mounted: false,
        files: None,
    };
    assert_eq!(device, expected);
    // The files under the pool's loop devices are known whether or not the pool is active.
    let files: Vec<_> = catalog
        .raw_devices
        .iter()
        .filter(|device| matches!(device.key, RawKey::File(_)))
        .map(|device| device.path.to_str().unwrap())
        .collect();
    let expected = ["data", "metadata"].map(|name| format!("/d/devicemapper/devicemapper/{name}"));
    assert_eq!(files, expected);
}

#[test]
fn a_file_of_a_container_is_told_of_the_layer_that_it_came_with() {
    for (_directory, host) in [host(), zfs_host()] {
        check_origins(&host);
    }
}

fn check_origins(host: &Host) {
    let catalog = read_d(host);
    let container = catalog
        .layers
        .values()
        .find(|layer| layer.key.layer.as_str().starts_with("716c") && layer.key.layer.as_str().len() == 64)
        .unwrap();
    let origin = |path: &str, content: &str| {
        let file = container.content.join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, content).unwrap();
        let id = catalog.origin(container, path.as_bytes()).key.layer.to_string();
        id.get(..4).unwrap().to_owned()
    };
    assert_eq!(origin("etc/secret.key", &"k".repeat(119)), "8075");
    assert_eq!(origin("etc/two", "two\n"), "ffc8");
    // The container's own, under a name of the image.
    assert_eq!(origin("etc/secret.key", "changed"), "716c");
    assert_eq!(origin("etc/new", ""), "716c");
}

/// What a damaged record of a device leaves of the store.
fn check(content: Option<&[u8]>, kind: ProblemKind) {
    let (_directory, host) = host();
    let name = "devicemapper/metadata/98cbd616f7516055d5bfc51b14124a826079793d17e649d3390cd87e3b99981f";
    match content {
        Some(content) => put(&host, name, content),
        None => std::fs::remove_file(super::path(&host, name)).unwrap(),
    }
    let catalog: Catalog = read_d(&host);
    let kinds: Vec<_> = catalog.problems.iter().map(|problem| problem.kind).collect();
    assert_eq!(kinds, [kind, ProblemKind::NotMounted], "{content:?}");
    assert_eq!((catalog.layers.len(), catalog.images.len()), (4, 1));
    let told = format!("3 {TOLD}");
    assert_eq!(catalog.problems[1].cause, told);
}

#[test]
fn a_damaged_record_takes_one_device() {
    check(None, ProblemKind::MissingContent);
    check(Some(b"{\"device_id\":"), ProblemKind::Malformed);
    check(Some(b"{\"device_id\":-1,\"size\":1}"), ProblemKind::Malformed);
    check(Some(b"\xff"), ProblemKind::Malformed);
    check(Some(&[b' '; 5000]), ProblemKind::TooLarge);
}
