//! The reader against synthetic, recorded and real stores.

mod damage;
mod datasets;
mod engines;

use std::path::{Path, PathBuf};

use crate::catalog::{Catalog, Host, read};
use crate::model::LayerId;

/// A host whose store at `/s` has these files (`name=content`).
fn host(files: &[(&str, &str)]) -> (tempfile::TempDir, Host) {
    let directory = tempfile::tempdir().unwrap();
    let host = Host::new(directory.path());
    std::fs::create_dir_all(host.path("/s/overlay-layers")).unwrap();
    for (name, content) in files {
        put(&host, name, content.as_bytes());
    }
    (directory, host)
}

fn put(host: &Host, name: &str, content: &[u8]) {
    let path = host.path(Path::new("/s").join(name));
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}

fn read_s(host: &Host) -> Catalog {
    read(host, &[PathBuf::from("/s")])
}

/// A catalog in short: one line for each layer, image and problem.
fn outline(catalog: &Catalog) -> Vec<String> {
    let layers = catalog.layers.values().map(|layer| {
        let parent = layer.parent.as_ref().map_or("-", |parent| parent.as_str());
        format!("layer {} on {parent} {:?}", layer.key.layer, layer.state)
    });
    let images = catalog.images.iter().map(|image| {
        let chain: Vec<_> = image.layers.iter().map(LayerId::as_str).collect();
        let mapped: Vec<_> = image.mapped_layers.iter().map(LayerId::as_str).collect();
        format!(
            "image {} {:?} {} +{}",
            image.id,
            image.names,
            chain.join(">"),
            mapped.join(",")
        )
    });
    let problems = catalog
        .problems
        .iter()
        .filter(|problem| problem.kind != crate::catalog::ProblemKind::MissingContent)
        .map(|problem| {
            let file = problem.file.rsplit('/').next().unwrap_or_default();
            format!("{} {file}: {}", problem.kind.as_str(), problem.cause)
        });
    layers.chain(images).chain(problems).collect()
}

fn check(files: &[(&str, &str)], lines: &[&str]) {
    let (_directory, host) = host(files);
    assert_eq!(outline(&read_s(&host)), lines, "{files:?}");
}

#[test]
fn layers_and_images_are_linked() {
    check(&[], &[]);
    check(
        &[
            (
                "overlay-layers/layers.json",
                r#"[{"id":"b","parent":"a","new-key":[1]},{"id":"a","parent":""},{"id":"d"},
                    {"id":"w","parent":"b"},{"id":"i","flags":{"incomplete":true}},{"id":"j","flags":{"incomplete":false}},
                    {"id":"m","parent":"a"}]"#,
            ),
            (
                "overlay-layers/volatile-layers.json",
                r#"[{"id":"v","parent":"b"},{"id":"a"}]"#,
            ),
            (
                "overlay-containers/containers.json",
                r#"[{"id":"c","layer":"w","image":"one"}]"#,
            ),
            (
                "overlay-images/images.json",
                r#"[{"id":"one","names":["x/y:1"],"layer":"b","mapped-layers":["m","b"]},{"id":"none","names":null},
                    {"id":"two","layer":"a"}]"#,
            ),
        ],
        &[
            "layer a on - Image",
            "layer b on a Image",
            "layer d on - Dangling",
            "layer i on - Incomplete",
            "layer j on - Dangling",
            "layer m on a Image",
            "layer v on b Container",
            "layer w on b Container",
            r#"image one ["x/y:1"] a>b +m"#,
            "image none []  +",
            "image two [] a +",
            "duplicate-id volatile-layers.json: a",
        ],
    );
}

