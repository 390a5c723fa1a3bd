//! Which store of containers/storage is CRI-O's.
//!
//! Invariant: `crio`'s command line comes before its drop-ins, these before its configuration file, that before
//! storage.conf, as crio(8) and crio.conf.d(5) say; without a sign of a CRI-O none is its. A store that Podman uses too is
//! CRI-O's here: the kubelet's images are what counts. Called by `discover`.

use std::path::{Path, PathBuf};

use super::Host;
use super::engine_config::{self, CrioConfig};
use super::marks::StoreRoot;
use super::running::Running;
use crate::model::Engine;

/// Where containers/storage is when nobody says anything (`defaultGraphRoot`).
const DEFAULT_ROOT: &str = "/var/lib/containers/storage";

/// CRI-O's own stores: where it keeps images and containers.
#[derive(Debug)]
pub(super) struct Crio {
    roots: Vec<PathBuf>,
    /// The driver that it is told; absent where containers/storage finds one.
    driver: Option<String>,
}

impl Crio {
    /// What this host's CRI-O uses, if there is one.
    pub(super) fn of(host: &Host, running: &[Running]) -> Option<Self> {
        let processes: Vec<&Running> = running.iter().filter(|one| one.program == "crio").collect();
        let mut config = engine_config::crio(host);
        for process in &processes {
            for file in &process.configs {
                config.get_or_insert_default().take(host, file);
            }
        }
        if config.is_none() && processes.is_empty() {
            return None;
        }
        let CrioConfig {
            root,
            imagestore,
            driver,
        } = config.unwrap_or_default();
        let told: Vec<PathBuf> = processes
            .iter()
            .flat_map(|process| process.roots.clone())
            .collect();
        let mut roots = if told.is_empty() {
            vec![root.unwrap_or_else(|| {
                engine_config::graph_root(host).unwrap_or_else(|| PathBuf::from(DEFAULT_ROOT))
            })]
        } else {
            told
        };
        roots.extend(imagestore);
        let roots = roots
            .into_iter()
            .map(|root| host.resolve(&root).unwrap_or(root))
            .collect();
        Some(Self { roots, driver })
    }

    /// The store with the engine that it is.
    pub(super) fn name(&self, store: StoreRoot) -> StoreRoot {
        let is_driver = |told: &String| told.trim_end_matches('2') == store.driver.as_str();
        let is_its = store.engine == Engine::ContainersStorage
            && self.roots.iter().any(|root| root == Path::new(&store.path))
            && self.driver.as_ref().is_none_or(is_driver);
        StoreRoot {
            engine: if is_its { Engine::CriO } else { store.engine },
            ..store
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::mounts::MountTable;
    use crate::model::Driver;

    /// A host with these files (a path, a colon and what is in it) and stores, and what engine each store is.
    fn check(name: &str, files: &[&str], command: Option<&str>, expected: &[(&str, Driver, Engine)]) {
        let directory = tempfile::tempdir().unwrap();
        let host = Host::new(directory.path());
        let put = |path: &str, content: &str| {
            std::fs::create_dir_all(host.path(path).parent().unwrap()).unwrap();
            std::fs::write(host.path(path), content).unwrap();
        };
        for root in ["/a", "/b", DEFAULT_ROOT] {
            std::fs::create_dir_all(host.path(root).join("overlay-layers")).unwrap();
        }
        std::fs::create_dir_all(host.path("/a/vfs-layers")).unwrap();
        put(
            "/etc/containers/storage.conf",
            "[storage]\ngraphroot = '/b'\n[storage.options]\nadditionalimagestores = ['/a']",
        );
        for file in files {
            let (path, content) = file.split_once(':').unwrap();
            put(path, content);
        }
        if let Some(command) = command {
            put("/proc/1/comm", "systemd\n");
            put("/proc/7/comm", "crio\n");
            put("/proc/7/cmdline", &command.replace(' ', "\0"));
            for process in ["1", "7"] {
                let link = host.path(format!("/proc/{process}/root"));
                std::os::unix::fs::symlink(host.root(), link).unwrap();
            }
        }
        let found = super::super::discover::stores(&host, &[], &MountTable::default(), &mut Vec::new());
        let found = found
            .iter()
            .map(|store| (store.path.to_str().unwrap(), store.driver, store.engine));
        let expected: Vec<_> = expected.to_vec();
        assert_eq!(found.collect::<Vec<_>>(), expected, "{name}");
    }

    #[test]
    fn its_store_is_told_from_the_others() {
        use Driver::{Overlay, Vfs};
        use Engine::{ContainersStorage as Podman, CriO};
        let all = |b, a, default| {
            [
                ("/b", Overlay, b),
                ("/a", Overlay, a),
                ("/a", Vfs, a),
                (DEFAULT_ROOT, Overlay, default),
            ]
        };
        check("no CRI-O", &[], None, &all(Podman, Podman, Podman));
        check(
            "storage.conf",
            &["/etc/crio/crio.conf:"],
            None,
            &all(CriO, Podman, Podman),
        );
        let own = "/etc/crio/crio.conf:[crio]\nroot = '/a'";
        check("crio.conf", &[own], None, &all(Podman, CriO, Podman));
        let vfs = "/etc/crio/crio.conf.d/20.conf:[crio]\nstorage_driver = 'vfs'";
        let only_vfs = [
            ("/b", Overlay, Podman),
            ("/a", Overlay, Podman),
            ("/a", Vfs, CriO),
            (DEFAULT_ROOT, Overlay, Podman),
        ];
        check("its driver", &[own, vfs], None, &only_vfs);
        let drop_in = format!("/etc/crio/crio.conf.d/10.conf:[crio]\nroot = '{DEFAULT_ROOT}'");
        check("a drop-in", &[own, &drop_in], None, &all(Podman, Podman, CriO));
        let command = "/usr/bin/crio --root /b --log-level info";
        check(
            "the command line",
            &[own],
            Some(command),
            &all(CriO, Podman, Podman),
        );
        check("it runs", &[], Some("/usr/bin/crio"), &all(CriO, Podman, Podman));
        let other = "/c.conf:[crio]\nroot = '/a'";
        check(
            "its own file",
            &[other],
            Some("crio -c /c.conf"),
            &all(Podman, CriO, Podman),
        );
    }
}
