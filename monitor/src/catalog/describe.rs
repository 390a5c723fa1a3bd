//! A store itself, without what is in it: its root, its owner, its file system, where commits show.
//!
//! Invariant: a root that cannot be named in text is no store. Called by `catalog::refresh` and by the watch.

use std::path::Path;

use super::marks::StoreRoot;
use super::mounts::MountTable;
use super::problem::{Problem, ProblemKind};
use super::{Host, datasets, layout};
use crate::model::{DevIno, Driver, Leftovers, Store, StoreId};

/// The id of the store with a driver at a host path.
pub(super) fn store_id(driver: Driver, root: &Path) -> StoreId {
    StoreId::new(&format!("{}@{}", driver.as_str(), root.display()))
}

/// The store itself, without what is in it.
///
/// # Errors
/// The root could not be looked at.
pub(super) fn describe(host: &Host, root: &StoreRoot, mounts: &MountTable) -> Result<Store, Problem> {
    use std::os::unix::fs::MetadataExt;
    let fail = |kind, cause: &str| Problem::new(kind, &root.path, "look at the store's root", cause);
    if root.path.to_str().is_none() {
        return Err(fail(
            ProblemKind::UnsupportedStore,
            "the root's path is not UTF-8",
        ));
    }
    let seen = host.path(&root.path);
    let metadata = seen
        .symlink_metadata()
        .map_err(|error| fail(ProblemKind::Unreadable, &error.to_string()))?;
    let keyed = |directory: &str| {
        let directory = seen.join(directory);
        let key = DevIno::of(&directory.symlink_metadata().ok()?);
        Some((directory, key))
    };
    let indexes = layout::indexes(root.engine, root.driver);
    Ok(Store {
        id: store_id(root.driver, &root.path),
        engine: root.engine,
        driver: root.driver,
        namespace: None,
        root_key: DevIno::of(&metadata),
        owner_uid: metadata.uid(),
        filesystem: mounts.filesystem_of(&seen).to_owned(),
        dataset: (root.driver == Driver::Zfs)
            .then(|| datasets::parent(host, root.engine, &seen, mounts))
            .flatten(),
        index_directories: indexes.iter().filter_map(|index| keyed(&index.path)).collect(),
        layer_directories: layout::homes(root.engine, root.driver)
            .into_iter()
            .filter_map(keyed)
            .collect(),
        unlisted: 0,
        leftovers: Leftovers::default(),
        root: seen,
    })
}
