//! Indexes that are cut, mutated, hostile or gone.

use std::path::PathBuf;

use super::{check, host, outline, put, read_s};
use crate::catalog::containers_storage::records::{ContainerRecord, ImageRecord, LayerRecord};
use crate::catalog::index;
use crate::catalog::{ProblemKind, refresh};

const LAYERS: &str = include_str!("../../../../../tests/fixtures/containers-storage/layers.json");
const IMAGES: &str = include_str!("../../../../../tests/fixtures/containers-storage/images.json");

#[test]
fn a_cut_index_keeps_what_stands_before_the_cut_and_all_of_the_other() {
    let (_directory, host) = host(&[("overlay-images/images.json", IMAGES)]);
    let first_record_ends = LAYERS.find("},{").unwrap() + 1;
    for cut in (1..LAYERS.len()).step_by(7) {
        put(&host, "overlay-layers/layers.json", &LAYERS.as_bytes()[..cut]);
        let catalog = read_s(&host);
        let kept = usize::from(cut >= first_record_ends);
        assert_eq!((catalog.layers.len(), catalog.images.len()), (kept, 1), "{cut}");
        let problem = &catalog.problems[0];
        let offset = format!("(offset {cut} of {cut} bytes)");
        assert_eq!(problem.kind, ProblemKind::Malformed, "{cut}");
        assert!(
            problem.file.ends_with("overlay-layers/layers.json"),
            "{problem:?}"
        );
        assert!(
            problem.cause.starts_with("EOF") && problem.cause.ends_with(&offset),
            "{problem:?}"
        );
    }
}

#[test]
fn a_damage_takes_nothing_that_was_known_before() {
    let (_directory, host) = host(&[
        ("overlay-layers/layers.json", LAYERS),
        ("overlay-images/images.json", IMAGES),
    ]);
    let roots = [PathBuf::from("/s")];
    let whole = read_s(&host);
    let names = ["overlay-layers/layers.json", "overlay-images/images.json"];
    for (name, text) in names.into_iter().zip([LAYERS, IMAGES]) {
        put(&host, name, &text.as_bytes()[..text.len() / 2]);
        let damaged = refresh(&whole, &host, &roots);
        assert_eq!(
            (&damaged.layers, &damaged.images),
            (&whole.layers, &whole.images),
            "{name}"
        );
        let kinds = damaged
            .problems
            .iter()
            .filter(|problem| problem.kind == ProblemKind::Malformed);
        assert_eq!(kinds.count(), 1, "{name}");
        put(&host, name, text.as_bytes());
        assert_eq!(refresh(&damaged, &host, &roots), whole, "{name}");
    }
    // What is whole and no longer lists a layer or an image is believed.
    put(&host, "overlay-layers/layers.json", b"[]");
    put(&host, "overlay-images/images.json", b"[]");
    assert_eq!(outline(&refresh(&whole, &host, &roots)), Vec::<String>::new());
}

#[test]
fn garbage_is_named_and_passed_over() {
    check(
        &[
            (
                "overlay-layers/layers.json",
                r#"[{"id":"../../etc"},{"id":"a/b"},{"id":""},{"id":7},{"no":"id"},"text",
                    {"id":"p","parent":".."},{"id":"good","diff-digest":"sha256:XY","diff-size":-1,"created":"never"}]"#,
            ),
            ("overlay-images/images.json", r#"{"id":"an object"}"#),
        ],
        &[
            "layer good on - Dangling",
            "bad-record layers.json: record 4: invalid type: integer `7`, expected a string",
            "bad-record layers.json: record 5: missing field `id`",
            "bad-record layers.json: record 6: invalid type: string \"text\", expected struct LayerRecord",
            "bad-record layers.json: the id begins with a dot: \"../../etc\"",
            "bad-record layers.json: the id holds a character other than letters, digits, '-', '_' and '.': \"a/b\"",
            "bad-record layers.json: the id is empty: \"\"",
            "bad-record layers.json: the id begins with a dot: \"p\"",
            "bad-record good: not a digest of the form algorithm:hex: \"sha256:XY\"",
            "malformed images.json: invalid type: map, expected an array of records at line 1 column 1 \
             (offset 1 of 18 bytes)",
        ],
    );
}

#[test]
fn names_keep_their_bytes_and_only_absurd_ones_go() {
    let long = "n".repeat(1025);
    let images = serde_json::json!([{"id": "1", "names": ["evil\n\u{1b}[31m:1", long]}]).to_string();
    let (_directory, host) = host(&[("overlay-images/images.json", &images)]);
    let catalog = read_s(&host);
    assert_eq!(catalog.images[0].names, ["evil\n\u{1b}[31m:1"]);
    assert_eq!(
        outline(&catalog)[1],
        "bad-record images.json: a name of 1025 bytes"
    );
}

