//! Where builders have their records whose snapshots lie in a root: BuildKit's own, and those of a Docker or a BuildKit that keep
//! their snapshots in containerd.
//!
//! Invariant: root's places alone; a place without records costs one look. Called by the reader of a root.

use std::path::{Path, PathBuf};

use super::super::docker::build_cache;
use super::super::marks::StoreRoot;
use super::super::{Host, discover, engine_config};
use super::DOCKERS_OWN;
use crate::model::Engine;

/// The workers that keep their snapshots in containerd, by the snapshotters that are read (`worker/containerd` of BuildKit).
const WORKERS: [&str; 3] = ["containerd-overlayfs", "containerd-native", "containerd-btrfs"];

/// The directories that hold a builder's records, as this process sees them.
pub(super) fn homes(host: &Host, root: &StoreRoot) -> Vec<PathBuf> {
    if root.engine == Engine::BuildKit {
        return vec![host.path(&root.path)];
    }
    let own = root.path.ends_with(DOCKERS_OWN);
    let data_roots = if own {
        root.path
            .ancestors()
            .skip(2)
            .take(1)
            .map(Path::to_owned)
            .collect()
    } else {
        let mut roots = engine_config::docker_roots(host, &mut Vec::new());
        roots.push(PathBuf::from(discover::DOCKER_ROOT));
        roots
    };
    let dockers = data_roots.iter().map(|root| root.join(build_cache::HOME));
    let alone = std::iter::once(PathBuf::from(discover::BUILDKIT_ROOT)).filter(|_| !own);
    let places = dockers.chain(alone);
    let homes = places.flat_map(|place| WORKERS.map(|worker| place.join(worker)));
    let resolved = homes.filter_map(|home: PathBuf| host.resolve(Path::new(&home)).ok());
    resolved.map(|home| host.path(home)).collect()
}
