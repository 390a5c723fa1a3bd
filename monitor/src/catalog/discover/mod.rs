//! Where stores may be, and which of these places are stores.
//!
//! Invariant: a place is a store only when its index directories are there; a store that exists and cannot be read yet
//! is reported, never passed over. Candidates come from the agent's configuration, the engines' own files, the mount
//! table, running engines and the engines' defaults; the environment of the agent is nobody's configuration. Called by `catalog::read`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::crio::Crio;
use super::marks::{StoreRoot, recognise};
use super::mounts::{Mount, MountTable};
use super::problem::{Problem, ProblemKind, chain};
use super::running::Running;
use super::{Host, HostError, containerd, engine_config, homes, running};
use crate::model::{Driver, Engine};

/// Rootful defaults and well-known places of containers/storage, Docker and BuildKit.
const KNOWN_ROOTS: &[&str] = &[
    DEFAULT_ROOT,
    DOCKER_ROOT,
    "/var/snap/docker/common/var-lib-docker",
    BUILDKIT_ROOT,
];

/// BuildKit's default (util/appdefaults).
pub(super) const BUILDKIT_ROOT: &str = "/var/lib/buildkit";

/// What the store of a worker is called in it: how it runs containers, and its snapshotter.
const BUILDKIT_WORKERS: [&str; 5] = [
    "runc-overlayfs",
    "runc-native",
    "runc-fuse-overlayfs",
    "oci-overlayfs",
    "oci-native",
];

/// containerd's default, and where those that embed it have theirs.
const CONTAINERD_ROOTS: [&str; 5] = [
    "/var/lib/containerd",
    "/var/lib/rancher/k3s/agent/containerd",
    "/var/lib/rancher/rke2/agent/containerd",
    "/var/snap/microk8s/common/var/lib/containerd",
    "/var/lib/k0s/containerd",
];

/// containers/storage's default graph root for root (`defaultGraphRoot`, storage/types/options.go).
const DEFAULT_ROOT: &str = "/var/lib/containers/storage";

/// Docker's default data root (`daemon/config/config_linux.go`).
pub(super) const DOCKER_ROOT: &str = "/var/lib/docker";

/// Where an engine keeps another's store below its own root.
const BELOW: [&str; 1] = [containerd::DOCKERS_OWN];

/// Entries of a data root that are looked at for remapped ones; a daemon makes some twenty.
const MAX_ENTRIES: usize = 1000;

/// Every readable store, first found first, each once; what else was met goes to `problems`.
pub(super) fn stores(
    host: &Host,
    configured: &[PathBuf],
    mounts: &MountTable,
    problems: &mut Vec<Problem>,
) -> Vec<StoreRoot> {
    let mut found: Vec<StoreRoot> = Vec::new();
    let mut visited = BTreeSet::new();
    let running = running::engines(host);
    for candidate in candidates(host, configured, mounts, &running, problems) {
        // A Docker whose images are in its own containerd has no store at its root, and no BuildKit has.
        let mut below = BELOW.into_iter().chain(BUILDKIT_WORKERS);
        let is_below = below.any(|below| host.path(candidate.join(below)).is_dir());
        let must_exist = configured.contains(&candidate) && !is_below;
        match host.resolve(&candidate) {
            Ok(root) if visited.insert(root.clone()) => {
                found.extend(recognise(host, &root, must_exist, problems));
                for below in BELOW.into_iter().chain(BUILDKIT_WORKERS) {
                    let below = host.resolve(&root.join(below)).ok();
                    if let Some(below) = below.filter(|below| visited.insert(below.clone())) {
                        found.extend(recognise(host, &below, false, problems));
                    }
                }
            }
            Ok(_) => {}
            Err(error) if error.is_not_found() && !must_exist => {}
            Err(error) => problems.push(unreachable(&candidate, &error)),
        }
    }
    let crio = Crio::of(host, &running);
    found
        .into_iter()
        .map(|store| crio.as_ref().map_or(store.clone(), |crio| crio.name(store)))
        .collect()
}

fn unreachable(candidate: &Path, error: &HostError) -> Problem {
    let kind = if error.is_not_found() {
        ProblemKind::MissingStore
    } else {
        ProblemKind::Unreadable
    };
    Problem::new(kind, candidate, "find the store", &chain(error))
}

/// The drivers of each engine whose stores are read.
const KINDS: [(Engine, &[Driver]); 4] = [
    (
        Engine::ContainersStorage,
        &[Driver::Overlay, Driver::Vfs, Driver::Btrfs],
    ),
    (
        Engine::Docker,
        &[
            Driver::Overlay2,
            Driver::Vfs,
            Driver::Btrfs,
            Driver::Devicemapper,
            Driver::FuseOverlayfs,
        ],
    ),
    // Its one database tells of each snapshotter.
    (Engine::Containerd, &[Driver::Overlayfs]),
    (Engine::BuildKit, &[Driver::Overlayfs]),
];

/// The roots at which a store of a kind that is read may appear later: configured, in configuration files, default.
pub(super) fn expected_roots(host: &Host, configured: &[PathBuf]) -> Vec<StoreRoot> {
    let mut expected = Vec::new();
    for (engine, drivers) in KINDS {
        // Whoever configures a root does not say which kind it is.
        let roots = match engine {
            _ if configured.is_empty() => default_roots(host, engine),
            Engine::ContainersStorage | Engine::CriO | Engine::Docker => configured.to_vec(),
            Engine::Containerd => with_below(configured.to_vec(), &[containerd::DOCKERS_OWN]),
            Engine::BuildKit => of_workers(configured),
        };
        for path in once_each(roots) {
            expected.extend(drivers.iter().map(|&driver| StoreRoot {
                path: path.clone(),
                engine,
                driver,
            }));
        }
    }
    expected
}

