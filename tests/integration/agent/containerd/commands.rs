//! What the commands say of containerd's store is what containerd says.

use std::path::PathBuf;

use anyhow::{Context, Result};
use layerwatch_tests::scene::{Containerd, KEY, Release, Scene};
use serde_json::{Value, json};

use super::{json_of, list, published, releases, store_id};

/// Namespaces, each of which unpacks for a snapshotter of its own.
const PLACES: [(&str, &str); 3] = [("built", "btrfs"), ("default", "overlayfs"), ("k8s.io", "native")];

fn pulled(release: Release) -> Result<(Scene, Containerd, String)> {
    let (scene, name) = published()?;
    let containerd = Containerd::start_with_btrfs(&scene, release)?;
    for (namespace, snapshotter) in PLACES {
        containerd.pull(namespace, snapshotter, &name)?;
    }
    Ok((scene, containerd, name))
}

/// Rows of a list, each as some of its texts, in order.
fn rows(of: &Value, name: &str, store: &str, row: impl Fn(&Value) -> Vec<Value>) -> Vec<Vec<String>> {
    let own = list(of, name)
        .into_iter()
        .filter(|one| one["store"] == *store || one["key"]["store"] == *store);
    let text = |value: Value| value.as_str().unwrap_or("-").to_owned();
    let mut rows: Vec<Vec<String>> = own.map(|one| row(one).into_iter().map(text).collect()).collect();
    rows.sort();
    rows
}

#[test]
fn stores_images_and_layers_are_what_containerd_says() -> Result<()> {
    releases("containerd stores, images and layers")?
        .into_iter()
        .try_for_each(lists)
}

fn lists(release: Release) -> Result<()> {
    let (scene, containerd, _) = pulled(release)?;
    let stores = json_of(&scene, &containerd, &["stores"])?;
    let told = list(&stores, "stores").into_iter().map(|store| {
        json!([
            store["engine"],
            store["namespace"],
            store["driver"],
            store["root"],
            store["images"],
            store["layers"],
            store["unlisted"]
        ])
    });
    let expected = PLACES.map(|(namespace, snapshotter)| {
        json!(["containerd", namespace, snapshotter, containerd.root(), 1, 2, 0])
    });
    assert_eq!(told.collect::<Vec<_>>(), expected);
    assert_eq!(stores["problems"], json!([]));

    let images = json_of(&scene, &containerd, &["images"])?;
    let layers = json_of(&scene, &containerd, &["layers"])?;
    for (namespace, snapshotter) in PLACES {
        let store = store_id(&containerd, namespace, snapshotter);
        let own = rows(&images, "images", &store, |image| {
            vec![image["names"][0].clone(), image["digest"].clone()]
        });
        let theirs = containerd.list(&["--namespace", namespace, "images", "ls"], &[0, 2])?;
        assert_eq!(own, theirs, "{namespace}");
        let snapshots = [
            "--namespace",
            namespace,
            "snapshots",
            "--snapshotter",
            snapshotter,
            "ls",
        ];
        let theirs = containerd.list(&snapshots, &[0, 1, 2])?;
        let own = rows(&layers, "layers", &store, |layer| {
            let of = |id: &Value| json!(format!("sha256:{}", id.as_str().unwrap_or_default()));
            let parent = if layer["parent"].is_null() {
                json!("Committed")
            } else {
                of(&layer["parent"])
            };
            // The base has no parent: the kind comes first then.
            let kind = if layer["parent"].is_null() {
                json!("")
            } else {
                json!("Committed")
            };
            vec![of(&layer["key"]["layer"]), parent, kind]
        });
        assert_eq!(own, theirs, "{namespace}");
        let blobs = containerd
            .list(&["--namespace", namespace, "content", "ls"], &[0])?
            .concat();
        for layer in rows(&layers, "layers", &store, |layer| {
            vec![layer["blob_digest"].clone()]
        })
        .concat()
        {
            assert!(blobs.contains(&layer), "{namespace}: {layer} in {blobs:?}");
        }
    }
    Ok(())
}

