//! Lookups of a small snapshot, and its way through JSON.
//!
//! Invariant: the host is the one of `plane::frames`, changed where a test says so. Run by the unit tests.

use super::*;
use crate::model::{ImageId, LayerId, Visibility};
use crate::plane::frames::{Scene, key};

#[test]
fn a_snapshot_survives_being_written() {
    let mut scene = Scene::new();
    scene.shadow("i1");
    let knowledge = scene.knowledge();
    let json = serde_json::to_string(&knowledge).unwrap();
    let read: Knowledge = serde_json::from_str(&json).unwrap();
    assert_eq!(read.parts(), &scene.parts);
    assert_eq!(read.findings_of(key(100)).count(), 1);
    assert_eq!(
        read.layer_of_content(key(11)),
        knowledge.layer_of_content(key(11))
    );
}

#[test]
fn lookups_are_by_inode() {
    let knowledge = Scene::new().knowledge();
    let store = |found: Option<&Store>| found.map(|store| store.id.to_string());
    let name = Some("overlay@/storage".to_owned());
    for (ino, directory, index) in [
        (1, &name, &None),
        (2, &name, &name),
        (3, &name, &None),
        (4, &None, &None),
    ] {
        assert_eq!(&store(knowledge.store_of_directory(key(ino))), directory, "{ino}");
        assert_eq!(&store(knowledge.store_of_index(key(ino))), index, "{ino}");
    }
    assert!(knowledge.is_engine(key(900)) && !knowledge.is_engine(key(901)));
    assert_eq!(knowledge.findings_of(key(101)).count(), 0);
}

#[test]
fn a_path_below_the_store_names_its_layer() {
    let knowledge = Scene::new().knowledge();
    let store = knowledge.parts().stores[0].id.clone();
    for (path, expected) in [
        (
            &b"/storage/overlay/l1/diff/etc/key"[..],
            Some(("l1", &b"etc/key"[..])),
        ),
        (b"/moved/root/overlay/l2/diff/x", Some(("l2", b"x"))),
        (b"overlay/l2/diff", Some(("l2", b""))),
        (b"/storage/overlay/l3/diff/x", None),
        (b"/storage/overlay/l1/merged/x", None),
        (b"/storage/overlay/l1x/diff/x", None),
        (b"", None),
        (b"//", None),
    ] {
        let found = knowledge.locate(&store, path);
        let found = found
            .as_ref()
            .map(|(layer, rest)| (layer.key.layer.as_str(), rest.as_slice()));
        assert_eq!(found, expected, "{}", path.escape_ascii());
    }
    assert!(
        knowledge
            .locate(&StoreId::new("other"), b"/storage/overlay/l1/diff/x")
            .is_none()
    );
}

#[test]
fn trust_is_the_worst_of_the_images() {
    let scene = Scene::new();
    let knowledge = scene.knowledge();
    let images = &scene.parts.images;
    let provenance = |images: &[Image]| knowledge.trust_of(images).provenance;
    assert_eq!(provenance(images), Provenance::Unattested);
    assert_eq!(provenance(&images[1..]), Provenance::Verified);
    assert_eq!(provenance(&[]), Provenance::Unknown, "no image");
    let stranger = Image {
        id: ImageId::new("i9"),
        ..images[0].clone()
    };
    assert_eq!(
        provenance(&[images[1].clone(), stranger]),
        Provenance::Unknown,
        "no verdict is not a good one"
    );
}

#[test]
fn hidden_means_hidden_in_each_image() {
    let by = LayerId::new("l2");
    let deleted = |image: &str| (ImageId::new(image), Visibility::Deleted { by: by.clone() });
    let visible = |image: &str| (ImageId::new(image), Visibility::Visible);
    for (visibility, shadowed) in [
        (vec![], false),
        (vec![deleted("i1")], false),
        (vec![deleted("i1"), visible("i2")], false),
        (vec![deleted("i1"), deleted("i2")], true),
        (vec![deleted("i1"), deleted("i9")], false),
    ] {
        let mut scene = Scene::new();
        scene.parts.findings[0].visibility = visibility;
        let knowledge = scene.knowledge();
        let known = knowledge.findings_of(key(100)).next().unwrap();
        assert_eq!(knowledge.is_shadowed(known), shadowed);
    }
}
