//! What the engines' configuration files ask of a driver: the pool of devicemapper, the parent of zfs's datasets.
//!
//! Invariant: reads and never judges whose store it is for; the options of a command line are not here, and what was in use
//! shows otherwise. A file that cannot be read is a problem of `engine_config`'s. Used for stores of these drivers.

use std::path::{Path, PathBuf};

use super::Host;
use super::engine_config::{
    CRIO_CONF, CRIO_DROP_INS, DOCKER_CONFIG, STORAGE_CONF, STORAGE_DROP_INS, drop_ins, text_of, value_at,
};
use crate::model::Engine;

/// What device mapper calls the thin pools that Docker is told to use.
pub(super) fn thin_pools(host: &Host) -> Vec<String> {
    let name = |device: &String| device.rsplit('/').next().map(str::to_owned);
    of_docker(host, "dm.thinpooldev=")
        .iter()
        .filter_map(name)
        .collect()
}

/// The dataset that an engine is told to make its layers' in.
pub(super) fn dataset(host: &Host, engine: Engine) -> Option<String> {
    const OPTION: &str = "zfs.fsname=";
    let name = match engine {
        Engine::Docker => of_docker(host, OPTION).pop(),
        Engine::CriO => of_crio(host, OPTION).or_else(|| of_storage(host)),
        Engine::ContainersStorage => of_storage(host),
        Engine::Containerd | Engine::BuildKit => None,
    };
    name.filter(|name| !name.is_empty())
}

/// The values of an option of Docker's.
fn of_docker(host: &Host, option: &str) -> Vec<String> {
    let text = text_of(host, Path::new(DOCKER_CONFIG), &mut Vec::new()).unwrap_or_default();
    let value: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    let options = value.get("storage-opts").and_then(serde_json::Value::as_array);
    let value = |text: &serde_json::Value| text.as_str()?.strip_prefix(option).map(str::to_owned);
    options.into_iter().flatten().filter_map(value).collect()
}

/// By a drop-in before the file, a later one first.
fn of_crio(host: &Host, option: &str) -> Option<String> {
    let mut files = vec![PathBuf::from(CRIO_CONF)];
    files.extend(drop_ins(host, Path::new(CRIO_DROP_INS)));
    files.iter().rev().find_map(|file| {
        let table = table_of(host, file);
        let options = value_at(&table, &["crio", "storage_option"])?.as_array()?;
        let value = |text: &toml::Value| text.as_str()?.strip_prefix(option).map(str::to_owned);
        options.iter().rev().find_map(value)
    })
}

/// By a drop-in before a file, a later one first; of the files the first.
fn of_storage(host: &Host) -> Option<String> {
    let drop_ins = STORAGE_DROP_INS
        .iter()
        .flat_map(|directory| drop_ins(host, Path::new(directory)));
    let drop_ins: Vec<PathBuf> = drop_ins.collect();
    let files = STORAGE_CONF.iter().map(PathBuf::from);
    drop_ins.into_iter().rev().chain(files).find_map(|file| {
        let table = table_of(host, &file);
        let name = value_at(&table, &["storage", "options", "zfs", "fsname"])?;
        name.as_str().map(str::to_owned)
    })
}

fn table_of(host: &Host, file: &Path) -> toml::Table {
    let text = text_of(host, file, &mut Vec::new()).unwrap_or_default();
    text.parse().unwrap_or_default()
}
