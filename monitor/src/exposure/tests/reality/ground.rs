//! A host of its own in a directory: its users' files, and one layout.

use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use super::layout::{Layout, Step};
use crate::catalog::{Catalog, Host};
use crate::exposure::acl::tests::bytes_of;
use crate::exposure::acl::{Entry, Who};
use crate::exposure::{Processes, Surroundings, Whose};
use crate::model::{DevIno, Driver, Engine, Exposure, RawDevice, Store, StoreId};

const PASSWD: &str = "root:x:0:0::/:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\nbob:x:1001:1001::/:/bin/sh\n\
                      op:x:11:0::/:/bin/sh\ndaisy:x:1002:1002::/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n";
const GROUP: &str = "root:x:0:\ndisk:x:6:daisy\ndocker:x:998:daisy\nstaff:x:50:bob\n";
const SUBUID: &str = "ann:200000:65536\n";

const ANN_MAY: [Entry; 5] = [
    (Who::Owner, 7),
    (Who::User(1000), 5),
    (Who::OwningGroup, 5),
    (Who::Mask, 7),
    (Who::Other, 0),
];

/// A host of its own, with one layout in its `/var/lib`.
pub(super) struct Ground {
    pub(super) directory: tempfile::TempDir,
    pub(super) file: PathBuf,
}

impl Ground {
    pub(super) fn new(layout: &Layout) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let etc = directory.path().join("etc");
        std::fs::create_dir(&etc).unwrap();
        for (name, text) in [
            ("passwd", PASSWD),
            ("group", GROUP),
            ("subuid", SUBUID),
            ("subgid", SUBUID),
        ] {
            std::fs::write(etc.join(name), text).unwrap();
        }
        let mut path = directory.path().join("var");
        std::fs::create_dir(&path).unwrap();
        if layout.default_list {
            let flags = rustix::fs::XattrFlags::empty();
            rustix::fs::setxattr(&path, "system.posix_acl_default", &bytes_of(&ANN_MAY), flags).unwrap();
        }
        let (file, above) = layout.steps.split_last().unwrap();
        for step in above {
            path.push(step.0);
            std::fs::DirBuilder::new().mode(step.1).create(&path).unwrap();
            Self::own(&path, *step, layout.default_list);
        }
        path.push(file.0);
        std::fs::write(&path, "content").unwrap();
        Self::own(&path, *file, layout.default_list);
        if !layout.beside.is_empty() {
            let root = directory.path().join("var").join(layout.steps[0].0);
            std::fs::create_dir_all(root.join(layout.beside)).unwrap();
        }
        Self {
            directory,
            file: path,
        }
    }

    /// As an engine leaves it: below a default list nothing is set after the making.
    fn own(path: &Path, (_, mode, uid, gid): Step, as_made: bool) {
        chown(path, Some(uid), Some(gid)).unwrap();
        if !as_made {
            std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
        }
    }

    fn store(&self, owner_uid: u32) -> Store {
        let root = self.directory.path().join("var");
        Store {
            id: StoreId::new("overlay@/var"),
            engine: Engine::Docker,
            driver: Driver::Overlay2,
            namespace: None,
            root_key: DevIno::of(&std::fs::metadata(&root).unwrap()),
            root,
            owner_uid,
            filesystem: "ext4".to_owned(),
            dataset: None,
            index_directories: Vec::new(),
            layer_directories: Vec::new(),
            unlisted: 0,
            leftovers: crate::model::Leftovers::default(),
        }
    }

    pub(super) fn exposure(
        &self,
        owner: u32,
        raw_devices: Vec<RawDevice>,
        processes: &Processes,
    ) -> Exposure {
        let store = self.store(owner);
        let catalog = Catalog {
            stores: vec![store.clone()],
            raw_devices,
            ..Catalog::default()
        };
        let host = Host::new(self.directory.path());
        let around = Surroundings::look(&host, &catalog, processes, &[]);
        let whose = Whose {
            store: Some(&store),
            in_layer: None,
        };
        around.of(&self.file, whose)
    }
}