#[test]
fn a_layer_directory_that_is_a_link_is_not_followed() {
    let (directory, host) = host(&[(
        "overlay-layers/layers.json",
        r#"[{"id":"a"},{"id":"b"},{"id":"c"}]"#,
    )]);
    std::fs::create_dir_all(directory.path().join("etc/diff")).unwrap();
    std::fs::create_dir_all(host.path("/s/overlay/b")).unwrap();
    std::fs::create_dir_all(host.path("/s/overlay/c/diff")).unwrap();
    std::os::unix::fs::symlink(directory.path().join("etc"), host.path("/s/overlay/a")).unwrap();
    std::os::unix::fs::symlink(directory.path().join("etc"), host.path("/s/overlay/b/diff")).unwrap();
    let catalog = read_s(&host);
    let has_content: Vec<_> = catalog
        .layers
        .values()
        .map(|layer| layer.content_key.is_some())
        .collect();
    assert_eq!(has_content, [false, false, true]);
    let kinds: Vec<_> = catalog.problems.iter().map(|problem| problem.kind).collect();
    assert_eq!(kinds, [ProblemKind::MissingContent; 2]);
}

#[test]
fn a_huge_index_is_refused_without_reading_it_all() {
    let (_directory, host) = host(&[("overlay-images/images.json", r#"[{"id":"1"}]"#)]);
    let file = std::fs::File::create(host.path("/s/overlay-layers/layers.json")).unwrap();
    file.set_len(2 << 30).unwrap();
    let catalog = read_s(&host);
    assert_eq!(catalog.problems[0].kind, ProblemKind::TooLarge);
    assert_eq!(catalog.images.len(), 1);
}

#[test]
fn a_flood_of_bad_records_is_counted_not_listed() {
    let layers = format!("[{}{{\"id\":\"good\"}}]", "{},".repeat(5000));
    let (_directory, host) = host(&[("overlay-layers/layers.json", &layers)]);
    let catalog = read_s(&host);
    assert_eq!((catalog.layers.len(), catalog.problems.len()), (1, 201));
    assert_eq!(catalog.problems[200].cause, "4801 more problems are not listed");
}

/// Every index parser, for the property below.
fn parse_all(bytes: &[u8]) -> usize {
    index::parse::<LayerRecord>(bytes).records.len()
        + index::parse::<ImageRecord>(bytes).records.len()
        + index::parse::<ContainerRecord>(bytes).records.len()
}

proptest::proptest! {
    #[test]
    fn mutated_indexes_never_panic(
        images in proptest::arbitrary::any::<bool>(),
        changes in proptest::collection::vec((proptest::arbitrary::any::<usize>(), proptest::arbitrary::any::<u8>()), 1..20),
        cut in proptest::arbitrary::any::<usize>(),
    ) {
        let mut bytes = if images { IMAGES } else { LAYERS }.as_bytes().to_vec();
        for (place, byte) in changes {
            let place = place % bytes.len();
            bytes[place] = byte;
        }
        bytes.truncate(cut % (bytes.len() + 1));
        // Two layers, one image; each of the three parsers may take all of them.
        proptest::prop_assert!(parse_all(&bytes) <= 9);
    }

    #[test]
    fn deep_nesting_is_refused(depth in 129_usize..5000) {
        let bytes = [b"[".repeat(depth), b"]".repeat(depth)].concat();
        let parsed = index::parse::<LayerRecord>(&bytes);
        proptest::prop_assert!(parsed.damage.unwrap().starts_with("recursion limit exceeded"));
    }
}

#[test]
fn chains_of_all_images_together_are_bounded() {
    let layer = |n: usize| serde_json::json!({"id": format!("l{n}"), "parent": format!("l{}", n + 1)});
    let layers: Vec<_> = (0..499)
        .map(layer)
        .chain([serde_json::json!({"id": "l499"})])
        .collect();
    let image = |n: usize| serde_json::json!({"id": format!("i{n}"), "layer": "l0"});
    let images: Vec<_> = (0..2100).map(image).collect();
    let (layers, images) = (
        serde_json::json!(layers).to_string(),
        serde_json::json!(images).to_string(),
    );
    let (_directory, host) = host(&[
        ("overlay-layers/layers.json", &layers),
        ("overlay-images/images.json", &images),
    ]);
    let catalog = read_s(&host);
    let links: usize = catalog.images.iter().map(|image| image.layers.len()).sum();
    assert_eq!((links, catalog.images.len()), (1_000_000, 2100));
    let cut = catalog
        .problems
        .iter()
        .find(|problem| problem.kind == ProblemKind::TooLarge);
    assert_eq!(cut.unwrap().operation, "follow an image's layers");
}
