//! What real engines wrote: a recorded pull, and a store made by Buildah and Podman that Podman describes itself.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{host, read_s};
use crate::catalog::{Catalog, Host, arrivals, read};
use crate::model::{DevIno, Digest, Image, ImageId, LayerId, LayerState, StoreId};
use crate::testing::RealStore;

#[test]
fn a_recorded_pull_is_read_whole() {
    const BASE: &str = "e6972cbde143ebe8fdc32c7c46bcdbccd4adac43e9a21c8e50a6044a5f80b0e0";
    const TOP: &str = "febf89b7e38c1c2a8f8a2a54bf9024a621d211d0400cb72820d07d796cfe0a2a";
    const IMAGE: &str = "980207d75f832cafd7da9df4b2819a1f68d96d6bb1c1d186555bffe33200e603";
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/containers-storage");
    let text = |name: &str| crate::bounded::read_text(&fixtures.join(name), 1 << 20).unwrap();
    let (_directory, host) = host(&[
        ("overlay-layers/layers.json", &text("layers.json")),
        ("overlay-images/images.json", &text("images.json")),
    ]);
    let catalog = read_s(&host);
    let manifest = "sha256:f7488b861d65cac75350e84d1dbb0d4421201478f909dc8d765dcb4ca05aac7b";
    let manifest = Digest::parse(manifest).unwrap();
    let file =
        "=c2hhMjU2Ojk4MDIwN2Q3NWY4MzJjYWZkN2RhOWRmNGIyODE5YTFmNjhkOTZkNmJiMWMxZDE4NjU1NWJmZmUzMzIwMGU2MDM=";
    let image = Image {
        store: StoreId::new("overlay@/s"),
        id: ImageId::new(IMAGE),
        digest: Some(manifest.clone()),
        digests: vec![manifest],
        names: vec!["127.0.0.1:5055/fixture/app:2".to_owned()],
        names_history: vec!["127.0.0.1:5055/fixture/app:2".to_owned()],
        layers: vec![LayerId::new(BASE), LayerId::new(TOP)],
        mapped_layers: vec![],
        created: Some("2026-11-23T06:54:15.343975663Z".parse().unwrap()),
        config: Some(host.path(format!("/s/overlay-images/{IMAGE}/{file}"))),
    };
    assert_eq!(catalog.images, [image]);
    let layers: Vec<_> = catalog.layers.values().collect();
    assert_eq!(layers.len(), 2);
    let top = layers[1];
    assert_eq!(top.parent, Some(LayerId::new(BASE)));
    assert_eq!(
        top.diff_id.as_ref().unwrap().hex(),
        "8165a4d168a4b92391f60436c910f50a614c1aeb4989536e4e731a821181553e"
    );
    assert_eq!(
        top.blob_digest.as_ref().unwrap().hex(),
        "5592f7d3295187ded39e776d16867eb86be97d716ca938511bf7f8e0fb15de9f"
    );
    assert_eq!((top.size_bytes, top.state), (Some(3584), LayerState::Image));
    let json = serde_json::to_string(&catalog).unwrap();
    assert_eq!(serde_json::from_str::<Catalog>(&json).unwrap(), catalog);
}

/// What Podman says of an image, and what the catalog says in the same words.
fn podmans(store: &RealStore) -> BTreeMap<String, Value> {
    let listed: Vec<Value> =
        serde_json::from_str(&store.run("podman", &["images", "--format", "json"])).unwrap();
    let describe = |listed: Value| {
        let id = listed["Id"].as_str().unwrap().to_owned();
        let inspected: Value = serde_json::from_str(&store.run("podman", &["inspect", &id])).unwrap();
        let inspected = &inspected[0];
        let driver = &inspected["GraphDriver"]["Data"];
        let lower = driver["LowerDir"].as_str().unwrap_or_default().split(':').rev();
        let mut directories: Vec<&str> = lower.filter(|directory| !directory.is_empty()).collect();
        directories.extend(driver["UpperDir"].as_str());
        let description = serde_json::json!({
            "names": listed["Names"],
            "history": listed["History"],
            "digest": listed["Digest"],
            "diff_ids": inspected["RootFS"]["Layers"],
            "directories": directories,
            "created": inspected["Created"],
        });
        (id, description)
    };
    listed.into_iter().map(describe).collect()
}

