//! Where rootless stores are by a user's own configuration, and by what root's says of all users.
//!
//! Invariant: a user's file is read only where no link leads to it, and what it names counts only if it is the user's own and on a
//! local file system: nobody can have a stranger's directory read as a store of theirs. What their environment says is not known.
//! Formats: containers-storage.conf(5), dockerd-rootless(7). Called by `homes`.

use std::path::{Path, PathBuf};

use super::Host;
use super::engine_config::{STORAGE_CONF, STORAGE_DROP_INS, drop_ins, text_of, value_at};
use super::homes::User;
use crate::bounded;

const STORAGE: &str = ".config/containers/storage.conf";
const DOCKER: &str = ".config/docker/daemon.json";
/// No user writes a longer one.
const LIMIT: u64 = 256 << 10;

const STORAGE_KEYS: [&[&str]; 3] = [
    &["storage", "graphroot"],
    &["storage", "imagestore"],
    &["storage", "options", "imagestore"],
];

/// What root's configuration says of all users: a path with variables.
pub(super) fn of_all(host: &Host) -> Vec<String> {
    let files = STORAGE_CONF.iter().map(PathBuf::from);
    let drop_ins = STORAGE_DROP_INS
        .iter()
        .flat_map(|directory| drop_ins(host, Path::new(directory)));
    let values = files.chain(drop_ins).filter_map(|file| {
        let text = text_of(host, &file, &mut Vec::new())?;
        let table = text.parse::<toml::Table>().ok()?;
        Some(
            value_at(&table, &["storage", "rootless_storage_path"])?
                .as_str()?
                .to_owned(),
        )
    });
    values.collect()
}

/// The places that a user's configuration and that of all users name; whose they are is for the caller to see.
pub(super) fn named(host: &Host, user: &User, home: &Path, of_all: &[String]) -> Vec<PathBuf> {
    let mut named: Vec<String> = of_all.to_vec();
    let text = |file: &str| {
        let file = home.join(file);
        let is_users = super::homes::is_own(host, home, file.parent()?, user.uid)
            && host
                .path(&file)
                .symlink_metadata()
                .is_ok_and(|file| file.is_file());
        bounded::read_regular_text(&host.path(&file), LIMIT)
            .ok()
            .filter(|_| is_users)
    };
    if let Some(table) = text(STORAGE).and_then(|text| text.parse::<toml::Table>().ok()) {
        let values = STORAGE_KEYS
            .iter()
            .filter_map(|key| value_at(&table, key)?.as_str());
        named.extend(values.map(str::to_owned));
    }
    if let Some(value) = text(DOCKER).and_then(|text| serde_json::from_str::<serde_json::Value>(&text).ok()) {
        let root = value.get("data-root").and_then(serde_json::Value::as_str);
        named.extend(root.map(str::to_owned));
    }
    named.iter().filter_map(|path| expand(path, user, home)).collect()
}

/// `$HOME`, `$UID` and `$USER` as they are for the user; no other variable is known.
fn expand(path: &str, user: &User, home: &Path) -> Option<PathBuf> {
    let path = path
        .replace("$HOME", home.to_str()?)
        .replace("$UID", &user.uid.to_string())
        .replace("$USER", &user.name);
    (path.starts_with('/') && !path.contains('$')).then(|| PathBuf::from(path))
}
