//! Rootless stores: what the users of the host keep in their homes.
//!
//! Invariant: no link below a home is followed, a store counts only if it is the user's own, and no home on a network file
//! system or behind an automounter is touched. Bounded. Used by `discover`, for hosts where no root is configured.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::Host;
use super::mounts::MountTable;
use super::user_config;
use crate::bounded;

const PASSWD_LIMIT: u64 = 8 << 20;
const MAX_HOMES: usize = 20_000;

/// Where engines keep rootless stores (`getRootlessStorageOpts` of containers/storage, daemon/config of moby,
/// containerd-rootless.sh of nerdctl, util/appdefaults of BuildKit).
const STORES: [&str; 4] = [
    ".local/share/containers/storage",
    ".local/share/docker",
    ".local/share/containerd",
    ".local/share/buildkit",
];

/// File systems that a look may wait for, or that a look mounts.
const REMOTE: [&str; 12] = [
    "autofs",
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "ceph",
    "glusterfs",
    "lustre",
    "afs",
    "9p",
    "fuse",
];

/// The rootless stores' roots, as host paths.
pub(super) fn roots(host: &Host, mounts: &MountTable) -> Vec<PathBuf> {
    let passwd = bounded::read(&host.path("/etc/passwd"), PASSWD_LIMIT).unwrap_or_default();
    let users: BTreeSet<User> = users(&passwd).take(MAX_HOMES).collect();
    let of_all = user_config::of_all(host);
    let is_local = |path: &Path| {
        let filesystem = mounts.filesystem_of(&host.path(path));
        !REMOTE.contains(&filesystem) && !filesystem.starts_with("fuse.")
    };
    let found = users.into_iter().flat_map(|user| {
        // A home may be a link to where the others are.
        let Ok(home) = host.resolve_where(&user.home, &is_local) else {
            return Vec::new();
        };
        let stores = STORES.iter().map(|store| home.join(store));
        let mut own: Vec<PathBuf> = stores
            .filter(|store| is_local(store) && is_own(host, &home, store, user.uid))
            .collect();
        for place in user_config::named(host, &user, &home, &of_all) {
            let resolved = host.resolve_where(&place, &is_local).ok();
            let is_users = |place: &PathBuf| {
                let metadata = host.path(place).symlink_metadata();
                metadata.is_ok_and(|metadata| metadata.is_dir() && metadata.uid() == user.uid)
            };
            own.extend(resolved.filter(is_users));
        }
        own
    });
    found.collect()
}

/// A user besides root, as the host's passwd file has them.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct User {
    pub(super) home: PathBuf,
    pub(super) uid: u32,
    pub(super) name: String,
}

/// Each user besides root: `name:password:uid:gid:comment:home:…`.
fn users(passwd: &[u8]) -> impl Iterator<Item = User> {
    passwd.split(|byte| *byte == b'\n').filter_map(|line| {
        let mut fields = line.split(|byte| *byte == b':');
        let name = std::str::from_utf8(fields.next()?).ok()?.to_owned();
        let uid = std::str::from_utf8(fields.nth(1)?).ok()?.parse().ok()?;
        let home = Path::new(OsStr::from_bytes(fields.nth(2)?)).to_owned();
        (uid != 0 && home.is_absolute() && home != Path::new("/")).then_some(User { home, uid, name })
    })
}

