//! Where containers/image puts the blobs of a pull aside, outside of any store (`TemporaryDirectoryForBigFiles`).
//!
//! Invariant: named by root alone, in configurations or by a running engine of root's; bounded. A place that was met once stays
//! known while it is there, since engines come and go. Called by `leftovers::add`.

use std::path::{Path, PathBuf};

use crate::catalog::{Host, engine_config, running};
use crate::model::Store;

/// Where they go unless something else is said.
const DEFAULT: &str = "/var/tmp";
/// Places that are known at once.
const MAX_PLACES: usize = 16;

/// The places, as host paths without links, each once.
pub(super) fn of(host: &Host, before: &[PathBuf], stores: &[Store]) -> Vec<PathBuf> {
    let mut named = vec![PathBuf::from(DEFAULT)];
    for place in engine_config::blob_places(host) {
        match place {
            engine_config::BlobPlace::Directory(place) => named.push(place),
            engine_config::BlobPlace::Store => named.extend(in_stores(host, stores)),
        }
    }
    named.extend(running::blob_places(host));
    named.extend(before.iter().cloned());
    let mut places = Vec::new();
    for place in named {
        let resolved = host.resolve(&place).ok();
        let is_directory = |place: &PathBuf| host.path(place).is_dir();
        if let Some(place) = resolved
            .filter(is_directory)
            .filter(|place| !places.contains(place))
        {
            places.push(place);
        }
    }
    places.truncate(MAX_PLACES);
    places
}

fn in_stores<'a>(host: &'a Host, stores: &'a [Store]) -> impl Iterator<Item = PathBuf> {
    let of_format = stores.iter().filter(|store| store.engine.is_containers_storage());
    of_format.filter_map(|store| Some(host.host_path(&store.root)?.join(Path::new("tmp"))))
}
