//! What each engine leaves, and what lies beside it and is none.

use std::collections::BTreeSet;

use super::*;
use crate::catalog::{ProblemKind, read, refresh};

/// A host with these files; a name that ends with a slash is a directory.
fn host(names: &[&str]) -> (tempfile::TempDir, Host) {
    let directory = tempfile::tempdir().unwrap();
    let host = Host::new(directory.path());
    for name in names {
        let path = host.path(name);
        if name.ends_with('/') {
            std::fs::create_dir_all(path).unwrap();
        } else {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "12345").unwrap();
        }
    }
    (directory, host)
}

/// The leftovers of the store at `/s`, and their bytes.
fn check(names: &[&str], expected: &[&str], bytes: u64) {
    let conf = "/etc/containers/storage.conf";
    let docker = "/etc/docker/daemon.json";
    let containerd = "/etc/containerd/config.toml";
    let (_directory, host) = host(&[names, &[conf, docker, containerd]].concat());
    std::fs::write(host.path(conf), "[storage]\ngraphroot = '/s'").unwrap();
    std::fs::write(host.path(docker), "{\"data-root\": \"/s\"}").unwrap();
    std::fs::write(host.path(containerd), "root = '/s'").unwrap();
    let catalog = read(&host, &[]);
    let layers = catalog
        .layers
        .values()
        .filter(|layer| layer.state == LayerState::Leftover);
    let mut found: Vec<_> = layers
        .map(|layer| {
            host.host_path(&layer.content)
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    found.sort();
    let figures = &catalog.stores[0].leftovers;
    assert_eq!(
        (
            found.iter().map(String::as_str).collect::<Vec<_>>(),
            figures.count,
            figures.bytes
        ),
        (expected.to_vec(), expected.len() as u64, bytes),
        "{names:?}"
    );
}

#[test]
fn each_engine_has_its_own() {
    check(&["/s/overlay-layers/"], &[], 0);
    check(
        &[
            "/s/overlay-layers/tmp/temp-dir-1/x",
            "/s/overlay-layers/tmp/lock-1",
            "/s/overlay/staging/9/dir/etc/key",
            "/s/overlay/tempdirs/temp-dir-2/0-addition/a",
            "/s/overlay/l/",
            "/var/tmp/storage123/1",
            "/var/tmp/container_images_storage7/2",
            "/var/tmp/container_images_storage7/layer",
            "/var/tmp/storage/1",
            "/var/tmp/storage12x/1",
            "/var/tmp/other",
        ],
        &[
            "/s/overlay-layers/tmp/temp-dir-1",
            "/s/overlay/staging/9",
            "/s/overlay/tempdirs/temp-dir-2",
            "/var/tmp/container_images_storage7/2",
            "/var/tmp/storage123/1",
        ],
        25,
    );
    check(
        &[
            "/s/image/overlay2/layerdb/tmp/write-set-4/diff",
            "/s/image/overlay2/layerdb/sha256/",
            "/s/tmp/GetImageBlob55",
            "/s/tmp/docker-builder6/secret",
            "/s/tmp/mine",
            "/var/tmp/storage123/1",
        ],
        &[
            "/s/image/overlay2/layerdb/tmp/write-set-4",
            "/s/tmp/GetImageBlob55",
            "/s/tmp/docker-builder6",
        ],
        15,
    );
    check(
        &[
            "/s/io.containerd.metadata.v1.bolt/",
            "/s/io.containerd.content.v1.content/ingest/ab/data",
            "/s/io.containerd.content.v1.content/ingest/ab/ref",
            "/s/io.containerd.content.v1.content/blobs/sha256/",
            "/s/io.containerd.snapshotter.v1.overlayfs/snapshots/new-1/fs/x",
            "/s/io.containerd.snapshotter.v1.overlayfs/snapshots/1/fs/x",
        ],
        &[
            "/s/io.containerd.content.v1.content/ingest/ab/data",
            "/s/io.containerd.snapshotter.v1.overlayfs/snapshots/new-1",
        ],
        10,
    );
}

#[test]
fn a_blob_that_grows_is_none_until_it_rests() {
    let (_directory, host) = host(&["/s/image/overlay2/layerdb/sha256/"]);
    let roots = ["/s".into()];
    let blob = host.path("/s/tmp/GetImageBlob1");
    let mut catalog = read(&host, &roots);
    let mut look = |content: Option<&str>| {
        if let Some(content) = content {
            std::fs::create_dir_all(blob.parent().unwrap()).unwrap();
            std::fs::write(&blob, content).unwrap();
        }
        catalog = refresh(&catalog, &host, &roots);
        (catalog.stores[0].leftovers.count, catalog.layers.len())
    };
    assert_eq!(look(Some("a")), (1, 0), "new");
    assert_eq!(look(Some("ab")), (1, 0), "it grows");
    assert_eq!(look(None), (1, 1), "it rests");
    assert_eq!(look(Some("abc")), (1, 0), "it grows again");
}

#[test]
fn no_link_is_followed_and_foreign_blobs_are_not_ours() {
    let (_directory, host) = host(&["/s/overlay-layers/", "/secret/1"]);
    std::fs::create_dir_all(host.path("/var/tmp")).unwrap();
    for (target, link) in [
        ("/secret", "/var/tmp/storage1"),
        ("/secret", "/s/overlay/staging"),
    ] {
        let link = host.path(link);
        std::fs::create_dir_all(link.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(host.path(target), link).unwrap();
    }
    let mut catalog = read(&host, &["/s".into()]);
    add(&host, true, &Catalog::default(), &mut catalog);
    assert_eq!(catalog.stores[0].leftovers, Leftovers::default());
    let owner = host.path("/s").metadata().unwrap().uid();
    std::fs::create_dir(host.path("/var/tmp/storage2")).unwrap();
    std::fs::write(host.path("/var/tmp/storage2/1"), "").unwrap();
    assert_eq!(Look::default().blobs(&host.path("/var/tmp"), owner).len(), 1);
    assert_eq!(Look::default().blobs(&host.path("/var/tmp"), owner + 1).len(), 0);
}

#[test]
fn what_is_beyond_the_bounds_is_said() {
    let (_directory, host) = host(&["/s/overlay-layers/", "/s/overlay/staging/", "/var/tmp/"]);
    let problems = || {
        let mut catalog = read(&host, &["/s".into()]);
        add(&host, true, &Catalog::default(), &mut catalog);
        let told = catalog.stores[0].leftovers.count;
        let problems = catalog.problems.into_iter();
        let of_it = problems.filter(|one| one.kind == ProblemKind::TooLarge);
        (told, of_it.map(|one| one.cause).collect::<BTreeSet<_>>())
    };
    assert_eq!(problems(), (0, BTreeSet::new()));
    for number in 0..=MAX {
        std::fs::create_dir(host.path(format!("/s/overlay/staging/{number}"))).unwrap();
    }
    let many = "more than 1000 leftovers, only as many are told".to_owned();
    assert_eq!(problems(), (1000, BTreeSet::from([many.clone()])));
    // Anybody can fill this one.
    for number in 0..=MAX_ENTRIES {
        std::fs::write(host.path(format!("/var/tmp/{number}")), "").unwrap();
    }
    let cut = "more than 20000 entries, only as many are looked at".to_owned();
    assert_eq!(problems(), (1000, BTreeSet::from([many, cut])));
}

#[test]
fn a_layer_that_stays_incomplete_is_one_when_it_rests() {
    let (_directory, host) = host(&["/s/overlay-images/images.json", "/s/overlay/ab/diff/etc/key"]);
    let layers = host.path("/s/overlay-layers/layers.json");
    std::fs::create_dir_all(layers.parent().unwrap()).unwrap();
    std::fs::write(host.path("/s/overlay-images/images.json"), "[]").unwrap();
    std::fs::write(layers, r#"[{"id": "ab", "flags": {"incomplete": true}}]"#).unwrap();
    let roots = ["/s".into()];
    let mut catalog = Catalog::default();
    let mut look = |content: Option<&str>| {
        if let Some(content) = content {
            std::fs::write(host.path("/s/overlay/ab/diff/etc/key"), content).unwrap();
        }
        catalog = refresh(&catalog, &host, &roots);
        let states: Vec<LayerState> = catalog.layers.values().map(|layer| layer.state).collect();
        let left = &catalog.stores[0].leftovers;
        (left.count, left.bytes, states)
    };
    assert_eq!(look(None), (1, 5, vec![LayerState::Incomplete]), "at first");
    assert_eq!(
        look(Some("1234567")),
        (1, 7, vec![LayerState::Incomplete]),
        "it grows"
    );
    assert_eq!(look(None), (1, 7, vec![LayerState::Leftover]), "it rests");
    assert_eq!(
        look(Some("12")),
        (1, 2, vec![LayerState::Incomplete]),
        "it changes"
    );
}

#[test]
fn each_namespace_has_its_own() {
    let digest = "ab".repeat(32);
    let ingest = "/s/io.containerd.content.v1.content/ingest";
    let (_directory, host) = host(&[
        "/s/io.containerd.metadata.v1.bolt/",
        &format!("{ingest}/1/data"),
        &format!("{ingest}/2/data"),
    ]);
    for (name, reference) in [
        ("1", format!("k8s.io/1/layer-sha256:{digest}")),
        ("2", "mine".into()),
    ] {
        std::fs::write(host.path(format!("{ingest}/{name}/ref")), reference).unwrap();
    }
    let mut store = read(&host, &["/s".into()]).stores.remove(0);
    let namespaces = BTreeSet::from(["k8s.io".to_owned()]);
    let mut look = |namespace: Option<&str>| {
        store.namespace = namespace.map(ToOwned::to_owned);
        let found = Look::default().of_store(&store, &namespaces);
        let pulls = found.into_iter().map(|one| one.blob.map(|blob| blob.pull));
        pulls.collect::<BTreeSet<_>>()
    };
    let of_pull = Some("k8s.io".to_owned());
    assert_eq!(look(Some("k8s.io")), BTreeSet::from([None, of_pull]));
    assert_eq!(look(Some("default")), BTreeSet::from([None]));
}

/// The places where blobs are looked for, of those that are there.
fn check_places(files: &[(&str, &str)], expected: &[&str]) {
    let (_directory, host) = host(&["/var/tmp/", "/spool/", "/mine/", "/s/tmp/", "/s/overlay-layers/"]);
    for (file, text) in files {
        let path = host.path(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    for (process, link) in [("1", "/"), ("7", "/")] {
        let process = host.path(format!("/proc/{process}"));
        std::fs::create_dir_all(&process).unwrap();
        std::os::unix::fs::symlink(host.path(link), process.join("root")).unwrap();
    }
    let places = read(&host, &[]).blob_places;
    let expected: Vec<PathBuf> = expected.iter().map(PathBuf::from).collect();
    assert_eq!(places, expected, "{files:?}");
}

#[test]
fn blobs_are_looked_for_where_engines_are_told_to_put_them() {
    let conf = "/etc/containers/containers.conf";
    check_places(&[], &["/var/tmp"]);
    check_places(
        &[(conf, "[engine]\nimage_copy_tmp_dir = '/spool'")],
        &["/var/tmp", "/spool"],
    );
    check_places(&[(conf, "[engine]\nimage_copy_tmp_dir = '/none'")], &["/var/tmp"]);
    check_places(
        &[
            (conf, "[engine]\nimage_copy_tmp_dir = 'storage'"),
            ("/etc/containers/storage.conf", "[storage]\ngraphroot = '/s'"),
        ],
        &["/var/tmp", "/s/tmp"],
    );
    check_places(
        &[
            (
                "/etc/crio/crio.conf",
                "[crio.image]\nbig_files_temporary_dir = '/mine'",
            ),
            (
                "/etc/containers/containers.conf.d/1.conf",
                "[engine]\nimage_copy_tmp_dir = '/spool'",
            ),
        ],
        &["/var/tmp", "/spool", "/mine"],
    );
    let running = |name, line, environment| {
        [
            ("/proc/7/comm", name),
            ("/proc/7/cmdline", line),
            ("/proc/7/environ", environment),
        ]
    };
    check_places(
        &running("podman\n", "podman\0pull\0x\0", "A=1\0TMPDIR=/spool\0"),
        &["/var/tmp", "/spool"],
    );
    check_places(
        &running("skopeo\n", "skopeo\0--tmpdir=/mine\0copy\0", "TMPDIR=relative\0"),
        &["/var/tmp", "/mine"],
    );
    check_places(&running("sh\n", "podman\0", "TMPDIR=/spool\0"), &["/var/tmp"]);
}
