//! The images of a store, from its image index.
//!
//! Invariant: a name or digest that makes no sense is dropped with a problem; the image stays. Called by `read`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::super::index;
use super::super::names::{bounded_names, checked_id, present, time};
use super::super::problem::{ProblemKind, Problems};
use super::super::reading::{Chain, ImageSet, MAX_IMAGES, Unlinked, digest};
use super::Place;
use super::big_data::big_data_file;
use super::records::ImageRecord;
use crate::model::{Digest, Image, ImageId, LayerId};

pub(super) fn read(place: &Place<'_>, problems: &mut Problems) -> ImageSet {
    let file = place.images.join("images.json");
    let index = index::read::<ImageRecord>(&file, problems);
    let mut set = ImageSet {
        incomplete: index.incomplete,
        ..ImageSet::default()
    };
    if index.records.len() > MAX_IMAGES {
        let cause = format!(
            "{} images, only the first {MAX_IMAGES} are read",
            index.records.len()
        );
        problems.add(ProblemKind::TooLarge, &file, "read the images", &cause);
    }
    let mut ids = BTreeSet::new();
    for record in index.records.iter().take(MAX_IMAGES) {
        let mut reader = Reader {
            file: &file,
            problems,
        };
        match reader.image(place, record) {
            Ok(unlinked) if ids.insert(unlinked.image.id.clone()) => set.found.push(unlinked),
            Ok(unlinked) => {
                problems.add(
                    ProblemKind::DuplicateId,
                    &file,
                    "read an image",
                    unlinked.image.id.as_str(),
                );
            }
            Err(why) => problems.add(ProblemKind::BadRecord, &file, "read an image", why),
        }
    }
    set
}

struct Reader<'a> {
    file: &'a Path,
    problems: &'a mut Problems,
}

impl Reader<'_> {
    fn image(&mut self, place: &Place<'_>, record: &ImageRecord) -> Result<Unlinked, &'static str> {
        let id = checked_id(&record.id)?;
        let top = present(record.layer.as_deref()).map(checked_id).transpose()?;
        let mapped = record.mapped_layers.iter().flatten();
        let mapped_tops = mapped
            .map(|id| checked_id(id).map(LayerId::new))
            .collect::<Result<Vec<_>, _>>()?;
        let digest = self.digest(record.digest.as_deref());
        Ok(Unlinked {
            image: Image {
                store: place.store.clone(),
                id: ImageId::new(id),
                digests: self.digests(digest.as_ref(), record),
                digest,
                names: self.names(record.names.as_deref()),
                names_history: self.names(record.names_history.as_deref()),
                layers: Vec::new(),
                mapped_layers: Vec::new(),
                created: time(record.created.as_deref()),
                config: config(&place.images.join(id), id, record),
            },
            chain: top.map_or(Chain::Whole(Vec::new()), |top| Chain::Top(LayerId::new(top))),
            mapped_tops,
        })
    }

    /// The manifest digests: the one the store names first, then those of every manifest it keeps.
    fn digests(&mut self, first: Option<&Digest>, record: &ImageRecord) -> Vec<Digest> {
        let manifests = record.big_data_digests.iter().flatten();
        let of_manifests: BTreeSet<Digest> = manifests
            .filter(|(key, _)| key.starts_with("manifest"))
            .filter_map(|(_, digest)| self.digest(Some(digest)))
            .collect();
        let others = of_manifests.into_iter().filter(|digest| Some(digest) != first);
        first.cloned().into_iter().chain(others).collect()
    }

    fn digest(&mut self, text: Option<&str>) -> Option<Digest> {
        digest(present(text)?, "read an image's digest", self.file, self.problems)
    }

    fn names(&mut self, names: Option<&[String]>) -> Vec<String> {
        let names = names.unwrap_or_default().iter();
        bounded_names(names.map(String::as_str), self.file, self.problems)
    }
}

/// The configuration's file: the big-data item `sha256:<image id>`, or the only one named by a digest where the id is
/// no digest of it.
fn config(directory: &Path, id: &str, record: &ImageRecord) -> Option<PathBuf> {
    let by_id = format!("sha256:{id}");
    let names = record.big_data_names.as_deref().unwrap_or_default();
    let mut by_digest = names.iter().filter(|name| name.starts_with("sha256:"));
    let key = if names.contains(&by_id) {
        &by_id
    } else {
        by_digest.next().filter(|_| by_digest.next().is_none())?
    };
    big_data_file(directory, key)
}