fn default_roots(host: &Host, engine: Engine) -> Vec<PathBuf> {
    let (mut roots, known): (_, &[&str]) = match engine {
        Engine::ContainersStorage | Engine::CriO => (
            engine_config::storage_roots(host, &mut Vec::new()),
            &[DEFAULT_ROOT],
        ),
        Engine::Docker => (engine_config::docker_roots(host, &mut Vec::new()), &[DOCKER_ROOT]),
        Engine::Containerd => (
            engine_config::containerd_roots(host, &mut Vec::new()),
            &CONTAINERD_ROOTS,
        ),
        Engine::BuildKit => (
            engine_config::buildkit_roots(host, &mut Vec::new()),
            &[BUILDKIT_ROOT],
        ),
    };
    roots.extend(known.iter().map(PathBuf::from));
    if engine == Engine::BuildKit {
        roots = of_workers(&roots);
    }
    if engine == Engine::Containerd {
        let dockers = default_roots(host, Engine::Docker).into_iter();
        roots.extend(dockers.map(|root| root.join(containerd::DOCKERS_OWN)));
    }
    roots
}

fn candidates(
    host: &Host,
    configured: &[PathBuf],
    mounts: &MountTable,
    running: &[Running],
    problems: &mut Vec<Problem>,
) -> Vec<PathBuf> {
    if !configured.is_empty() {
        // Who names the roots means these and no others.
        return once_each(configured.to_vec());
    }
    let mut roots = engine_config::storage_roots(host, problems);
    let docker = engine_config::docker_roots(host, problems);
    let remapped = docker
        .iter()
        .map(PathBuf::as_path)
        .chain([Path::new(DOCKER_ROOT)]);
    let remapped: Vec<PathBuf> = remapped.flat_map(|root| remapped_roots(host, root)).collect();
    roots.extend(docker);
    roots.extend(engine_config::containerd_roots(host, problems));
    roots.extend(engine_config::buildkit_roots(host, problems));
    roots.extend(running::roots(host, running, problems));
    roots.extend(KNOWN_ROOTS.iter().chain(&CONTAINERD_ROOTS).map(PathBuf::from));
    roots.extend(remapped);
    roots.extend(homes::roots(host, mounts));
    roots.extend(mounts.mounts.iter().flat_map(|mount| roots_of_mount(host, mount)));
    once_each(roots)
}

/// Where workers of a BuildKit may get their stores, below its roots.
fn of_workers(roots: &[PathBuf]) -> Vec<PathBuf> {
    let workers = |root: &PathBuf| BUILDKIT_WORKERS.map(|worker| root.join(worker));
    roots.iter().flat_map(workers).collect()
}

/// The roots, each followed by what may be a root of the engine's below it.
fn with_below(roots: Vec<PathBuf>, below: &[&str]) -> Vec<PathBuf> {
    let all = |root: PathBuf| {
        let below: Vec<PathBuf> = below.iter().map(|below| root.join(below)).collect();
        std::iter::once(root).chain(below)
    };
    roots.into_iter().flat_map(all).collect()
}

/// Where a Docker with `userns-remap` keeps everything: `<uid>.<gid>` below its data root.
fn remapped_roots(host: &Host, data_root: &Path) -> Vec<PathBuf> {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let is_remapped = |name: &str| {
        name.split_once('.')
            .is_some_and(|(uid, gid)| is_number(uid) && is_number(gid))
    };
    let entries = host
        .resolve(data_root)
        .map(|root| std::fs::read_dir(host.path(root)));
    let Ok(Ok(entries)) = entries else {
        return Vec::new();
    };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut roots: Vec<PathBuf> = names
        .take(MAX_ENTRIES)
        .filter(|name| is_remapped(name))
        .map(|name| data_root.join(name))
        .collect();
    roots.sort();
    roots
}

fn once_each(roots: Vec<PathBuf>) -> Vec<PathBuf> {
    let mut seen = BTreeSet::new();
    roots
        .into_iter()
        .filter(|root| seen.insert(root.clone()))
        .collect()
}

/// Roots that a mount gives away: an engine's own bind mount, or the directories of an overlay.
fn roots_of_mount(host: &Host, mount: &Mount) -> Vec<PathBuf> {
    use std::os::unix::ffi::OsStrExt;
    if mount.filesystem != "overlay" {
        let point = host.host_path(&mount.point);
        let home = point.filter(|point| point.ends_with("overlay"));
        return home
            .and_then(|home| home.parent().map(Path::to_owned))
            .into_iter()
            .collect();
    }
    let directories = mount
        .super_options
        .split(|b| *b == b',')
        .filter_map(|option| {
            let start = option.iter().position(|b| *b == b'=')?;
            let (key, value) = option.split_at(start);
            matches!(key, b"lowerdir" | b"lowerdir+" | b"upperdir")
                .then(|| value.get(1..).unwrap_or_default())
        })
        .flat_map(|value| value.split(|b| *b == b':'));
    directories
        .filter_map(|directory| root_above(Path::new(std::ffi::OsStr::from_bytes(directory))))
        .collect()
}

/// The store root above a layer's directory, by the names that engines give the level between.
fn root_above(directory: &Path) -> Option<PathBuf> {
    let level = directory.ancestors().find(|above| {
        above
            .file_name()
            .and_then(|name| name.to_str())
            .is_some_and(|name| {
                matches!(name, "overlay" | "overlay2") || name.starts_with("io.containerd.snapshotter.v1.")
            })
    })?;
    directory
        .is_absolute()
        .then(|| level.parent().map(Path::to_owned))?
}

#[cfg(test)]
mod tests;
