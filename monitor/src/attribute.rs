//! Which layer, images and findings an accessed inode is, by one knowledge snapshot.
//!
//! Invariant: pure; findings are matched by inode alone, and a number that was reused since it was watched is believed
//! only by a snapshot that is newer than the access. Called by `correlate`.

use std::collections::BTreeSet;

use crate::knowledge::{Knowledge, KnownBlob, KnownFinding, image_report};
use crate::model::{Access, Attribution, Image, Layer, LayerKey, Place, StoreId, WatchMatch};

/// Why an access has no attribution.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Unattributed {
    /// The snapshot has no such layer, or not yet.
    NotInSnapshot,
    /// The layer is there, its content has not been scanned.
    NotScanned,
    /// The watched inode is no file of a store any more.
    NoStoreFile,
}

impl Unattributed {
    /// The name in a metric label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotInSnapshot => "not-in-snapshot",
            Self::NotScanned => "not-scanned",
            Self::NoStoreFile => "no-store-file",
        }
    }
}

/// Says what an access touched; an attribution with `scanned: false` names the layer but not yet what is in it.
pub fn attribute(access: &Access, knowledge: &Knowledge) -> Result<Attribution, Unattributed> {
    by_findings(access, knowledge)
        .or_else(|| by_config(access, knowledge))
        .or_else(|| by_blob(access, knowledge))
        .or_else(|| by_directory(access, knowledge))
        .ok_or(match access.matched {
            WatchMatch::File => Unattributed::NoStoreFile,
            WatchMatch::Directory => Unattributed::NotInSnapshot,
        })
}

/// The findings in the file, worst first; the worst one's layer is the one reported, the images are those of all
/// layers that share the inode (`use_hard_links` of containers/storage).
fn by_findings(access: &Access, knowledge: &Knowledge) -> Option<Attribution> {
    let known = knowledge.findings_of(access.file);
    let mut known: Vec<&KnownFinding> = known.filter(|one| is_in(one, access)).collect();
    known.sort_by_key(|one| std::cmp::Reverse(rank(one)));
    let worst = known.first()?;
    let (key, path) = file_place(worst)?;
    let layer = knowledge.layer(key)?;
    let layers: BTreeSet<&LayerKey> = known.iter().filter_map(|one| Some(file_place(one)?.0)).collect();
    let mut images: Vec<&Image> = Vec::new();
    for image in layers.into_iter().flat_map(|layer| knowledge.images_of(layer)) {
        if !images
            .iter()
            .any(|one| one.store == image.store && one.id == image.id)
        {
            images.push(image);
        }
    }
    let mut attribution = describe(layer, &images, Some(path.to_vec()), knowledge)?;
    attribution.shadowed = known.iter().all(|one| knowledge.is_shadowed(one));
    attribution.exposure.clone_from(&worst.exposure);
    attribution.scanned = true;
    attribution.findings = known.iter().map(|one| one.finding.clone()).collect();
    Some(attribution)
}

/// The findings in an image's configuration file, worst first.
fn by_config(access: &Access, knowledge: &Knowledge) -> Option<Attribution> {
    let config = knowledge.config_of(access.file)?;
    let image = knowledge.image(&config.store, &config.image)?;
    let trust = knowledge.trust_of([image]);
    let mut findings = config.findings.clone();
    findings.sort_by_key(|one| std::cmp::Reverse((one.severity, one.confidence)));
    Some(Attribution {
        layer: None,
        report: None,
        images: vec![image_report(image)],
        path: None,
        findings,
        shadowed: false,
        exposure: config.exposure.clone(),
        provenance: trust.provenance,
        quality: trust.quality,
        scanned: true,
        store_owner_uid: knowledge.store(&config.store)?.owner_uid,
    })
}

