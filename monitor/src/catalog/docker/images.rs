//! The images of a store: their configurations in `imagedb`, their names in `repositories.json`.
//!
//! Invariant: a configuration that cannot be read takes the image's layers, never the image nor its names; one that is
//! not what its id is the digest of is said. Called by `read`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::super::layout::is_sha256_hex;
use super::super::names::{bounded_names, cut};
use super::super::problem::{ProblemKind, Problems};
use super::super::reading::{Chain, ImageSet, MAX_IMAGES, Unlinked, digest, known_before};
use super::super::{chain, image_config, index};
use super::references::{self, Reference};
use super::{Place, files};
use crate::bounded;
use crate::catalog::Catalog;
use crate::model::{Digest, Image, ImageId, LayerId, StoreId};

pub(super) fn read(place: &Place, previous: &Catalog, problems: &mut Problems) -> ImageSet {
    let names_file = place.metadata("repositories.json");
    let references = index::read_by(references::parse, &names_file, problems);
    let mut names: BTreeMap<String, Vec<Reference>> = BTreeMap::new();
    for reference in references.records {
        let id = reference
            .image
            .strip_prefix("sha256:")
            .unwrap_or(&reference.image);
        names.entry(id.to_owned()).or_default().push(reference);
    }
    let home = place.metadata("imagedb/content/sha256");
    let mut set = ImageSet::default();
    let Some(ids) = files::names(&home, MAX_IMAGES, problems) else {
        set.incomplete = true;
        return set;
    };
    for id in ids.iter().filter(|id| !id.starts_with(".tmp-")) {
        let file = home.join(id);
        if !is_sha256_hex(id) {
            problems.add(
                ProblemKind::BadRecord,
                &file,
                image_config::OPERATION,
                "the name is no image id",
            );
            continue;
        }
        let before = previous
            .images
            .iter()
            .find(|image| image.store == place.store && image.id.as_str() == id);
        let found = image(&place.store, id, &file, before, problems);
        set.found.extend(found.map(|mut unlinked| {
            match before.filter(|_| references.incomplete) {
                Some(before) => keep_names(&mut unlinked.image, before),
                None => name(&mut unlinked.image, names.remove(id), &names_file, problems),
            }
            unlinked
        }));
    }
    for (id, _) in names.iter().filter(|(id, _)| !ids.contains(id)) {
        let cause = format!("names an image that is not there: {:?}", cut(id));
        problems.add(
            ProblemKind::BadRecord,
            &names_file,
            "read an image's names",
            &cause,
        );
    }
    set
}

/// An image without its names; `None` when it went while the store was read.
fn image(
    store: &StoreId,
    id: &str,
    file: &Path,
    before: Option<&Image>,
    problems: &mut Problems,
) -> Option<Unlinked> {
    let bytes = match bounded::read(file, image_config::MAX_BYTES) {
        Ok(bytes) => bytes,
        Err(error) if error.is_not_found() => return None,
        Err(error) => {
            files::unreadable(&error, file, problems);
            return Some(before.map_or_else(|| bare(store, id, file), known_before));
        }
    };
    if format!("{:x}", Sha256::digest(&bytes)) != id {
        let cause = "the content is not what the id is the digest of";
        problems.add(ProblemKind::BadRecord, file, image_config::OPERATION, cause);
        if let Some(before) = before {
            return Some(known_before(before));
        }
    }
    let mut unlinked = bare(store, id, file);
    if let Some(config) = image_config::parse(&bytes, file, problems) {
        unlinked.image.created = config.created;
        unlinked.chain = Chain::Whole(layer_ids(&config.diff_ids));
    }
    Some(unlinked)
}

fn bare(store: &StoreId, id: &str, file: &Path) -> Unlinked {
    Unlinked {
        image: Image {
            store: store.clone(),
            id: ImageId::new(id),
            digest: None,
            digests: Vec::new(),
            names: Vec::new(),
            names_history: Vec::new(),
            layers: Vec::new(),
            mapped_layers: Vec::new(),
            created: None,
            config: Some(PathBuf::from(file)),
        },
        chain: Chain::Whole(Vec::new()),
        mapped_tops: Vec::new(),
    }
}

fn layer_ids(diff_ids: &[Digest]) -> Vec<LayerId> {
    chain::fold(diff_ids).iter().map(|id| LayerId::new(id)).collect()
}

/// Gives an image its names. What a registry called it is its history: Docker adds it with a pull or a push and takes
/// it away with the repository's last tag.
fn name(image: &mut Image, references: Option<Vec<Reference>>, file: &Path, problems: &mut Problems) {
    let references = references.unwrap_or_default();
    let (by_digest, by_tag): (Vec<_>, Vec<_>) = references
        .iter()
        .partition(|reference| reference.digest().is_some());
    let texts = |references: &[&Reference], problems: &mut Problems| {
        let names = references.iter().map(|reference| reference.name.as_str());
        bounded_names(names, file, problems)
    };
    image.names_history = texts(&by_digest, problems);
    image.names = if by_tag.is_empty() {
        image.names_history.clone()
    } else {
        texts(&by_tag, problems)
    };
    for text in by_digest.iter().filter_map(|reference| reference.digest()) {
        let digest = digest(text, "read an image's digest", file, problems);
        image
            .digests
            .extend(digest.filter(|digest| !image.digests.contains(digest)));
    }
    image.digest = image.digests.first().cloned();
}

fn keep_names(image: &mut Image, before: &Image) {
    image.names.clone_from(&before.names);
    image.names_history.clone_from(&before.names_history);
    image.digest.clone_from(&before.digest);
    image.digests.clone_from(&before.digests);
}
