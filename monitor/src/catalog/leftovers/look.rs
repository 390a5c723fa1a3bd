//! Where each engine puts things on their way into a store, and what lies there.
//!
//! Invariant: only names that an engine gives to such things; no link is followed; what is not looked at is said. Called by
//! `leftovers::add`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::ingest;
use super::{Blob, Found, MAX, MAX_ENTRIES};
use crate::catalog::problem::{Problem, ProblemKind};
use crate::model::{Engine, Store};

/// What containers/image calls the directory of a pull's blobs, followed by a number: newer releases, older ones.
const BLOB_DIRECTORIES: [&str; 2] = ["container_images_storage", "storage"];
/// What Docker calls a blob on its way, and what it unpacks an import or a build's context to.
const DOCKERS: [&str; 3] = ["GetImageBlob", "docker-import-", "docker-builder"];

/// One look at a store's leftovers.
#[derive(Default)]
pub(super) struct Look {
    /// Directories with more entries than are looked at.
    cut: Vec<PathBuf>,
}

impl Look {
    /// What lies in a store; `namespaces` are those of its root that are stores of their own.
    pub(super) fn of_store(&mut self, store: &Store, namespaces: &BTreeSet<String>) -> Vec<Found> {
        let root = &store.root;
        let driver = store.driver.as_str();
        let begins = |prefix: &'static str| move |name: &str| name.starts_with(prefix);
        match store.engine {
            Engine::ContainersStorage | Engine::CriO => {
                let mut found = self.entries(&root.join(driver).join("staging"), |_| true);
                found.extend(self.entries(&root.join(driver).join("tempdirs"), begins("temp-dir-")));
                let layers = root.join(format!("{driver}-layers/tmp"));
                found.extend(self.entries(&layers, begins("temp-dir-")));
                found
            }
            Engine::Docker => {
                let mut found = self.entries(&root.join("tmp"), |name| {
                    DOCKERS.iter().any(|prefix| name.starts_with(prefix))
                });
                // Which of them are one pull's is not told.
                for one in found.iter_mut().filter(|one| one.metadata.is_file()) {
                    one.blob = Some(Blob::default());
                }
                let layers = root.join("image").join(driver).join("layerdb/tmp");
                found.extend(self.entries(&layers, begins("write-set-")));
                found
            }
            Engine::Containerd | Engine::BuildKit => {
                let content = root.join(if store.engine == Engine::BuildKit {
                    "content"
                } else {
                    "io.containerd.content.v1.content"
                });
                let ingested = self.entries(&content.join("ingest"), |_| true).into_iter();
                let mut found: Vec<Found> = ingested
                    .filter_map(|one| ingest::found(&one.path, &content, store, namespaces))
                    .collect();
                for (directory, _) in &store.layer_directories {
                    found.extend(self.entries(directory, begins("new-")));
                }
                found
            }
        }
    }

    /// The blobs of a user's pulls: numbered files in a directory that nobody else made. Anybody may make others there, so what
    /// is somebody else's counts for nothing.
    pub(super) fn blobs(&mut self, temporary: &Path, owner: u32) -> Vec<Found> {
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let is_blobs = |name: &str| {
            let mut prefixes = BLOB_DIRECTORIES.iter();
            prefixes.any(|prefix| name.strip_prefix(prefix).is_some_and(is_number))
        };
        let directories = self.entries(temporary, is_blobs).into_iter();
        directories
            .filter(|directory| directory.metadata.is_dir())
            .filter(|directory| std::os::unix::fs::MetadataExt::uid(&directory.metadata) == owner)
            .take(MAX)
            .flat_map(|directory| {
                // Each pull makes one of its own.
                let pull = directory.path.to_string_lossy().into_owned();
                let mut blobs = self.entries(&directory.path, is_number);
                for blob in &mut blobs {
                    blob.blob = Some(Blob {
                        pull: pull.clone(),
                        lands: None,
                    });
                }
                blobs
            })
            .filter(|blob| blob.metadata.is_file())
            // One more tells that there are more.
            .take(MAX + 1)
            .collect()
    }

    /// The entries of a directory with such names; none where there is no such directory.
    fn entries(&mut self, directory: &Path, is_one: impl Fn(&str) -> bool) -> Vec<Found> {
        let is_directory = directory
            .symlink_metadata()
            .is_ok_and(|metadata| metadata.is_dir());
        let entries = is_directory.then(|| std::fs::read_dir(directory).ok()).flatten();
        let mut entries = entries.into_iter().flatten();
        let named = entries.by_ref().take(MAX_ENTRIES).flatten();
        let named = named.filter(|entry| entry.file_name().to_str().is_some_and(&is_one));
        let found = named.filter_map(|entry| Found::at(entry.path())).collect();
        if entries.next().is_some() {
            self.cut.push(directory.to_owned());
        }
        found
    }

    /// What was not looked at, or is not told of so many that were found.
    pub(super) fn cut(self, store: &Store, found: usize) -> impl Iterator<Item = Problem> {
        let problem = |directory: &Path, cause: &str| {
            Problem::new(
                ProblemKind::TooLarge,
                directory,
                "look for leftovers of pulls",
                cause,
            )
        };
        let entries = format!("more than {MAX_ENTRIES} entries, only as many are looked at");
        let cut: Vec<Problem> = self
            .cut
            .iter()
            .map(|directory| problem(directory, &entries))
            .collect();
        let many = format!("more than {MAX} leftovers, only as many are told");
        let many = (found > MAX).then(|| problem(&store.root, &many));
        cut.into_iter().chain(many)
    }
}