/// The findings of the layer that the file is the blob of, worst first.
fn by_blob(access: &Access, knowledge: &Knowledge) -> Option<Attribution> {
    let blobs: Vec<&KnownBlob> = knowledge.blobs_of(access.file).collect();
    let first = blobs.first()?;
    let layer = knowledge.layer(&first.layer)?;
    let mut images: Vec<&Image> = Vec::new();
    for image in blobs.iter().flat_map(|blob| knowledge.images_of(&blob.layer)) {
        if !images.iter().any(|one| one.id == image.id) {
            images.push(image);
        }
    }
    let mut known: Vec<&KnownFinding> = knowledge.findings_in(&first.layer).collect();
    known.sort_by_key(|one| std::cmp::Reverse(rank(one)));
    let mut attribution = describe(layer, &images, None, knowledge)?;
    attribution.shadowed = known.iter().all(|one| knowledge.is_shadowed(one));
    attribution.exposure.clone_from(&first.exposure);
    attribution.scanned = true;
    attribution.findings = known.iter().map(|one| one.finding.clone()).collect();
    Some(attribution)
}

/// The layer whose content directory the kernel met above the file, or whose way the path names below a directory of
/// its store.
fn by_directory(access: &Access, knowledge: &Knowledge) -> Option<Attribution> {
    if access.matched == WatchMatch::File {
        return None;
    }
    let (layer, path) = if let Some(layer) = knowledge.layer_of_content(access.watch) {
        let path = path_in(&layer.key.store, access, knowledge).filter(|(found, _)| found.key == layer.key);
        (layer, path.map(|(_, path)| path))
    } else {
        let mut stores = knowledge.stores_of_directory(access.watch);
        let (layer, path) = stores.find_map(|store| path_in(&store.id, access, knowledge))?;
        (layer, Some(path))
    };
    let images: Vec<&Image> = knowledge.images_of(&layer.key).collect();
    describe(layer, &images, path, knowledge)
}

fn path_in<'k>(store: &StoreId, access: &Access, knowledge: &'k Knowledge) -> Option<(&'k Layer, Vec<u8>)> {
    knowledge.locate(store, &access.path)
}

fn rank(known: &KnownFinding) -> (crate::model::Severity, crate::model::Confidence) {
    (known.finding.severity, known.finding.confidence)
}

/// Whether the finding is in this very file, and not in one that had its number before.
fn is_in(known: &KnownFinding, access: &Access) -> bool {
    match known.finding.place {
        // 0 where the file system, or the hook, does not tell.
        Place::File { generation, .. } => {
            generation == 0 || access.generation == 0 || generation == access.generation
        }
        Place::ImageConfig { .. } => true,
    }
}

fn file_place(known: &KnownFinding) -> Option<(&LayerKey, &[u8])> {
    match &known.finding.place {
        Place::File {
            layer: Some(layer),
            path,
            ..
        } => Some((layer, path)),
        Place::File { layer: None, .. } | Place::ImageConfig { .. } => None,
    }
}

