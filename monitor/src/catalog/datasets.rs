//! The driver zfs: which dataset carries which layer, and whether it is mounted.
//!
//! Both engines clone a dataset `<parent>/<id>` for each layer, so each holds the whole tree, and mount it at
//! `zfs/graph/<id>` below the root only while it is in use; no file lists them. Invariant: what the mount table says of a
//! mounted one comes before what a configuration asks for; no dataset is mounted, and `/dev/zfs` is not opened.
//! Format: `daemon/graphdriver/zfs/zfs.go` of moby, `drivers/zfs/zfs.go` of containers/storage. Used by the readers of layers.

use std::path::Path;

use super::mount_points::MountPoints;
use super::mounts::{Mount, MountTable};
use super::problem::Problems;
use super::{Host, driver_options, layout};
use crate::model::{Driver, Engine, LayerDevice};

/// The datasets of one store.
#[derive(Debug)]
pub(super) struct Datasets {
    /// What they are below, where this host tells it.
    parent: Option<String>,
    points: MountPoints,
}

impl Datasets {
    /// Those below `parent`, which are mounted in `home`.
    pub(super) fn of(parent: Option<&str>, home: &Path) -> Self {
        Self {
            parent: parent.map(str::to_owned),
            points: MountPoints::in_directory(home.to_owned()),
        }
    }

    /// The dataset of the layer that the driver calls `id`.
    pub(super) fn device(&mut self, id: &str) -> LayerDevice {
        LayerDevice {
            name: self
                .parent
                .as_ref()
                .map_or(id.to_owned(), |parent| format!("{parent}/{id}")),
            thin: None,
            is_mounted: self.points.has(id),
            files: None,
        }
    }

    /// Says how many layers have no files here.
    pub(super) fn finish(self, problems: &mut Problems) {
        let whom = "open the pool's disks, or may send or clone a dataset,";
        self.points.finish("datasets", whom, problems);
    }
}

/// The dataset below which those of a store at `root` are, as this process sees it: by a layer that is mounted, by the option
/// `zfs.fsname` of its engine, else the one that the root lies on.
pub(super) fn parent(host: &Host, engine: Engine, root: &Path, mounts: &MountTable) -> Option<String> {
    let home = root.join(layout::home(Driver::Zfs));
    let is_zfs = |mount: &&Mount| mount.filesystem == "zfs";
    let of_layer = |mount: &Mount| {
        let is_layers =
            mount.point.parent() == Some(&home) && mount.source.file_name() == mount.point.file_name();
        mount
            .source
            .parent()
            .filter(|_| is_layers)?
            .to_str()
            .map(str::to_owned)
    };
    let mounted = mounts.mounts.iter().filter(is_zfs).find_map(of_layer);
    let own = || Some(mounts.of(root).filter(is_zfs)?.source.to_str()?.to_owned());
    mounted
        .or_else(|| driver_options::dataset(host, engine))
        .or_else(own)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What tells the parent on a host with these mounts (`HOST` is its root) and configuration files.
    fn check(engine: Engine, mounts: &str, files: &[(&str, &str)], expected: Option<&str>) {
        let directory = tempfile::tempdir().unwrap();
        let host = Host::new(directory.path());
        for (name, content) in files {
            let path = host.path(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        let mounts = mounts.replace("HOST", host.root().to_str().unwrap());
        let table = MountTable::parse(mounts.as_bytes());
        let found = parent(&host, engine, &host.path("/d"), &table);
        assert_eq!(found.as_deref(), expected, "{mounts} {files:?}");
    }

    const ROOT: &str = "1 0 0:41 / HOST/d rw - zfs tank/docker rw,xattr\n";
    const LAYER: &str = "2 1 0:42 / HOST/d/zfs/graph/ab rw - zfs tank/layers/ab rw,xattr\n";
    /// Mounted there by somebody else.
    const OTHERS: &str = "3 1 0:43 / HOST/d/zfs/graph/cd rw - zfs tank/other rw,xattr\n\
                          4 1 0:44 / HOST/d/zfs/graph/ef rw - tmpfs tank/layers/ef rw\n";
    const DOCKER: (&str, &str) = (
        "/etc/docker/daemon.json",
        r#"{"storage-opts":["dm.fs=xfs","zfs.fsname=asked/docker"]}"#,
    );
    const STORAGE: (&str, &str) = (
        "/etc/containers/storage.conf",
        "[storage.options.zfs]\nfsname = 'asked/storage'",
    );
    const DROP_IN: (&str, &str) = (
        "/etc/containers/storage.conf.d/z.conf",
        "[storage.options.zfs]\nfsname = 'asked/drop-in'",
    );
    const CRIO: (&str, &str) = (
        "/etc/crio/crio.conf",
        "[crio]\nstorage_option = ['zfs.fsname=asked/crio']",
    );

    #[test]
    fn what_is_mounted_comes_before_what_was_asked_for() {
        use Engine::{ContainersStorage, CriO, Docker};
        check(Docker, "", &[], None);
        check(Docker, "1 0 8:1 / HOST/d rw - ext4 /dev/a rw\n", &[], None);
        check(Docker, ROOT, &[], Some("tank/docker"));
        check(Docker, ROOT, &[DOCKER], Some("asked/docker"));
        check(Docker, &[ROOT, LAYER].concat(), &[DOCKER], Some("tank/layers"));
        check(
            Docker,
            &[ROOT, OTHERS].concat(),
            &[STORAGE, CRIO],
            Some("tank/docker"),
        );
        check(ContainersStorage, ROOT, &[DOCKER], Some("tank/docker"));
        check(ContainersStorage, ROOT, &[DOCKER, STORAGE], Some("asked/storage"));
        check(ContainersStorage, "", &[STORAGE, DROP_IN], Some("asked/drop-in"));
        check(CriO, "", &[STORAGE], Some("asked/storage"));
        check(CriO, "", &[STORAGE, CRIO], Some("asked/crio"));
        check(Docker, "", &[("/etc/docker/daemon.json", "{")], None);
        let none = ("/etc/docker/daemon.json", r#"{"storage-opts":["zfs.fsname=",7]}"#);
        check(Docker, "", &[none], None);
    }
}
