//! Metadata that is cut, mutated, hostile or gone.

use std::path::PathBuf;

use super::{host, outline, path, problems, put, read_d};
use crate::catalog::{ProblemKind, refresh};

const BASE: &str =
    "image/overlay2/layerdb/sha256/814847b567917b80b9f5389ae6458ed2eeb81e2e5ff702032e3e1add33104ebe";
const TOP: &str =
    "image/overlay2/layerdb/sha256/e7f1360769e37b1d6dbcc055da46a17787976044a6a90b80b7c3623761fda364";
const CONFIG: &str =
    "image/overlay2/imagedb/content/sha256/7e8fbe9e31b6026320bfca92b1a4521e5f8093dda1bcdbe9631430d6cbfb424d";
const NAMES: &str = "image/overlay2/repositories.json";
const BLOB: &str = "image/overlay2/distribution/v2metadata-by-diffid/sha256/814847b567917b80b9f5389ae6458ed2eeb81e2e5ff702032e3e1add33104ebe";
const MOUNT: &str =
    "image/overlay2/layerdb/mounts/b98b5d38dc2364bfd6b35af314c5b72aa585a4360d2dadaab61a815bed1d258c";

/// The beginnings of ids and names that the damaged files speak of.
const DAMAGED: [&str; 5] = [" 8148", " e7f1", "7e8f", "baab", "shop/"];

/// Puts `content` (or, without it, nothing) in the place of a file: these problems come, and nothing else is lost.
fn check(name: &str, content: Option<&[u8]>, expected: &[&str]) {
    let (_directory, host) = host();
    let whole = read_d(&host);
    match content {
        Some(content) => put(&host, name, content),
        None => std::fs::remove_file(path(&host, name)).unwrap(),
    }
    let fresh = read_d(&host);
    assert_eq!(problems(&fresh), expected, "{name}");
    // What the damaged file does not speak of is there as before.
    let others = |line: &&String| DAMAGED.iter().all(|id| !line.contains(id));
    let lines = outline(&fresh);
    for line in outline(&whole).iter().filter(others) {
        assert!(lines.contains(line), "{name}: {line}");
    }
    // What was known before the damage stays.
    let after = refresh(&whole, &host, &[PathBuf::from("/d")]);
    assert_eq!(
        (&after.layers, &after.images),
        (&whole.layers, &whole.images),
        "{name}"
    );
}