fn describe(
    layer: &Layer,
    images: &[&Image],
    path: Option<Vec<u8>>,
    knowledge: &Knowledge,
) -> Option<Attribution> {
    let trust = knowledge.trust_of(images.iter().copied());
    Some(Attribution {
        layer: Some(layer.key.clone()),
        report: Some(knowledge.layer_report(layer)?),
        images: images.iter().map(|image| image_report(image)).collect(),
        path,
        findings: Vec::new(),
        shadowed: false,
        exposure: None,
        provenance: trust.provenance,
        quality: trust.quality,
        scanned: knowledge.is_scanned(&layer.key),
        store_owner_uid: knowledge.store(&layer.key.store)?.owner_uid,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plane::frames::{Scene, key};

    /// What became of an access: layer, path in it, number of findings, shadowed, scanned.
    type Seen = (&'static str, Option<&'static str>, usize, bool, bool);

    fn check(name: &str, change: impl FnOnce(&mut Scene), expected: Result<Seen, Unattributed>) {
        let mut scene = Scene::new();
        change(&mut scene);
        let found = attribute(&scene.access(), &scene.knowledge());
        let found = found.as_ref().map(|one| {
            let path = one.path.as_deref().map(|path| std::str::from_utf8(path).unwrap());
            (
                one.layer.as_ref().map_or("", |layer| layer.layer.as_str()),
                path,
                one.findings.len(),
                one.shadowed,
                one.scanned,
            )
        });
        assert_eq!(found, expected.as_ref().copied(), "{name}");
    }

    #[test]
    fn what_an_inode_is() {
        check(
            "a finding",
            |_| {},
            Ok(("l1", Some("etc/key.pem"), 1, false, true)),
        );
        check(
            "its path is somebody else's",
            |s| s.path("/etc/passwd"),
            Ok(("l1", Some("etc/key.pem"), 1, false, true)),
        );
        check("a layer's blob", Scene::blob, Ok(("l1", None, 1, false, true)));
        check(
            "hidden in one of two images",
            |s| s.shadow("i1"),
            Ok(("l1", Some("etc/key.pem"), 1, false, true)),
        );
        check(
            "hidden in both",
            |s| {
                s.shadow("i1");
                s.shadow("i2");
            },
            Ok(("l1", Some("etc/key.pem"), 1, true, true)),
        );
        check(
            "of no image",
            |s| {
                s.shadow("i1");
                s.parts.images.clear();
            },
            Ok(("l1", Some("etc/key.pem"), 1, false, true)),
        );
        check("a number reused", Scene::reused, Err(Unattributed::NoStoreFile));
        check(
            "reused, and the stores were read since",
            |s| {
                s.reused();
                s.built_after();
            },
            Err(Unattributed::NoStoreFile),
        );
        check(
            "reused, and its content was found since",
            |s| {
                s.reused();
                s.found_again();
            },
            Ok(("l1", Some("etc/key.pem"), 1, false, true)),
        );
        check(
            "removed since",
            |s| s.parts.findings.clear(),
            Err(Unattributed::NoStoreFile),
        );
        check(
            "its layer is gone",
            |s| s.parts.layers.clear(),
            Err(Unattributed::NoStoreFile),
        );
    }

    #[test]
    fn an_image_configuration_belongs_to_no_layer() {
        check(
            "with a finding",
            Scene::configuration,
            Ok(("", None, 1, false, true)),
        );
        check(
            "its image is gone",
            |s| {
                s.configuration();
                s.parts.images.clear();
            },
            Err(Unattributed::NoStoreFile),
        );
    }

    #[test]
    fn what_a_directory_proves() {
        let at = |s: &mut Scene| s.ordinary("/storage/overlay/l1/diff/usr/bin/tool");
        check(
            "a layer's directory",
            at,
            Ok(("l1", Some("usr/bin/tool"), 0, false, true)),
        );
        check(
            "by a bind mount",
            |s| {
                at(s);
                s.path("/tool");
            },
            Ok(("l1", None, 0, false, true)),
        );
        check(
            "a path that names another layer",
            |s| {
                at(s);
                s.path("/storage/overlay/l2/diff/tool");
            },
            Ok(("l1", None, 0, false, true)),
        );
        check(
            "not scanned",
            |s| {
                at(s);
                s.parts.scanned.clear();
            },
            Ok(("l1", Some("usr/bin/tool"), 0, false, false)),
        );
        check(
            "a layer nobody knows",
            |s| {
                at(s);
                s.record.watch.ino = 4242;
            },
            Err(Unattributed::NotInSnapshot),
        );
        check(
            "below the store",
            |s| {
                at(s);
                s.watch_store();
            },
            Ok(("l1", Some("usr/bin/tool"), 0, false, true)),
        );
        check(
            "below the store, no layer",
            |s| {
                at(s);
                s.watch_store();
                s.path("/storage/overlay-layers/layers.json");
            },
            Err(Unattributed::NotInSnapshot),
        );
        check(
            "a finding in it",
            |s| {
                at(s);
                s.record.file = layerwatch_ebpf::InodeKey::new(7, 100);
            },
            Ok(("l1", Some("etc/key.pem"), 1, false, true)),
        );
    }

    #[test]
    fn several_findings_come_worst_first() {
        let mut scene = Scene::new();
        scene.second_finding(crate::model::Severity::Critical);
        let found = attribute(&scene.access(), &scene.knowledge()).unwrap();
        let rules: Vec<_> = found
            .findings
            .iter()
            .map(|finding| finding.rule.as_str())
            .collect();
        assert_eq!(rules, ["test-second", "private-key-openssh"]);
        assert_eq!(scene.knowledge().findings_of(key(100)).count(), 2);
    }
}
