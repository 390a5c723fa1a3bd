//! What pulls, loads and builds write on their way, and leave behind when they fail: blobs and directories that no index names.
//!
//! Invariant: only names that an engine gives to such things, at the places where it puts them; no link is followed; bounded
//! in number and in what is counted. Each is a layer in the state `Leftover`, named by what it is and when it changed, so that
//! one that grew is another; it is one only when a look found it unchanged since the one before. Called by `catalog::refresh`.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::problem::{Problem, ProblemKind};
use super::{Catalog, Host};
use crate::model::{DevIno, Engine, Layer, LayerId, LayerKey, LayerState, Leftovers, Store};

/// Leftovers of one store that are told.
const MAX: usize = 1000;
/// Entries of one directory that are looked at for them.
const MAX_ENTRIES: usize = 20_000;
/// Files below leftovers of one store whose sizes are added.
const MAX_FILES: usize = 20_000;

/// Where containers/image puts blobs until their layers are made (`TemporaryDirectoryForBigFiles`).
pub(super) const BLOBS: &str = "/var/tmp";
/// What it calls the directory, followed by a number: newer releases, older ones.
const BLOB_DIRECTORIES: [&str; 2] = ["container_images_storage", "storage"];
/// What Docker calls a blob on its way, and what it unpacks an import or a build's context to.
const DOCKERS: [&str; 3] = ["GetImageBlob", "docker-import-", "docker-builder"];

/// A file or directory that is no part of a store yet.
struct Found {
    path: PathBuf,
    metadata: std::fs::Metadata,
}

/// Adds what the stores have of it. At the first look everything counts as unchanged. What does not lie in a store is looked
/// for where stores are discovered: which of some named ones it is on the way to cannot be told.
pub(super) fn add(host: &Host, is_discovery: bool, previous: &Catalog, catalog: &mut Catalog) {
    let is_first = previous.stores.is_empty();
    let mut told = std::collections::BTreeSet::new();
    for at in 0..catalog.stores.len() {
        let Some(store) = catalog.stores.get(at).cloned() else {
            continue;
        };
        let mut look = Look::default();
        let mut found = look.of_store(&store);
        if is_discovery && store.engine.is_containers_storage() {
            found.extend(look.blobs(&host.path(BLOBS), store.owner_uid));
        }
        catalog.problems.extend(look.cut(&store, found.len()));
        // Blobs of one user's pulls, and what a root's namespaces share, are the first store's.
        let mut found: Vec<Found> = found
            .into_iter()
            .filter(|one| told.insert(DevIno::of(&one.metadata)))
            .collect();
        found.truncate(MAX);
        let mut figures = Leftovers::default();
        let mut budget = MAX_FILES;
        for one in &found {
            let layer = layer(&store, one);
            figures.count += 1;
            figures.bytes += bytes(&one.path, &one.metadata, &mut budget);
            figures.blobs += u64::from(one.metadata.is_file());
            figures.blob_bytes += layer.size_bytes.unwrap_or(0);
            let changed = jiff::Timestamp::from_second(one.metadata.mtime()).ok();
            figures.oldest = figures.oldest.into_iter().chain(changed).min();
            figures.newest = figures.newest.max(changed);
            let was_seen = previous
                .store(&store.id)
                .is_some_and(|store| store.leftovers.seen.contains(&layer.key.layer));
            figures.seen.push(layer.key.layer.clone());
            if is_first || was_seen {
                catalog.layers.insert(layer.key.clone(), layer);
            }
        }
        let unfinished = catalog.layers.values();
        let unfinished =
            unfinished.filter(|layer| layer.key.store == store.id && layer.state == LayerState::Incomplete);
        figures.count += u64::try_from(unfinished.count()).unwrap_or(u64::MAX);
        if let Some(store) = catalog.stores.get_mut(at) {
            store.leftovers = figures;
        }
    }
}

/// One look at a store's leftovers.
#[derive(Default)]
struct Look {
    /// Directories with more entries than are looked at.
    cut: Vec<PathBuf>,
}

impl Look {
    fn of_store(&mut self, store: &Store) -> Vec<Found> {
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
                let layers = root.join("image").join(driver).join("layerdb/tmp");
                found.extend(self.entries(&layers, begins("write-set-")));
                found
            }
            Engine::Containerd | Engine::BuildKit => {
                let content = if store.engine == Engine::BuildKit {
                    "content/ingest"
                } else {
                    "io.containerd.content.v1.content/ingest"
                };
                let ingested = self.entries(&root.join(content), |_| true).into_iter();
                let mut found: Vec<Found> = ingested.filter_map(|one| look(one.path.join("data"))).collect();
                for (directory, _) in &store.layer_directories {
                    found.extend(self.entries(directory, begins("new-")));
                }
                found
            }
        }
    }

    /// The blobs of a user's pulls: numbered files in a directory that nobody else made. Anybody may make others there, so what
    /// is somebody else's counts for nothing.
    fn blobs(&mut self, temporary: &Path, owner: u32) -> Vec<Found> {
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let is_blobs = |name: &str| {
            let mut prefixes = BLOB_DIRECTORIES.iter();
            prefixes.any(|prefix| name.strip_prefix(prefix).is_some_and(is_number))
        };
        let directories = self.entries(temporary, is_blobs).into_iter();
        directories
            .filter(|directory| directory.metadata.is_dir() && directory.metadata.uid() == owner)
            .take(MAX)
            .flat_map(|directory| self.entries(&directory.path, is_number))
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
        let found = named.filter_map(|entry| look(entry.path())).collect();
        if entries.next().is_some() {
            self.cut.push(directory.to_owned());
        }
        found
    }

    /// What was not looked at, or is not told of so many that were found.
    fn cut(self, store: &Store, found: usize) -> impl Iterator<Item = Problem> {
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

fn look(path: PathBuf) -> Option<Found> {
    let metadata = path.symlink_metadata().ok()?;
    (metadata.is_file() || metadata.is_dir()).then_some(Found { path, metadata })
}

fn layer(store: &Store, found: &Found) -> Layer {
    let Found { path, metadata } = found;
    let mut hasher = DefaultHasher::new();
    (path, metadata.ino(), metadata.mtime(), metadata.mtime_nsec()).hash(&mut hasher);
    if metadata.is_file() {
        metadata.len().hash(&mut hasher);
    }
    Layer {
        key: LayerKey {
            store: store.id.clone(),
            layer: LayerId::new(&format!("leftover-{:016x}", hasher.finish())),
        },
        diff_id: None,
        blob_digest: None,
        toc_digest: None,
        parent: None,
        content: path.clone(),
        content_key: metadata.is_dir().then(|| DevIno::of(metadata)),
        size_bytes: metadata.is_file().then_some(metadata.len()),
        created: jiff::Timestamp::from_second(metadata.mtime()).ok(),
        state: LayerState::Leftover,
        build_cache: None,
        device: None,
    }
}

/// The bytes of a file, or of the files below a directory, as far as the budget goes.
fn bytes(path: &Path, metadata: &std::fs::Metadata, budget: &mut usize) -> u64 {
    if metadata.is_file() {
        return metadata.len();
    }
    let mut total = 0;
    let mut todo = vec![path.to_owned()];
    while let Some(directory) = todo.pop() {
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            if *budget == 0 {
                return total;
            }
            *budget -= 1;
            // Of the entry itself, never of what a link leads to.
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_dir() {
                todo.push(entry.path());
            } else {
                total += metadata.len();
            }
        }
    }
    total
}

#[cfg(test)]
mod tests;