#[test]
fn a_damaged_layer_is_named_and_the_rest_stays() {
    let file = |name: &str| format!("{BASE}/{name}");
    check(
        &file("cache-id"),
        Some(b""),
        &[
            "bad-record layerdb/sha256/8148/cache-id: the id is empty",
            "missing-layer /d: 814847b567917b80b9f5389ae6458ed2eeb81e2e5ff702032e3e1add33104ebe",
        ],
    );
    check(
        &file("cache-id"),
        Some(b"../../../etc"),
        &[
            "bad-record layerdb/sha256/8148/cache-id: the id begins with a dot",
            "missing-layer /d: 814847b567917b80b9f5389ae6458ed2eeb81e2e5ff702032e3e1add33104ebe",
        ],
    );
    check(
        &file("cache-id"),
        None,
        &[
            "bad-record layerdb/sha256/8148/cache-id: the file is missing",
            "missing-layer /d: 814847b567917b80b9f5389ae6458ed2eeb81e2e5ff702032e3e1add33104ebe",
        ],
    );
    check(
        &file("diff"),
        Some(b"sha256:8148"),
        &[r#"bad-record layerdb/sha256/8148/diff: not a digest of the form algorithm:hex: "sha256:8148""#],
    );
    check(
        &file("diff"),
        None,
        &["bad-record layerdb/sha256/8148/diff: the file is missing"],
    );
    check(
        &file("size"),
        Some(b"-1"),
        &["bad-record layerdb/sha256/8148/size: it is no number of bytes"],
    );
    let no_text = "is not UTF-8: invalid utf-8 sequence of 1 bytes from index 0";
    for (content, kind, cause) in [
        ([0xff; 5000].get(..8), "malformed", no_text),
        ([b'1'; 5000].get(..), "too-large", "is larger than 4096 bytes"),
    ] {
        let problem = format!("{kind} layerdb/sha256/8148/size: /d/{BASE}/size {cause}");
        check(&file("size"), content, &[&problem]);
    }
    let other = format!("sha256:{}", "ab".repeat(32));
    check(
        &format!("{TOP}/parent"),
        Some(other.as_bytes()),
        &["bad-record layerdb/sha256/e7f1: the chain id is not that of its parent and its diff"],
    );
    check(
        &format!("{TOP}/parent"),
        Some(b"\x1b[31m"),
        &[
            r#"bad-record layerdb/sha256/e7f1/parent: not a digest of the form algorithm:hex: "\\u{1b}[31m""#,
            "bad-record layerdb/sha256/e7f1: the chain id is not that of its parent and its diff",
        ],
    );
    check(
        &format!("{TOP}/parent"),
        None,
        &["bad-record layerdb/sha256/e7f1: the chain id is not that of its parent and its diff"],
    );
}

#[test]
fn a_damaged_image_keeps_its_name_and_the_rest_stays() {
    check(
        CONFIG,
        Some(b""),
        &[
            "bad-record imagedb/content/sha256/7e8f: the content is not what the id is the digest of",
            "malformed imagedb/content/sha256/7e8f: EOF while parsing a value at line 1 column 0",
        ],
    );
    check(
        CONFIG,
        Some(b"{\"rootfs\":{\"diff_ids\":[\"x\"]}}"),
        &[
            "bad-record imagedb/content/sha256/7e8f: the content is not what the id is the digest of",
            r#"bad-record imagedb/content/sha256/7e8f: not a digest of the form algorithm:hex: "x""#,
        ],
    );
    check(
        CONFIG,
        Some(b"{\"rootfs\":7}"),
        &[
            "bad-record imagedb/content/sha256/7e8f: the content is not what the id is the digest of",
            "malformed imagedb/content/sha256/7e8f: invalid type: integer `7`, expected struct RootFs at line 1 column 11",
        ],
    );
    check(
        CONFIG,
        Some("[".repeat(5000).as_bytes()),
        &[
            "bad-record imagedb/content/sha256/7e8f: the content is not what the id is the digest of",
            "malformed imagedb/content/sha256/7e8f: invalid type: sequence, expected a string at line 1 column 1",
        ],
    );
}

#[test]
fn damaged_names_lose_no_image() {
    check(
        NAMES,
        Some(b"{\"Repositories\":{\"127.0.0.1:15055/shop/api\":{\"127.0.0.1"),
        &[
            "malformed repositories.json: EOF while parsing a string at line 1 column 55 (offset 55 of 55 bytes)",
        ],
    );
    check(
        NAMES,
        Some(b"[1,2]"),
        &[
            "malformed repositories.json: invalid type: sequence, expected a map of names at line 1 column 1 (offset 1 of 5 bytes)",
        ],
    );
    check(
        NAMES,
        Some(&[0xff, 0xfe]),
        &["malformed repositories.json: expected value at line 1 column 1 (offset 1 of 2 bytes)"],
    );
}

#[test]
fn what_else_is_damaged_is_named_too() {
    check(
        BLOB,
        Some(b"[{}]"),
        &["bad-record distribution/v2metadata-by-diffid/sha256/8148: record 1: missing field `Digest`"],
    );
    check(
        BLOB,
        Some(b"[{\"Digest\":\"md5:1\"}]"),
        &[
            r#"bad-record distribution/v2metadata-by-diffid/sha256/8148: not a digest of the form algorithm:hex: "md5:1""#,
        ],
    );
    check(
        "image/overlay2/layerdb/sha256/stray/size",
        Some(b"1"),
        &["bad-record layerdb/sha256/stray: the name is no chain id"],
    );
    check(
        "image/overlay2/layerdb/sha256/ab-123-removing/size",
        Some(b"1"),
        &[],
    );
    check(
        "image/overlay2/imagedb/content/sha256/stray",
        Some(b"{}"),
        &["bad-record imagedb/content/sha256/stray: the name is no image id"],
    );
    check("image/overlay2/imagedb/content/sha256/.tmp-x", Some(b"{"), &[]);
    check("image/overlay2/layerdb/tmp/write-set-1/diff", Some(b"sha"), &[]);
}

/// Of a container's layers nothing is kept: who opens them is that container, or is looked at by the directory above.
#[test]
fn a_damaged_container_is_named() {
    let (_directory, host) = host();
    put(&host, &format!("{MOUNT}/mount-id"), b"a/b");
    put(&host, &format!("{MOUNT}/parent"), b"");
    let catalog = read_d(&host);
    let expected = [
        "bad-record layerdb/mounts/b98b/parent: not a digest of the form algorithm:hex: \"\"",
        "bad-record layerdb/mounts/b98b/mount-id: \
         the id holds a character other than letters, digits, '-', '_' and '.'",
    ];
    assert_eq!(problems(&catalog), expected);
    assert_eq!(catalog.layers.len(), 6);
}

#[test]
fn a_directory_that_is_none_takes_nothing_that_was_known_before() {
    let (_directory, host) = host();
    let whole = read_d(&host);
    for name in ["layerdb/sha256", "layerdb/mounts", "imagedb/content/sha256"] {
        let directory = path(&host, &format!("image/overlay2/{name}"));
        let away = directory.with_extension("away");
        std::fs::rename(&directory, &away).unwrap();
        std::fs::write(&directory, "a file").unwrap();
        let after = refresh(&whole, &host, &[PathBuf::from("/d")]);
        assert_eq!(
            (&after.layers, &after.images),
            (&whole.layers, &whole.images),
            "{name}"
        );
        let kinds: Vec<_> = after
            .problems
            .iter()
            .map(|problem| problem.kind.as_str())
            .collect();
        assert_eq!(kinds, ["unreadable"], "{name}");
        std::fs::remove_file(&directory).unwrap();
        std::fs::rename(&away, &directory).unwrap();
    }
    // What is whole and no longer lists an image is believed.
    std::fs::remove_dir_all(path(&host, "image/overlay2/imagedb/content/sha256")).unwrap();
    std::fs::remove_dir_all(path(&host, "image/overlay2/layerdb/sha256")).unwrap();
    let gone = refresh(&whole, &host, &[PathBuf::from("/d")]);
    assert_eq!((gone.layers.len(), gone.images.len()), (2, 0));
}

#[test]
fn a_layer_directory_that_is_a_link_is_not_followed() {
    let (directory, host) = host();
    let content = path(
        &host,
        "overlay2/fd15ada458fd89e734c1f4c9aa7320f3bba480445204f44ac1ae26d93e2c917e",
    );
    std::fs::rename(&content, directory.path().join("elsewhere")).unwrap();
    std::os::unix::fs::symlink("/elsewhere", &content).unwrap();
    let catalog = read_d(&host);
    let lost: Vec<_> = catalog
        .layers
        .values()
        .filter(|layer| layer.content_key.is_none())
        .collect();
    assert_eq!(lost.len(), 1);
    assert!(BASE.ends_with(lost[0].key.layer.as_str()));
    assert_eq!(catalog.problems[0].kind, ProblemKind::MissingContent);
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(24))]
    #[test]
    fn mutated_metadata_never_panics(
        which in proptest::arbitrary::any::<usize>(),
        changes in proptest::collection::vec((proptest::arbitrary::any::<usize>(), proptest::arbitrary::any::<u8>()), 1..20),
        cut in proptest::arbitrary::any::<usize>(),
    ) {
        let (_directory, host) = host();
        let names = [format!("{BASE}/cache-id"), format!("{BASE}/diff"), format!("{BASE}/size"), CONFIG.to_owned(),
            NAMES.to_owned(), BLOB.to_owned(), format!("{MOUNT}/mount-id")];
        let name = &names[which % names.len()];
        let mut bytes = crate::bounded::read(&path(&host, name), 1 << 20).unwrap();
        for (place, byte) in changes {
            let place = place % bytes.len();
            bytes[place] = byte;
        }
        bytes.truncate(cut % (bytes.len() + 1));
        put(&host, name, &bytes);
        let catalog = read_d(&host);
        proptest::prop_assert_eq!(catalog.images.len(), 2);
        proptest::prop_assert!(catalog.layers.len() >= 5);
    }
}
