//! The container engines of this host, by their executables' inodes.
//!
//! Invariant: only a file that belongs to root and that nobody else may write counts; a name alone proves nothing.
//! Read with each snapshot, since packages are upgraded. Used by `survey`.

use std::os::unix::fs::MetadataExt;

use crate::catalog::Host;
use crate::model::DevIno;

/// Where packages put programs (FHS 3.0; `/usr/libexec` and `/usr/lib` for the helpers of Podman and CRI-O).
const DIRECTORIES: [&str; 5] = [
    "/usr/bin",
    "/usr/sbin",
    "/usr/local/bin",
    "/usr/local/sbin",
    "/usr/libexec/podman",
];

/// The engines, and the programs they run to unpack and mount layers.
const PROGRAMS: [&str; 12] = [
    "podman",
    "buildah",
    "skopeo",
    "crio",
    "dockerd",
    "containerd",
    "buildkitd",
    "k3s",
    "rke2",
    "nerdctl",
    "fuse-overlayfs",
    "containerd-shim-runc-v2",
];

/// The engines' executables that exist on the host.
pub(super) fn executables(host: &Host) -> Vec<DevIno> {
    let mut found = Vec::new();
    for directory in DIRECTORIES {
        for program in PROGRAMS {
            let Ok(metadata) = std::fs::metadata(host.path(directory).join(program)) else {
                continue;
            };
            let key = DevIno::of(&metadata);
            let is_roots = metadata.uid() == 0 && metadata.mode() & 0o022 == 0;
            if metadata.is_file() && is_roots && !found.contains(&key) {
                found.push(key);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn only_roots_own_unwritable_programs_are_engines() {
        let root = tempfile::tempdir().unwrap();
        let bin = root.path().join("usr/bin");
        fs::create_dir_all(&bin).unwrap();
        let as_root = rustix::process::geteuid().is_root();
        for (name, mode, engine) in [
            ("podman", 0o755, true),
            ("buildah", 0o775, false),
            ("skopeo", 0o757, false),
            ("bash", 0o755, false),
        ] {
            let path = bin.join(name);
            fs::write(&path, "").unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let key = DevIno::of(&fs::metadata(&path).unwrap());
            let found = executables(&Host::new(root.path()));
            assert_eq!(found.contains(&key), engine && as_root, "{name}");
        }
    }
}
