//! A store as a real daemon left it.

use super::{host, outline, read_d};
use crate::catalog::{Catalog, Location, arrivals};
use crate::model::{Digest, Driver, Engine, Image, ImageId, LayerId, StoreId};

#[test]
fn a_recorded_store_is_read_whole() {
    let (_directory, host) = host();
    let catalog = read_d(&host);
    assert_eq!(
        outline(&catalog),
        [
            "Image 5095 on 8148 in 16c7 diff bd94 blob 6883 size 1982256",
            "Image 8148 on - in fd15 diff 8148 blob a90c size 119",
            "Image 890d on - in zbtk diff 890d blob - size 1982256",
            "Image a6d3 on 890d in 0gzq diff 9306 blob - size 119",
            "Container baab on baab-init in baab diff - blob - size -",
            "Container baab-init on e7f1 in baab diff - blob - size -",
            "Image e7f1 on 5095 in 62f4 diff 95f7 blob 8213 size 0",
            "7e8f 127.0.0.1:15055/shop/api:2 localhost/alias:1 8148>5095>e7f1",
            "9d7e docker.io/shop/built:1 890d>a6d3",
        ]
    );
    let store = &catalog.stores[0];
    assert_eq!(
        (store.id.as_str(), store.engine, store.driver, store.unlisted),
        ("overlay2@/d", Engine::Docker, Driver::Overlay2, 5)
    );
    let json = serde_json::to_string(&catalog).unwrap();
    assert_eq!(serde_json::from_str::<Catalog>(&json).unwrap(), catalog);
}

#[test]
fn fuse_overlayfs_lies_as_overlay2_does() {
    let (_directory, host) = host();
    for (from, to) in [
        ("/d/image/overlay2", "/d/image/fuse-overlayfs"),
        ("/d/overlay2", "/d/fuse-overlayfs"),
    ] {
        std::fs::rename(host.path(from), host.path(to)).unwrap();
    }
    let catalog = read_d(&host);
    assert_eq!(catalog.stores[0].driver, Driver::FuseOverlayfs);
    let there = catalog
        .layers
        .values()
        .filter(|layer| layer.content_key.is_some());
    assert_eq!(
        (there.count(), catalog.images.len(), catalog.problems.len()),
        (7, 2, 0)
    );
}

#[test]
fn an_image_has_what_the_daemon_says() {
    const IMAGE: &str = "7e8fbe9e31b6026320bfca92b1a4521e5f8093dda1bcdbe9631430d6cbfb424d";
    let (_directory, host) = host();
    let catalog = read_d(&host);
    let digest = "sha256:815d29150d48ffbdfaa1ec653e958a34c4387299685de03dd6ccea5b7cd4f0c4";
    let layers = [
        "814847b567917b80b9f5389ae6458ed2eeb81e2e5ff702032e3e1add33104ebe",
        "5095c735cf934958a4cb44c229f7c70043b3f56c7f42d64d1b5440117f6a6f47",
        "e7f1360769e37b1d6dbcc055da46a17787976044a6a90b80b7c3623761fda364",
    ];
    let image = Image {
        store: StoreId::new("overlay2@/d"),
        id: ImageId::new(IMAGE),
        digest: Digest::parse(digest).ok(),
        digests: Digest::parse(digest).into_iter().collect(),
        names: ["127.0.0.1:15055/shop/api:2", "localhost/alias:1"]
            .map(str::to_owned)
            .to_vec(),
        names_history: vec![format!("127.0.0.1:15055/shop/api@{digest}")],
        layers: layers.map(LayerId::new).to_vec(),
        mapped_layers: Vec::new(),
        created: "2026-11-25T17:26:07.648305369Z".parse().ok(),
        config: Some(host.path(format!("/d/image/overlay2/imagedb/content/sha256/{IMAGE}"))),
    };
    assert_eq!(catalog.images[0], image);
    assert_eq!(arrivals(&Catalog::default(), &catalog).len(), 2);
}

#[test]
fn a_file_is_located_in_layers_of_images_and_containers() {
    let (_directory, host) = host();
    let catalog = read_d(&host);
    for layer in catalog.layers.values() {
        let file = layer.content.join("etc/x");
        let found = Location {
            layer: layer.key.clone(),
            path_in_layer: b"etc/x".to_vec(),
        };
        assert_eq!(catalog.locate(&host, &file), Some(found));
    }
}
