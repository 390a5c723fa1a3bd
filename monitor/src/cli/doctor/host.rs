//! What `doctor` says of the host beside its kernel: its processes, its stores, an agent that runs.
//!
//! Invariant: looks only. Called by `doctor`.

use super::super::running;
use super::{Check, Level};
use crate::catalog::{self, Host};
use crate::config::Config;

/// Whether an agent that runs here watches all that it found; nothing where none answers.
pub(super) fn running_agent(config: &Config) -> Option<Check> {
    Some(match running::unwatched(&config.web.listen)? {
        0 => Check::ok("running agent", "watches all that it found"),
        unwatched => Check::new(
            Level::Warn,
            "running agent",
            format!(
                "{unwatched} files or directories do not fit the kernel's maps: reads of them are not seen"
            ),
            "remove images that are not used, or watch fewer stores: stores.roots",
        ),
    })
}

/// Whether who runs on the host is seen, on which exposure and the engines depend.
pub(super) fn host_processes(host: &Host) -> Check {
    if host.shows_processes() {
        return Check::ok("host's processes", "seen");
    }
    Check::new(
        Level::Warn,
        "host's processes",
        "none is seen: their users, capabilities and mounts, running engines and their sockets",
        format!("mount the host's /proc at {}", host.path("/proc").display()),
    )
}

/// The stores, and what is wrong with them.
pub(super) fn stores(config: &Config) -> Vec<Check> {
    let host = Host::new(&config.stores.host_root);
    let catalog = catalog::read(&host, &config.stores.roots);
    let mut checks: Vec<Check> = catalog
        .stores
        .iter()
        .map(|store| {
            let layers = catalog.layers.keys().filter(|key| key.store == store.id).count();
            Check::ok(
                "store",
                format!("{}, {layers} layers, owner {}", store.id, store.owner_uid),
            )
        })
        .collect();
    if checks.is_empty() {
        let fix = "pull an image, or name the store: stores.roots";
        checks.push(Check::new(Level::Warn, "store", "none was found", fix));
    }
    for problem in &catalog.problems {
        checks.push(Check::new(Level::Warn, "store problem", problem.to_string(), ""));
    }
    checks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_without_processes_is_a_warning() {
        let root = tempfile::tempdir().unwrap();
        let (host, proc) = (Host::new(root.path()), root.path().join("proc"));
        let blind = host_processes(&host);
        let fix = format!("mount the host's /proc at {}", proc.display());
        assert_eq!((blind.level, blind.fix), (Level::Warn, fix));
        std::fs::create_dir_all(proc.join("1")).unwrap();
        assert_eq!(host_processes(&host).level, Level::Ok);
    }
}
