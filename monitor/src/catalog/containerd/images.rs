//! The images of a namespace: what its names mean, and what registries called it.
//!
//! Invariant: an image is a configuration, whatever number of names leads to it; a name whose blobs are gone is still an
//! image, without layers. Called by the reader of a root.

use std::collections::BTreeMap;
use std::path::Path;

use super::content::{Content, Manifest};
use super::metadata::{ImageRow, Namespace};
use super::places::Places;
use crate::catalog::chain;
use crate::catalog::names::bounded_names;
use crate::catalog::problem::Problems;
use crate::catalog::reading::{Chain, Unlinked};
use crate::model::{Digest, Image, ImageId, LayerId, StoreId};

/// What Docker calls an image that has no name any more.
const DANGLING: &str = "moby-dangling@";

/// An image before it is known which store has its layers.
#[derive(Debug)]
pub(super) struct NamespaceImage {
    /// The image; its store is filled in later.
    pub(super) image: Image,
    /// Its layers, base first.
    pub(super) layers: Vec<ImageLayer>,
}

/// A layer as an image tells of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct ImageLayer {
    pub(super) id: LayerId,
    pub(super) diff_id: Digest,
    pub(super) blob: Option<Digest>,
}

impl NamespaceImage {
    /// The image as one of a store.
    pub(super) fn in_store(&self, store: &StoreId) -> Unlinked {
        Unlinked {
            image: Image {
                store: store.clone(),
                ..self.image.clone()
            },
            chain: Chain::Whole(self.layers.iter().map(|layer| layer.id.clone()).collect()),
            mapped_tops: Vec::new(),
        }
    }
}

/// Reads the images of a namespace.
pub(super) fn read(
    places: Places<'_>,
    namespace: &Namespace,
    metadata: &Path,
    problems: &mut Problems,
) -> Vec<NamespaceImage> {
    let mut images: BTreeMap<ImageId, NamespaceImage> = BTreeMap::new();
    let mut names: BTreeMap<ImageId, Vec<&ImageRow>> = BTreeMap::new();
    // Several names mean one blob: it is read once.
    let mut targets: BTreeMap<&Digest, Vec<&ImageRow>> = BTreeMap::new();
    for row in &namespace.images {
        targets.entry(&row.target).or_default().push(row);
    }
    for (target, rows) in targets {
        let mut content = Content {
            places,
            namespace,
            problems: &mut *problems,
        };
        let mut found: Vec<NamespaceImage> = content.manifests(target).into_iter().map(image).collect();
        if found.is_empty() {
            found.push(without_content(target));
        }
        for mut one in found {
            let id = one.image.id.clone();
            names.entry(id.clone()).or_default().extend(&rows);
            add_once(&mut one.image.digests, target);
            match images.get_mut(&id) {
                Some(known) => {
                    for digest in &one.image.digests {
                        add_once(&mut known.image.digests, digest);
                    }
                }
                None => {
                    images.insert(id, one);
                }
            }
        }
    }
    for (id, rows) in names {
        if let Some(known) = images.get_mut(&id) {
            name(&mut known.image, namespace, &rows, metadata, problems);
        }
    }
    images.into_values().collect()
}

fn image(manifest: Manifest) -> NamespaceImage {
    let chain = chain::fold(&manifest.config.diff_ids);
    let layers = chain.iter().zip(manifest.config.diff_ids).enumerate();
    let layers = layers.map(|(index, (id, diff_id))| ImageLayer {
        id: LayerId::new(id),
        diff_id,
        blob: manifest.blobs.get(index).cloned(),
    });
    NamespaceImage {
        layers: layers.collect(),
        image: Image {
            config: Some(manifest.config_file),
            created: manifest.config.created,
            digests: vec![manifest.digest],
            ..bare(&manifest.config_digest)
        },
    }
}

/// What is left of an image whose manifest is gone: its name.
fn without_content(target: &Digest) -> NamespaceImage {
    NamespaceImage {
        layers: Vec::new(),
        image: bare(target),
    }
}

fn bare(id: &Digest) -> Image {
    Image {
        store: StoreId::new(""),
        id: ImageId::new(id.hex()),
        digest: None,
        digests: Vec::new(),
        names: Vec::new(),
        names_history: Vec::new(),
        layers: Vec::new(),
        mapped_layers: Vec::new(),
        created: None,
        config: None,
    }
}

fn add_once(digests: &mut Vec<Digest>, digest: &Digest) {
    if !digests.contains(digest) {
        digests.push(digest.clone());
    }
}

/// Gives an image its names. What a registry called it is its history: the names by digest, as Kubernetes and Docker keep
/// them, and where the content store says that the blob came from.
fn name(
    image: &mut Image,
    namespace: &Namespace,
    rows: &[&ImageRow],
    metadata: &Path,
    problems: &mut Problems,
) {
    // Kubernetes gives each image its id for a name as well.
    let is_name = |name: &&str| !name.starts_with("sha256:") && !name.starts_with(DANGLING);
    let names = rows.iter().map(|row| row.name.as_str()).filter(is_name);
    let (by_digest, by_tag): (Vec<&str>, Vec<&str>) = names.partition(|name| name.contains('@'));
    let mut history: Vec<String> = by_digest.iter().map(|name| (*name).to_owned()).collect();
    for row in rows {
        let blob = namespace.blobs.get(&row.target);
        for (host, repository) in blob.into_iter().flat_map(|blob| &blob.sources) {
            let from = format!("{}@{}", pulled_from(&by_tag, host, repository), row.target);
            if !history.contains(&from) {
                history.push(from);
            }
        }
    }
    image.names_history = bounded_names(history.iter().map(String::as_str), metadata, problems);
    image.names = if by_tag.is_empty() {
        bounded_names(by_digest.into_iter(), metadata, problems)
    } else {
        bounded_names(by_tag.into_iter(), metadata, problems)
    };
    image.digest = rows
        .iter()
        .max_by_key(|row| row.created)
        .map(|row| row.target.clone());
}

/// The repository in full: containerd writes down the registry without its port, which a name may tell.
fn pulled_from(names: &[&str], host: &str, repository: &str) -> String {
    let of_name = names.iter().find_map(|name| {
        let (whole, _tag) = name.rsplit_once(':')?;
        let (registry, rest) = whole.split_once('/')?;
        let without_port = registry.split_once(':').map_or(registry, |(host, _)| host);
        (without_port == host && rest == repository).then_some(whole)
    });
    of_name.map_or_else(|| format!("{host}/{repository}"), str::to_owned)
}
