//! A root as a real containerd left it.

use super::{BASE, BLOBS, CONFIG, CONTENT, MANIFESTS, META, TOP, host, outline, path, put, read_c};
use crate::catalog::bolt::tests::writer::{Entries, bucket, bytes, file};
use crate::catalog::{Catalog, Location, arrivals};
use crate::model::{ArrivalKind, Digest, Image, ImageId, LayerId, StoreId};

#[test]
fn a_recorded_root_is_read_whole() {
    let (_directory, host) = host();
    let catalog = read_c(&host);
    assert_eq!(
        outline(&catalog),
        [
            "overlayfs@/c#default \"default\" 0",
            "native@/c#k8s.io \"k8s.io\" 2",
            "overlayfs@/c#k8s.io \"k8s.io\" 0",
            "Image native k8s.io c253 on e697 in snapshot/2 diff 8165 blob 5592 size Some(16384)",
            "Image native k8s.io e697 on - in snapshot/1 diff e697 blob 7724 size Some(16384)",
            "Image overlayfs default c253 on e697 in snapshot/2/fs diff 8165 blob 5592 size Some(16384)",
            "Image overlayfs default e697 on - in snapshot/1/fs diff e697 blob 7724 size Some(28672)",
            "Image overlayfs k8s.io c253 on e697 in snapshot/4/fs diff 8165 blob 5592 size Some(16384)",
            "Image overlayfs k8s.io e697 on - in snapshot/3/fs diff e697 blob 7724 size Some(28672)",
            "overlayfs default 9802 127.0.0.1:5055/fixture/app:2 e697>c253",
            "native k8s.io 9802 localhost/fixture/app:2 e697>c253",
            "overlayfs k8s.io 9802 localhost/fixture/app:2 e697>c253",
        ]
    );
    let json = serde_json::to_string(&catalog).unwrap();
    assert_eq!(serde_json::from_str::<Catalog>(&json).unwrap(), catalog);
}

#[test]
fn an_image_has_what_its_namespace_says() {
    let (_directory, host) = host();
    let catalog = read_c(&host);
    let digest = format!("sha256:{}", MANIFESTS[0]);
    let image = Image {
        store: StoreId::new("overlayfs@/c#default"),
        id: ImageId::new(CONFIG),
        digest: Digest::parse(&digest).ok(),
        digests: Digest::parse(&digest).into_iter().collect(),
        names: vec!["127.0.0.1:5055/fixture/app:2".to_owned()],
        // The database has the registry without its port; the name tells it.
        names_history: vec![format!("127.0.0.1:5055/fixture/app@{digest}")],
        layers: [BASE, TOP].map(LayerId::new).to_vec(),
        mapped_layers: Vec::new(),
        created: "2026-11-23T06:50:00Z".parse().ok(),
        config: Some(path(&host, &format!("{CONTENT}/{CONFIG}"))),
    };
    assert_eq!(catalog.images[0], image);
    for layer in catalog.layers.values() {
        let file = layer.content.join("etc/x");
        let found = Location {
            layer: layer.key.clone(),
            path_in_layer: b"etc/x".to_vec(),
        };
        assert_eq!(catalog.locate(&host, &file), Some(found));
    }
}

/// What came, in which namespace, how, and with how many layers.
fn arrived(old: &Catalog, new: &Catalog) -> Vec<(String, ArrivalKind, usize)> {
    let told = arrivals(old, new).into_iter().map(|arrival| {
        let store = arrival.image.store.as_str();
        let namespace = store.rsplit_once('#').unwrap().1.to_owned();
        (namespace, arrival.kind, arrival.new_layers.len())
    });
    told.collect()
}

#[test]
fn an_image_arrives_once_in_a_namespace_whatever_unpacks_it() {
    let (_directory, host) = host();
    let whole = read_c(&host);
    let both = [
        ("default".to_owned(), ArrivalKind::Pulled, 2),
        ("k8s.io".to_owned(), ArrivalKind::Loaded, 2),
    ];
    assert_eq!(arrived(&Catalog::default(), &whole), both);
    // Unpacked by another snapshotter later: the image is in another store, and did not come again.
    let mut before = whole.clone();
    before
        .images
        .retain(|image| !image.store.as_str().starts_with("overlayfs"));
    assert_eq!(
        arrived(&before, &whole),
        [("default".to_owned(), ArrivalKind::Pulled, 0)]
    );
    // Another name for what is there.
    let mut renamed = whole.clone();
    renamed.images[0].names = vec!["own/alias:1".to_owned()];
    assert_eq!(
        arrived(&renamed, &whole),
        [("default".to_owned(), ArrivalKind::Tagged, 0)]
    );
}

