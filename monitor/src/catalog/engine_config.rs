//! The roots that engines' own configuration files name.
//!
//! Invariant: reads and never judges precedence: a root that a losing file names costs one look, and is no store if
//! nothing is there. Formats: containers-storage.conf(5), crio.conf(5), dockerd(8), containerd-config.toml(5). Called
//! by `discover`.

use std::path::{Path, PathBuf};

use super::Host;
use super::problem::{Problem, ProblemKind, chain};
use crate::bounded;

/// No administrator writes a longer one.
const CONFIG_LIMIT: u64 = 1 << 20;

/// Files of a drop-in directory that are read, at most.
const MAX_DROP_INS: usize = 100;

pub(super) const STORAGE_CONF: &[&str] = &[
    "/etc/containers/storage.conf",
    "/usr/share/containers/storage.conf",
];

pub(super) const STORAGE_DROP_INS: &[&str] = &[
    "/usr/share/containers/storage.conf.d",
    "/usr/share/containers/storage.rootful.conf.d",
    "/etc/containers/storage.conf.d",
    "/etc/containers/storage.rootful.conf.d",
];

const CONTAINERS_CONF: [&str; 2] = ["/usr/share/containers", "/etc/containers"];

const STORAGE_KEYS: &[&[&str]] = &[
    &["storage", "graphroot"],
    &["storage", "imagestore"],
    &["storage", "options", "imagestore"],
    &["storage", "options", "additionalimagestores"],
];

pub(super) const DOCKER_CONFIG: &str = "/etc/docker/daemon.json";

pub(super) const CRIO_CONF: &str = "/etc/crio/crio.conf";

pub(super) const CRIO_DROP_INS: &str = "/etc/crio/crio.conf.d";

const CRIO_KEYS: &[&[&str]] = &[&["crio", "root"], &["crio", "imagestore"]];

const CONTAINERD_CONFIGS: [&str; 4] = [
    "/etc/containerd/config.toml",
    "/var/lib/rancher/k3s/agent/etc/containerd/config.toml",
    "/var/lib/rancher/rke2/agent/etc/containerd/config.toml",
    "/etc/k0s/containerd.toml",
];

const CONTAINERD_KEYS: &[&[&str]] = &[&["root"]];

/// Roots of containers/storage: from storage.conf with its drop-ins, and CRI-O's.
pub(super) fn storage_roots(host: &Host, problems: &mut Vec<Problem>) -> Vec<PathBuf> {
    let mut roots = Vec::new();
    for file in STORAGE_CONF {
        roots.extend(toml_roots(host, Path::new(file), STORAGE_KEYS, problems));
    }
    for directory in STORAGE_DROP_INS {
        for file in drop_ins(host, Path::new(directory)) {
            roots.extend(toml_roots(host, &file, STORAGE_KEYS, problems));
        }
    }
    roots.extend(toml_roots(host, Path::new(CRIO_CONF), CRIO_KEYS, problems));
    for file in drop_ins(host, Path::new(CRIO_DROP_INS)) {
        roots.extend(toml_roots(host, &file, CRIO_KEYS, problems));
    }
    roots
}

/// What CRI-O's own files say of its storage.
#[derive(Debug, Default)]
pub(super) struct CrioConfig {
    pub(super) root: Option<PathBuf>,
    pub(super) imagestore: Option<PathBuf>,
    pub(super) driver: Option<String>,
}

impl CrioConfig {
    /// What a file says comes before what was said so far.
    pub(super) fn take(&mut self, host: &Host, file: &Path) {
        let Some(text) = text_of(host, file, &mut Vec::new()) else {
            return;
        };
        let table = text.parse::<toml::Table>().unwrap_or_default();
        let value = |key| {
            value_at(&table, &["crio", key])?
                .as_str()
                .filter(|text| !text.is_empty())
        };
        let path = |key| value(key).and_then(expand);
        self.root = path("root").or(self.root.take());
        self.imagestore = path("imagestore").or(self.imagestore.take());
        self.driver = value("storage_driver").map(str::to_owned).or(self.driver.take());
    }
}