/// Whether each directory from the home down is one, and the last the user's.
pub(super) fn is_own(host: &Host, home: &Path, store: &Path, uid: u32) -> bool {
    let below = store.ancestors().take_while(|path| *path != home);
    let looked = below.map(|path| std::fs::symlink_metadata(host.path(path)));
    let mut looked = looked.peekable();
    let owner = looked
        .peek()
        .and_then(|last| last.as_ref().ok().map(MetadataExt::uid));
    owner == Some(uid) && looked.all(|one| one.is_ok_and(|one| one.is_dir()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_users_own_store_is_found_and_no_link_followed() {
        let directory = tempfile::tempdir().unwrap();
        let host = Host::new(directory.path());
        let own = rustix::process::geteuid().as_raw();
        std::fs::create_dir_all(host.path("/etc")).unwrap();
        std::fs::create_dir_all(host.path("/home/ann/.local/share/containers/storage")).unwrap();
        std::fs::create_dir_all(host.path("/home/eve/.local/share")).unwrap();
        std::os::unix::fs::symlink(
            "/home/ann/.local/share/containers",
            host.path("/home/eve/.local/share/containers"),
        )
        .unwrap();
        // The owner is whoever runs the test: as root it is nobody's own, unless it is given away.
        let uid = if own == 0 { 4711 } else { own };
        if own == 0 {
            let store = host.path("/home/ann/.local/share/containers/storage");
            std::os::unix::fs::chown(store, Some(uid), None).unwrap();
        }
        for (passwd, found) in [
            (format!("ann:x:{uid}:1::/home/ann:/bin/sh\n"), true),
            (format!("ann:x:{}:1::/home/ann:/bin/sh\n", uid + 1), false),
            (format!("eve:x:{uid}:1::/home/eve:/bin/sh\n"), false),
            (
                format!("root:x:0:0::/home/ann:/bin/sh\nx:x:{uid}:1::/:/x\n"),
                false,
            ),
            ("nonsense\n".to_owned(), false),
        ] {
            std::fs::write(host.path("/etc/passwd"), &passwd).unwrap();
            let roots = roots(&host, &MountTable::default());
            let expected: Vec<PathBuf> = found
                .then(|| "/home/ann/.local/share/containers/storage".into())
                .into_iter()
                .collect();
            assert_eq!(roots, expected, "{passwd}");
        }
        let remote = MountTable::parse(b"30 21 0:26 / / rw - nfs4 server:/ rw");
        std::fs::write(
            host.path("/etc/passwd"),
            format!("ann:x:{uid}:1::/home/ann:/bin/sh\n"),
        )
        .unwrap();
        assert_eq!(roots(&host, &remote), Vec::<PathBuf>::new());
        // A home that is a link into a mount behind which a server may be.
        let net = host.path("/net");
        std::fs::create_dir(&net).unwrap();
        std::fs::rename(host.path("/home/ann"), host.path("/net/ann")).unwrap();
        std::os::unix::fs::symlink("/net/ann", host.path("/home/ann")).unwrap();
        let store: PathBuf = "/net/ann/.local/share/containers/storage".into();
        assert_eq!(roots(&host, &MountTable::default()), [store]);
        let mounted = format!("30 21 0:26 / {} rw - autofs auto rw", net.display());
        let automounted = MountTable::parse(mounted.as_bytes());
        assert_eq!(roots(&host, &automounted), Vec::<PathBuf>::new());
    }

    /// What a user's configuration (`own`), and root's of all users (`all`), find of a store at `/srv/ann`, which is theirs or not.
    fn check(name: &str, own: &[(&str, &str)], all: &str, is_theirs: bool, found: bool) {
        const UID: u32 = 4711;
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        let host = Host::new(directory.path());
        for place in [
            "/etc/containers",
            "/home/ann/.config/containers",
            "/home/ann/.config/docker",
            "/srv/ann",
        ] {
            std::fs::create_dir_all(host.path(place)).unwrap();
        }
        std::fs::write(
            host.path("/etc/passwd"),
            format!("ann:x:{UID}:1::/home/ann:/bin/sh\n"),
        )
        .unwrap();
        std::fs::write(host.path("/etc/containers/storage.conf"), all).unwrap();
        for (file, text) in own {
            let file = host.path("/home/ann/.config").join(file);
            match text.strip_prefix("-> ") {
                Some(target) => std::os::unix::fs::symlink(host.path(target), file).unwrap(),
                None => std::fs::write(file, text).unwrap(),
            }
        }
        let give = |place: &str| std::os::unix::fs::chown(host.path(place), Some(UID), None).unwrap();
        give("/home/ann/.config/containers");
        give("/home/ann/.config/docker");
        if is_theirs {
            give("/srv/ann");
        }
        let expected: Vec<PathBuf> = found.then(|| "/srv/ann".into()).into_iter().collect();
        assert_eq!(roots(&host, &MountTable::default()), expected, "{name}");
    }

    #[test]
    fn a_store_that_a_configuration_names_is_the_users_own_or_none() {
        let storage = [("containers/storage.conf", "[storage]\ngraphroot = '/srv/ann'\n")];
        let docker = [("docker/daemon.json", r#"{"data-root": "/srv/ann"}"#)];
        check("storage.conf", &storage, "", true, true);
        check("daemon.json", &docker, "", true, true);
        check("a stranger's", &storage, "", false, false);
        // Root's own file says where root's store is, and is no user's.
        let of_root = "[storage]\ngraphroot = '/srv/ann'\n";
        let link = [("containers/storage.conf", "-> /etc/containers/storage.conf")];
        check("a link to another's file", &link, of_root, true, false);
        let variable = [(
            "containers/storage.conf",
            "[storage]\ngraphroot = '$HOME/../../srv/$USER'\n",
        )];
        check("variables", &variable, "", true, true);
        let of_all = "[storage]\nrootless_storage_path = '/srv/$USER'\n";
        check("root's for all", &[], of_all, true, true);
        check("root's for all, a stranger's", &[], of_all, false, false);
        for text in [
            "",
            "[storage",
            "[storage]\ngraphroot = 7\n",
            "[storage]\ngraphroot = 'srv/ann'\n",
            "[storage]\ngraphroot = '/srv/$OTHER'\n",
        ] {
            check(
                text,
                &[("containers/storage.conf", text), ("docker/daemon.json", text)],
                text,
                true,
                false,
            );
        }
    }
}
