//! The fields of a layer, each a file of its own.
//!
//! Invariant: a field that cannot be believed is absent and a problem; one whose layer went while it was read is neither.
//! Used by the reader of layers.

use std::path::Path;

use serde::Deserialize;

use super::super::names::checked_id;
use super::super::problem::{ProblemKind, Problems};
use super::super::{index, reading};
use super::{Place, files};
use crate::model::Digest;

const OPERATION: &str = "read a layer's metadata";

/// Reads fields of the layers of a store.
pub(super) struct Fields<'a> {
    pub(super) place: &'a Place,
    pub(super) problems: &'a mut Problems,
}

impl Fields<'_> {
    /// An id that can be a directory's name and nothing more.
    pub(super) fn cache_id(&mut self, file: &Path) -> Option<String> {
        let id = self.required(file)?;
        match checked_id(&id) {
            Ok(_) => Some(id),
            Err(why) => {
                self.bad(file, why);
                None
            }
        }
    }

    /// The line of a file that must be there, unless its whole directory went while it was read.
    fn required(&mut self, file: &Path) -> Option<String> {
        let before = self.problems.count();
        let line = files::line(file, self.problems);
        if line.is_none() && self.problems.count() == before && file.parent().is_some_and(Path::exists) {
            self.bad(file, "the file is missing");
        }
        line
    }

    pub(super) fn required_digest(&mut self, file: &Path) -> Option<Digest> {
        let text = self.required(file)?;
        reading::digest(&text, OPERATION, file, self.problems)
    }

    pub(super) fn digest(&mut self, file: &Path) -> Option<Digest> {
        let text = files::line(file, self.problems)?;
        reading::digest(&text, OPERATION, file, self.problems)
    }

    pub(super) fn size(&mut self, file: &Path) -> Option<u64> {
        let size = files::line(file, self.problems)?.parse();
        if size.is_err() {
            self.bad(file, "it is no number of bytes");
        }
        size.ok()
    }

    /// The blob that the layer was last pulled or pushed as.
    pub(super) fn blob_digest(&mut self, diff_id: &Digest) -> Option<Digest> {
        let below = format!("distribution/v2metadata-by-diffid/sha256/{}", diff_id.hex());
        let file = self.place.metadata(below);
        let index = index::read::<BlobRecord>(&file, self.problems);
        let text = &index.records.last()?.digest;
        reading::digest(text, OPERATION, &file, self.problems)
    }

    pub(super) fn bad(&mut self, file: &Path, cause: &str) {
        self.problems.add(ProblemKind::BadRecord, file, OPERATION, cause);
    }
}

/// Where a layer was pulled from or pushed to (`distribution/metadata/v2_metadata_service.go`); the newest stands last.
#[derive(Deserialize)]
struct BlobRecord {
    #[serde(rename = "Digest")]
    digest: String,
}