/// CRI-O's configuration, if it has any: a later drop-in comes before an earlier one, and before the file.
pub(super) fn crio(host: &Host) -> Option<CrioConfig> {
    let mut files = vec![PathBuf::from(CRIO_CONF)];
    files.extend(drop_ins(host, Path::new(CRIO_DROP_INS)));
    let mut config: Option<CrioConfig> = None;
    for file in files {
        if host.resolve(&file).is_ok() {
            config.get_or_insert_default().take(host, &file);
        }
    }
    config
}

/// The graph root of root's storage.conf; the first file counts.
pub(super) fn graph_root(host: &Host) -> Option<PathBuf> {
    let first = STORAGE_CONF
        .iter()
        .find(|file| host.resolve(Path::new(file)).is_ok())?;
    let mut roots = toml_roots(
        host,
        Path::new(first),
        &[&["storage", "graphroot"]],
        &mut Vec::new(),
    );
    roots.pop()
}

/// Where pulls put their blobs aside.
#[derive(Debug)]
pub(super) enum BlobPlace {
    Directory(PathBuf),
    /// In the store that they are on the way to.
    Store,
}

/// The places that containers.conf(5) and CRI-O's files name.
pub(super) fn blob_places(host: &Host) -> Vec<BlobPlace> {
    let mut files: Vec<(PathBuf, &[&str])> = Vec::new();
    for directory in CONTAINERS_CONF {
        let key: &[&str] = &["engine", "image_copy_tmp_dir"];
        files.push((Path::new(directory).join("containers.conf"), key));
        let drop_ins = drop_ins(host, &Path::new(directory).join("containers.conf.d"));
        files.extend(drop_ins.into_iter().map(|file| (file, key)));
    }
    let crios = std::iter::once(PathBuf::from(CRIO_CONF)).chain(drop_ins(host, Path::new(CRIO_DROP_INS)));
    let key: &[&str] = &["crio", "image", "big_files_temporary_dir"];
    files.extend(crios.map(|file| (file, key)));
    let place = |(file, key): (PathBuf, &[&str])| {
        let table: toml::Table = text_of(host, &file, &mut Vec::new())?.parse().ok()?;
        let value = value_at(&table, key)?.as_str()?;
        if value == "storage" {
            return Some(BlobPlace::Store);
        }
        expand(value).map(BlobPlace::Directory)
    };
    files.into_iter().filter_map(place).collect()
}

/// Roots of BuildKit.
pub(super) fn buildkit_roots(host: &Host, problems: &mut Vec<Problem>) -> Vec<PathBuf> {
    toml_roots(
        host,
        Path::new("/etc/buildkit/buildkitd.toml"),
        CONTAINERD_KEYS,
        problems,
    )
}

/// Data roots of Docker.
pub(super) fn docker_roots(host: &Host, problems: &mut Vec<Problem>) -> Vec<PathBuf> {
    let file = Path::new(DOCKER_CONFIG);
    let Some(text) = text_of(host, file, problems) else {
        return Vec::new();
    };
    match serde_json::from_str::<serde_json::Value>(&text) {
        Ok(value) => ["data-root", "graph"]
            .iter()
            .filter_map(|key| expand(value.get(key)?.as_str()?))
            .collect(),
        Err(error) => {
            problems.push(malformed(file, &error.to_string()));
            Vec::new()
        }
    }
}

/// Roots of containerd: its own files, and those of the distributions of Kubernetes that bring one.
pub(super) fn containerd_roots(host: &Host, problems: &mut Vec<Problem>) -> Vec<PathBuf> {
    let mut roots = Vec::new();
    for file in CONTAINERD_CONFIGS {
        roots.extend(roots_in(host, Path::new(file), problems));
    }
    // containerd 2.2 reads them unasked.
    for file in files_of(host, Path::new("/etc/containerd/conf.d"), "toml") {
        roots.extend(toml_roots(host, &file, CONTAINERD_KEYS, problems));
    }
    roots
}