/// The chain ids of the image's layers, base first, as containerd has them.
fn chain(containerd: &Containerd) -> Result<Vec<String>> {
    let snapshots = containerd.list(&["snapshots", "ls"], &[0, 1])?;
    let id = |row: &Vec<String>| row[0].trim_start_matches("sha256:").to_owned();
    let (base, top): (Vec<_>, Vec<_>) = snapshots.iter().partition(|row| row[1] == "Committed");
    Ok(base.into_iter().chain(top).map(id).collect())
}

#[test]
fn every_file_is_explained_with_its_layer_and_image() -> Result<()> {
    releases("containerd explain")?
        .into_iter()
        .try_for_each(explanations)
}

fn explanations(release: Release) -> Result<()> {
    let (scene, containerd, name) = pulled(release)?;
    let chain = chain(&containerd)?;
    for (namespace, snapshotter) in PLACES {
        let held = |path: &str| -> Result<Vec<PathBuf>> { containerd.find(snapshotter, path) };
        // Where layers are copies, the second has the first one's files too.
        let copies = if snapshotter == "overlayfs" { 1 } else { 2 };
        for (path, position, count) in [(KEY, 1, 1), ("etc/motd", 1, copies), ("etc/release", 2, 1)] {
            let files = held(path)?;
            assert_eq!(files.len(), count, "{namespace} {path}");
            for file in files {
                let explained = json_of(&scene, &containerd, &["explain", file.to_str().context("text")?])?;
                let image = &explained["images"][0];
                let told = json!([
                    explained["path_in_layer"],
                    explained["store"]["namespace"],
                    explained["layer"]["key"]["layer"],
                    image["name"],
                    image["position"],
                    image["layers"]
                ]);
                let expected = json!([path, namespace, chain[position - 1], name, position, 2]);
                assert_eq!(told, expected, "{}", file.display());
                if path == KEY {
                    assert_eq!(
                        (&image["visibility"]["state"], &explained["findings"][0]["rule"]),
                        (&json!("deleted"), &json!("private-key-pem"))
                    );
                }
            }
        }
    }
    Ok(())
}

#[test]
fn names_are_found_and_secrets_scanned_packed_or_not() -> Result<()> {
    releases("containerd find and scan")?
        .into_iter()
        .try_for_each(searches)
}

fn searches(release: Release) -> Result<()> {
    let (scene, containerd, name) = pulled(release)?;
    // A third namespace has the blobs and unpacks nothing.
    let fetch = [
        "--namespace",
        "fetched",
        "content",
        "fetch",
        "--plain-http",
        &name,
    ];
    containerd.ctr(&fetch)?;
    let found = json_of(&scene, &containerd, &["find", "secret.key"])?;
    let mut places: Vec<String> = list(&found, "found")
        .iter()
        .map(|one| {
            format!(
                "{} {}",
                one["store"].as_str().unwrap_or_default(),
                one["shadowed"]
            )
        })
        .collect();
    places.sort();
    let expected = [("btrfs", "built"), ("native", "k8s.io"), ("overlayfs", "default")]
        .map(|(snapshotter, namespace)| format!("{} true", store_id(&containerd, namespace, snapshotter)));
    assert_eq!(places, expected);

    let scanned = json_of(&scene, &containerd, &["scan", "--all"])?;
    let mut findings: Vec<Value> = list(&scanned, "findings")
        .iter()
        .map(|one| {
            json!([
                one["layer"]["store"],
                one["path"],
                one["rule"],
                one["images"][0]["name"]
            ])
        })
        .collect();
    findings.sort_by_key(Value::to_string);
    let places = [
        ("btrfs", "built"),
        ("native", "k8s.io"),
        ("overlayfs", "default"),
        ("overlayfs", "fetched"),
    ];
    let expected = places.map(|(snapshotter, namespace)| {
        json!([
            store_id(&containerd, namespace, snapshotter),
            KEY,
            "private-key-pem",
            name
        ])
    });
    assert_eq!(findings, expected);
    Ok(())
}