/// A root with one namespace of one image and these snapshots, as key, parent, kind.
fn with_snapshots(rows: &[(&str, &str, &str, u8)]) -> (tempfile::TempDir, crate::catalog::Host) {
    let (directory, host) = host();
    let mut snapshotters: Vec<(String, Entries)> = Vec::new();
    let mut numbers: Entries = Vec::new();
    for (index, (snapshotter, key, parent, kind)) in rows.iter().enumerate() {
        let number = u8::try_from(index + 1).unwrap();
        let name = format!("ns/{number}/{key}");
        let row = vec![bytes("name", name.as_bytes()), bytes("parent", parent.as_bytes())];
        match snapshotters.iter_mut().find(|(known, _)| known == snapshotter) {
            Some((_, rows)) => rows.push(bucket(key, row)),
            None => snapshotters.push(((*snapshotter).to_owned(), vec![bucket(key, row)])),
        }
        numbers.push(bucket(
            &name,
            vec![bytes("id", &[number]), bytes("kind", &[*kind])],
        ));
    }
    let target = vec![bytes("digest", format!("sha256:{}", MANIFESTS[0]).as_bytes())];
    let images = ["r.example/a:1", "r.example/a@sha256:00", "sha256:9802"];
    let images = images.map(|name| bucket(name, vec![bucket("target", target.clone())]));
    let blobs = [MANIFESTS[0], CONFIG, BLOBS[0], BLOBS[1]];
    let blobs = blobs.map(|hex| bucket(&format!("sha256:{hex}"), Vec::new()));
    let snapshotters = snapshotters.into_iter().map(|(name, rows)| bucket(&name, rows));
    let namespace = vec![
        bucket("images", images.to_vec()),
        bucket("content", vec![bucket("blob", blobs.to_vec())]),
        bucket("snapshots", snapshotters.collect()),
    ];
    put(
        &host,
        META,
        &file(vec![bucket("v1", vec![bucket("ns", namespace)])]),
    );
    put(
        &host,
        "io.containerd.snapshotter.v1.overlayfs/metadata.db",
        &file(vec![bucket("v1", vec![bucket("snapshots", numbers)])]),
    );
    (directory, host)
}

#[test]
fn what_is_not_unpacked_is_its_blob() {
    let (_directory, host) = with_snapshots(&[]);
    assert_eq!(
        outline(&read_c(&host)),
        [
            "overlayfs@/c#ns \"ns\" 0",
            "Image overlayfs ns c253 on e697 in blobs/sha256/5592f7d3 diff 8165 blob 5592 size None",
            "Image overlayfs ns e697 on - in blobs/sha256/77240b5c diff e697 blob 7724 size None",
            "overlayfs ns 9802 r.example/a:1 e697>c253",
        ]
    );
}

#[test]
fn layers_containers_and_what_is_being_unpacked_are_told_apart() {
    let base = format!("sha256:{BASE}");
    let unpacking = format!("extract-1-a sha256:{TOP}");
    let (_directory, host) = with_snapshots(&[
        ("overlayfs", &base, "", 3),
        ("overlayfs", &unpacking, &base, 2),
        ("overlayfs", "my container", &base, 2),
        ("overlayfs", "viewed", &base, 1),
        ("devmapper", "thin", "", 3),
        ("nydus", "lazy", "", 3),
    ]);
    let catalog = read_c(&host);
    let unread = |count: &str| {
        format!(
            "unsupported-store /c: the 1 snapshots of namespace ns in snapshotter {count}: \
             they are neither scanned nor watched"
        )
    };
    assert_eq!(
        outline(&catalog),
        [
            "overlayfs@/c#ns \"ns\" 0".to_owned(),
            "Image overlayfs ns c253 on e697 in blobs/sha256/5592f7d3 diff 8165 blob 5592 size None"
                .to_owned(),
            "Image overlayfs ns e697 on - in snapshot/1/fs diff e697 blob 7724 size None".to_owned(),
            "Incomplete overlayfs ns snap on e697 in snapshot/2/fs diff - blob - size None".to_owned(),
            "Container overlayfs ns snap on e697 in snapshot/3/fs diff - blob - size None".to_owned(),
            "Container overlayfs ns view on e697 in snapshot/4/fs diff - blob - size None".to_owned(),
            "overlayfs ns 9802 r.example/a:1 e697>c253".to_owned(),
            unread("devmapper are not read yet (they are thin devices)"),
            unread("nydus are not read yet (their files are fetched when they are read)"),
        ]
    );
}

#[test]
fn a_root_without_images_is_a_store_and_that_of_a_graph_driver_is_none() {
    let directory = tempfile::tempdir().unwrap();
    let host = crate::catalog::Host::new(directory.path());
    std::fs::create_dir_all(host.path("/d/image/overlay2")).unwrap();
    for root in ["/c", "/d/containerd/daemon", "/e/containerd/daemon"] {
        let metadata = host.path(format!("{root}/io.containerd.metadata.v1.bolt"));
        std::fs::create_dir_all(&metadata).unwrap();
        let namespaces = vec![bucket("moby", vec![bucket("images", Vec::new())])];
        std::fs::write(metadata.join("meta.db"), file(vec![bucket("v1", namespaces)])).unwrap();
    }
    let roots = ["/c".into(), "/d".into(), "/e".into()];
    assert_eq!(
        outline(&crate::catalog::read(&host, &roots)),
        [
            "overlayfs@/c \"-\" 0".to_owned(),
            "overlay2@/d \"-\" 0".to_owned(),
            // Nothing is pulled yet, and no graph driver is there.
            "overlayfs@/e/containerd/daemon \"-\" 0".to_owned(),
        ]
    );
}