/// The roots that a configuration file of a running engine names.
pub(super) fn roots_of(
    host: &Host,
    program: &str,
    config: &Path,
    problems: &mut Vec<Problem>,
) -> Vec<PathBuf> {
    if program == "crio" {
        toml_roots(host, config, CRIO_KEYS, problems)
    } else {
        roots_in(host, config, problems)
    }
}

/// The roots that a configuration of containerd names, and those of the files that it imports.
fn roots_in(host: &Host, config: &Path, problems: &mut Vec<Problem>) -> Vec<PathBuf> {
    let mut roots = toml_roots(host, config, CONTAINERD_KEYS, problems);
    for import in toml_roots(host, config, &[&["imports"]], problems) {
        // A pattern of files: the directory is looked through.
        let pattern = import.file_name().and_then(|name| name.to_str());
        let files = match (pattern, import.parent()) {
            (Some(pattern), Some(directory)) if pattern.starts_with('*') => {
                files_of(host, directory, pattern.trim_start_matches(['*', '.']))
            }
            (Some(_) | None, _) => vec![import],
        };
        for file in files {
            roots.extend(toml_roots(host, &file, CONTAINERD_KEYS, problems));
        }
    }
    roots
}

fn toml_roots(host: &Host, file: &Path, keys: &[&[&str]], problems: &mut Vec<Problem>) -> Vec<PathBuf> {
    let Some(text) = text_of(host, file, problems) else {
        return Vec::new();
    };
    let table = match text.parse::<toml::Table>() {
        Ok(table) => table,
        Err(error) => {
            problems.push(malformed(file, error.message()));
            return Vec::new();
        }
    };
    let values = keys.iter().filter_map(|key| value_at(&table, key));
    values
        .flat_map(|value| {
            value
                .as_array()
                .map_or(std::slice::from_ref(value), Vec::as_slice)
        })
        .filter_map(|path| expand(path.as_str()?))
        .collect()
}

pub(super) fn value_at<'a>(table: &'a toml::Table, key: &[&str]) -> Option<&'a toml::Value> {
    let (last, above) = key.split_last()?;
    let mut level = table;
    for name in above {
        level = level.get(*name)?.as_table()?;
    }
    level.get(*last)
}

/// `$HOME` and `$UID` as they are for root, whose stores these files describe; no other variable is known.
fn expand(path: &str) -> Option<PathBuf> {
    let path = path.replace("$HOME", "/root").replace("$UID", "0");
    (path.starts_with('/') && !path.contains('$')).then(|| PathBuf::from(path))
}

pub(super) fn text_of(host: &Host, file: &Path, problems: &mut Vec<Problem>) -> Option<String> {
    let seen = match host.resolve(file) {
        Ok(resolved) => host.path(resolved),
        Err(error) if error.is_not_found() => return None,
        Err(error) => {
            problems.push(unreadable(file, &chain(&error)));
            return None;
        }
    };
    bounded::read_text(&seen, CONFIG_LIMIT)
        .map_err(|error| problems.push(unreadable(file, &chain(&error))))
        .ok()
}

pub(super) fn drop_ins(host: &Host, directory: &Path) -> Vec<PathBuf> {
    files_of(host, directory, "conf")
}

/// The files of a directory whose names end so.
fn files_of(host: &Host, directory: &Path, ending: &str) -> Vec<PathBuf> {
    let Ok(resolved) = host.resolve(directory) else {
        return Vec::new();
    };
    let Ok(entries) = std::fs::read_dir(host.path(resolved)) else {
        return Vec::new();
    };
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(directory.join(entry.ok()?.file_name())))
        .filter(|file| file.extension().is_some_and(|extension| extension == ending))
        .take(MAX_DROP_INS)
        .collect();
    files.sort();
    files
}

fn malformed(file: &Path, cause: &str) -> Problem {
    Problem::new(
        ProblemKind::Malformed,
        file,
        "parse the engine's configuration",
        cause,
    )
}

fn unreadable(file: &Path, cause: &str) -> Problem {
    Problem::new(
        ProblemKind::Unreadable,
        file,
        "read the engine's configuration",
        cause,
    )
}
