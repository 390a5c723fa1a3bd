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
    let homes: BTreeSet<(PathBuf, u32)> = homes(&passwd).take(MAX_HOMES).collect();
    let is_local = |path: &Path| {
        let filesystem = mounts.filesystem_of(&host.path(path));
        !REMOTE.contains(&filesystem) && !filesystem.starts_with("fuse.")
    };
    let found = homes.into_iter().flat_map(|(home, uid)| {
        // A home may be a link to where the others are.
        let Ok(home) = host.resolve_where(&home, &is_local) else {
            return Vec::new();
        };
        let stores = STORES.iter().map(|store| home.join(store));
        stores
            .filter(|store| is_local(store) && is_own(host, &home, store, uid))
            .collect()
    });
    found.collect()
}

/// The home and user id of each user besides root: `name:password:uid:gid:comment:home:…`.
fn homes(passwd: &[u8]) -> impl Iterator<Item = (PathBuf, u32)> {
    passwd.split(|byte| *byte == b'\n').filter_map(|line| {
        let mut fields = line.split(|byte| *byte == b':');
        let uid = std::str::from_utf8(fields.nth(2)?).ok()?.parse().ok()?;
        let home = Path::new(OsStr::from_bytes(fields.nth(2)?));
        (uid != 0 && home.is_absolute() && home != Path::new("/")).then(|| (home.to_owned(), uid))
    })
}

/// Whether each directory from the home down is one, and the last the user's.
fn is_own(host: &Host, home: &Path, store: &Path, uid: u32) -> bool {
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
}