fn ours(catalog: &Catalog) -> BTreeMap<String, Value> {
    let describe = |image: &Image| {
        let layers = image
            .layers
            .iter()
            .map(|id| catalog.lent_layer(&image.store, id).unwrap());
        let description = serde_json::json!({
            "names": image.names,
            "history": image.names_history,
            "digest": image.digest,
            "diff_ids": layers.clone().map(|layer| layer.diff_id.clone()).collect::<Vec<_>>(),
            "directories": layers.map(|layer| layer.content.clone()).collect::<Vec<_>>(),
            "created": image.created,
        });
        (image.id.as_str().to_owned(), description)
    };
    catalog.images.iter().map(describe).collect()
}

#[test]
fn a_real_store_reads_as_podman_describes_it() {
    let Some(store) = RealStore::new("a_real_store_reads_as_podman_describes_it") else {
        return;
    };
    let store = store.with_deleted_key();
    let host = Host::new(store.host_root());
    let roots = [PathBuf::from("/graph")];
    let before = read(&host, &roots);
    store.run("podman", &["tag", "localhost/fixture/app:2", "localhost/other:x"]);
    let catalog = read(&host, &roots);
    assert_eq!(ours(&catalog), podmans(&store));
    assert_eq!((catalog.images.len(), catalog.problems.as_slice()), (2, &[][..]));
    for image in &catalog.images {
        let id = image.id.as_str();
        let config = crate::bounded::read(image.config.as_ref().unwrap(), 1 << 20).unwrap();
        assert_eq!(
            crate::testing::sha256_hex(&config),
            id,
            "the configuration is the one the id is the digest of"
        );
    }
    let store = &catalog.stores[0];
    assert_eq!((store.id.as_str(), store.owner_uid), ("overlay@/graph", 0));
    assert_eq!(
        store.root_key,
        DevIno::of(&store.root.symlink_metadata().unwrap())
    );
    assert_eq!(store.index_directories.len(), 2);
    let containers = catalog
        .layers
        .values()
        .filter(|layer| layer.state == LayerState::Container);
    assert_eq!(containers.count(), 2, "the two working containers of Buildah");
    let renamed = arrivals(&before, &catalog);
    assert_eq!(renamed.len(), 1);
    let change = &renamed[0];
    assert_eq!((change.is_new, change.new_layers.len()), (false, 0));
    assert_eq!(change.new_names, ["localhost/other:x"]);
    let all = arrivals(&Catalog::default(), &catalog);
    let counts: Vec<_> = all
        .iter()
        .map(|arrival| (arrival.is_new, arrival.new_layers.len()))
        .collect();
    assert_eq!(counts, [(true, 1), (true, 2)]);
}

#[test]
fn a_file_is_located_through_links_and_bind_mounts() {
    let Some(store) = RealStore::new("a_file_is_located_through_links_and_bind_mounts") else {
        return;
    };
    let store = store.with_deleted_key();
    let host = Host::new(store.host_root());
    let catalog = read(&host, &[PathBuf::from("/graph")]);
    let base = catalog
        .layers
        .values()
        .find(|layer| layer.content.join("etc/secret.key").exists())
        .unwrap();
    let elsewhere = store.host_root().join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    let link = store.host_root().join("link");
    std::os::unix::fs::symlink("/elsewhere/etc", &link).unwrap();
    rustix::mount::mount_bind(&base.content, &elsewhere).unwrap();
    let ways = [
        base.content.join("etc"),
        elsewhere.join("etc"),
        link,
        elsewhere.join("etc/../etc"),
    ];
    let found = ways.map(|way| catalog.locate(&host, &way.join("secret.key")));
    let outside = catalog.locate(&host, &store.root().join("overlay-layers/layers.json"));
    let gone = catalog.locate(&host, &base.content.join("no/such"));
    rustix::mount::unmount(&elsewhere, rustix::mount::UnmountFlags::DETACH).unwrap();
    for location in found {
        let location = location.unwrap();
        assert_eq!(
            (&location.layer, location.path_in_layer.as_slice()),
            (&base.key, &b"etc/secret.key"[..])
        );
    }
    assert_eq!(outside, None);
    assert_eq!(gone.unwrap().path_in_layer, b"no/such");
}