#[test]
fn chains_that_end_badly_end() {
    check(
        &[
            (
                "overlay-layers/layers.json",
                r#"[{"id":"a","parent":"b"},{"id":"b","parent":"a"},{"id":"s","parent":"s"},{"id":"o","parent":"gone"}]"#,
            ),
            (
                "overlay-images/images.json",
                r#"[{"id":"1","layer":"a"},{"id":"2","layer":"s"},{"id":"3","layer":"o"},{"id":"4","layer":"lost"},{"id":"1"}]"#,
            ),
        ],
        &[
            "layer a on b Image",
            "layer b on a Image",
            "layer o on gone Image",
            "layer s on s Image",
            "image 1 [] b>a +",
            "image 2 [] s +",
            "image 3 [] gone>o +",
            "image 4 [] lost +",
            "duplicate-id images.json: 1",
            "parent-cycle s: a",
            "parent-cycle s: s",
            "missing-layer s: gone",
            "missing-layer s: lost",
        ],
    );
}

#[test]
fn where_a_layer_stands_and_what_is_above_it() {
    let (_directory, host) = host(&[
        (
            "overlay-layers/layers.json",
            r#"[{"id":"a"},{"id":"b","parent":"a"},{"id":"c","parent":"b"},{"id":"m","parent":"b"},{"id":"x"}]"#,
        ),
        (
            "overlay-images/images.json",
            r#"[{"id":"one","layer":"c","mapped-layers":["m"]},{"id":"two","layer":"b"}]"#,
        ),
    ]);
    let catalog = read_s(&host);
    for (layer, images, above) in [
        ("a", "one:1 two:1", "b c"),
        ("b", "one:2 two:2", "c"),
        ("c", "one:3", ""),
        ("m", "one:3", ""),
        ("x", "", ""),
    ] {
        let key = catalog
            .layers
            .keys()
            .find(|key| key.layer.as_str() == layer)
            .unwrap();
        let holding = catalog.images_of(key);
        let holding = holding
            .iter()
            .map(|found| format!("{}:{}", found.image.id, found.position));
        assert_eq!(holding.collect::<Vec<_>>().join(" "), images, "{layer}");
        let higher = catalog.layers_above(&catalog.images[0], key);
        let higher = higher.iter().map(|layer| layer.key.layer.as_str());
        assert_eq!(higher.collect::<Vec<_>>().join(" "), above, "{layer}");
    }
}

#[test]
fn a_chain_may_go_through_another_store_of_roots() {
    let (_directory, host) = host(&[
        ("overlay-layers/layers.json", r#"[{"id":"b","parent":"a"}]"#),
        ("overlay-images/images.json", r#"[{"id":"1","layer":"b"}]"#),
    ]);
    let shared = host.path("/shared/overlay-layers");
    std::fs::create_dir_all(&shared).unwrap();
    std::fs::write(shared.join("layers.json"), r#"[{"id":"a"}]"#).unwrap();
    let roots = ["/s", "/shared"].map(PathBuf::from);
    if !rustix::process::geteuid().is_root() {
        return crate::testing::skip("a_chain_may_go_through_another_store_of_roots", "needs root");
    }
    let catalog = read(&host, &roots);
    let expected = ["layer b on a Image", "layer a on - Image", "image 1 [] a>b +"];
    assert_eq!(outline(&catalog), expected);
    let lent = catalog
        .layers
        .keys()
        .find(|key| key.layer.as_str() == "a")
        .unwrap();
    assert_eq!(lent.store.as_str(), "overlay@/shared");
    assert_eq!(catalog.images_of(lent).len(), 1);
    // The same layer in a store of another user is somebody's claim.
    std::os::unix::fs::chown(host.path("/shared"), Some(1000), Some(1000)).unwrap();
    let catalog = read(&host, &roots);
    assert_eq!(catalog.images_of(lent).len(), 0);
    assert_eq!(outline(&catalog).last().unwrap(), "missing-layer s: a");
}

#[test]
fn one_store_at_two_places_is_one_store() {
    let (directory, host) = host(&[("overlay-layers/layers.json", r#"[{"id":"a"}]"#)]);
    std::os::unix::fs::symlink("/s", directory.path().join("link")).unwrap();
    let catalog = read(&host, &["/link", "/s"].map(PathBuf::from));
    let ids: Vec<_> = catalog.stores.iter().map(|store| store.id.as_str()).collect();
    assert_eq!((ids.as_slice(), catalog.layers.len()), (&["overlay@/s"][..], 1));
}
