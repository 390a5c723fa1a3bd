//! Databases and blobs that are cut, hostile, giant or gone.

use std::path::PathBuf;

use super::{CONFIG, CONTENT, MANIFESTS, META, host, outline, path, problems, put, read_c};
use crate::catalog::refresh;

const OVERLAYFS: &str = "io.containerd.snapshotter.v1.overlayfs/metadata.db";
const PAGE: usize = 4096;

/// After a change of a file these problems come; what was known before stays, and of what was not, this many layers and
/// images can still be read.
fn check(name: &str, change: impl FnOnce(&mut Vec<u8>), expected: &[&str], left: (usize, usize)) {
    let (_directory, host) = host();
    let whole = read_c(&host);
    let mut bytes = crate::bounded::read(&path(&host, name), 1 << 20).unwrap();
    change(&mut bytes);
    put(&host, name, &bytes);
    let fresh = read_c(&host);
    assert_eq!(problems(&fresh), expected, "{name}");
    assert_eq!((fresh.layers.len(), fresh.images.len()), left, "{name}");
    let after = refresh(&whole, &host, &[PathBuf::from("/c")]);
    let stores = |catalog: &crate::catalog::Catalog| {
        let mut ids: Vec<_> = catalog.stores.iter().map(|store| store.id.clone()).collect();
        ids.sort();
        ids
    };
    assert_eq!(stores(&after), stores(&whole), "{name}");
    assert_eq!(after.layers, whole.layers, "{name}");
    assert_eq!(after.images.len(), whole.images.len(), "{name}");
}

#[test]
fn a_damaged_database_is_named_and_what_was_known_stays() {
    // The newest header's root, page 40, is cut off.
    check(
        META,
        |file| file.truncate(40 * PAGE),
        &[&format!("malformed {META}: page 40: lies outside the file")],
        (0, 0),
    );
    // Namespace `k8s.io` is on page 37, from which the root of its buckets is read.
    check(
        META,
        |file| file[37 * PAGE] ^= 1,
        &[&format!("malformed {META}: page 37: says that it is another one")],
        (2, 1),
    );
    // Both headers.
    check(
        META,
        |file| file[..2 * PAGE].fill(0),
        &[&format!(
            "malformed {META}: no header with a right checksum in 69632 bytes"
        )],
        (0, 0),
    );
}

#[test]
fn a_snapshotters_damage_takes_its_layers_alone() {
    let missing = |namespace: &str, number: u8, chain: &str| {
        format!("missing-layer {META}: the snapshotter does not know \"{namespace}/{number}/sha256:{chain}\"")
    };
    let lost = |namespace: &str| {
        [4, 2].map(|number| {
            let chain = if number == 4 { super::TOP } else { super::BASE };
            missing(namespace, number, chain)
        })
    };
    let damaged = format!("malformed {OVERLAYFS}: page 8: lies outside the file");
    let [top, base] = lost("default");
    let [kube_top, kube_base] = lost("k8s.io");
    // The blobs are there all the same.
    check(
        OVERLAYFS,
        |file| file.truncate(8 * PAGE),
        &[&top, &base, &damaged, &kube_top, &kube_base],
        (4, 2),
    );
}

#[test]
fn a_damaged_blob_takes_its_image_alone() {
    let manifest = format!("{CONTENT}/{}", MANIFESTS[0]);
    let lost = "EOF while parsing a value at line 1 column 0";
    for (content, problem) in [
        (&b""[..], format!("malformed {manifest}: {lost}")),
        (
            b"{\"config\":{\"digest\":\"md5:1\"}}",
            format!("bad-record {manifest}: not a digest of the form algorithm:hex: \"md5:1\""),
        ),
    ] {
        let (_directory, host) = host();
        put(&host, &manifest, content);
        let catalog = read_c(&host);
        assert_eq!(problems(&catalog), [problem]);
        // The name is there, with no layers; the layers are there, of no image.
        let lines = outline(&catalog);
        assert!(
            lines
                .iter()
                .any(|line| line == "overlayfs default f748 127.0.0.1:5055/fixture/app:2 "),
            "{lines:#?}"
        );
        assert_eq!((catalog.layers.len(), catalog.images.len()), (6, 3));
    }
    let (_directory, host) = host();
    std::fs::remove_file(path(&host, &manifest)).unwrap();
    assert_eq!(
        problems(&read_c(&host)),
        [format!(
            "missing-content {manifest}: the blob is not in the content store"
        )]
    );
    let config = format!("{CONTENT}/{CONFIG}");
    std::fs::File::create(path(&host, &config))
        .unwrap()
        .set_len(2 << 30)
        .unwrap();
    let giant = format!("too-large {config}: /c/{config} is larger than 8388608 bytes");
    let told = problems(&read_c(&host));
    assert!(told.contains(&giant), "{told:#?}");
}

#[test]
fn a_manifest_that_names_itself_ends() {
    let (_directory, host) = host();
    let own = format!("sha256:{}", MANIFESTS[0]);
    let index = serde_json::json!({"manifests": [{"digest": own}, {"digest": own}]});
    put(
        &host,
        &format!("{CONTENT}/{}", MANIFESTS[0]),
        index.to_string().as_bytes(),
    );
    assert_eq!(problems(&read_c(&host)), Vec::<String>::new());
}

#[test]
fn a_snapshot_that_is_a_link_is_not_followed() {
    let (directory, host) = host();
    let snapshot = path(&host, "io.containerd.snapshotter.v1.overlayfs/snapshots/1");
    std::fs::rename(&snapshot, directory.path().join("elsewhere")).unwrap();
    std::os::unix::fs::symlink("/elsewhere", &snapshot).unwrap();
    let catalog = read_c(&host);
    assert_eq!(
        problems(&catalog),
        ["missing-content io.containerd.snapshotter.v1.overlayfs/snapshots/1/fs: not a directory"]
    );
    let lost: Vec<_> = catalog
        .layers
        .values()
        .filter(|layer| layer.content_key.is_none())
        .collect();
    assert_eq!(lost.len(), 1);
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(24))]
    #[test]
    fn mutated_databases_never_panic(
        name in proptest::sample::select(vec![META, OVERLAYFS]),
        changes in proptest::collection::vec((proptest::arbitrary::any::<usize>(), proptest::arbitrary::any::<u8>()), 1..40),
    ) {
        let (_directory, host) = host();
        let mut bytes = crate::bounded::read(&path(&host, name), 1 << 20).unwrap();
        let body = bytes.len() - 2 * PAGE;
        for (place, byte) in changes {
            bytes[2 * PAGE + place % body] = byte;
        }
        put(&host, name, &bytes);
        let catalog = read_c(&host);
        proptest::prop_assert!(catalog.layers.len() < 100);
    }
}
