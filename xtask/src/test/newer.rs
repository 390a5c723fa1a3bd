//! Engines of a newer release than the machine's, in a root of their own.
//!
//! Their packages are unpacked, none of their scripts runs, and they are started by wrappers on the search path of tests.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::apt::{self, Apt, sources};
use crate::workspace::Workspace;
use crate::{files, say};

/// Debian 13.
const SUITE: &str = "trixie";

/// The engines and the libraries that they are linked with.
const PACKAGES: [&str; 38] = [
    "buildah",
    "conmon",
    "containerd",
    "crun",
    "docker-cli",
    "docker.io",
    "golang-github-containers-common",
    "golang-github-containers-image",
    "libacl1",
    "libassuan9",
    "libattr1",
    "libaudit1",
    "libbsd0",
    "libbz2-1.0",
    "libc6",
    "libcap-ng0",
    "libcap2",
    "libcrypt1",
    "libgcc-s1",
    "libglib2.0-0t64",
    "libgpg-error0",
    "libgpgme11t64",
    "libmd0",
    "libpam0g",
    "libpcre2-8-0",
    "libseccomp2",
    "libselinux1",
    "libsemanage2",
    "libsepol2",
    "libsqlite3-0",
    "libsubid5",
    "libsystemd0",
    "libyajl2",
    "netavark",
    "podman",
    "runc",
    "tini",
    "zlib1g",
];

/// What gets a wrapper with this name and `-newer`.
const PROGRAMS: [&str; 6] = ["buildah", "containerd", "ctr", "docker", "dockerd", "podman"];

const WRAPPER: &[u8] = include_bytes!("newer.sh");

/// Makes the root once, and the wrappers; on a machine without apt the tests say themselves what they lack.
pub(super) fn install(workspace: &Workspace) -> Result<()> {
    if !Apt::exists() {
        return Ok(());
    }
    let wrappers = workspace.target.join("test/programs/bin");
    let root = workspace.target.join("test/newer");
    let stamp = root.join("unpacked");
    let made_of = format!("{SUITE} {}", PACKAGES.join(" "));
    if !stamp.exists() || files::read_text(&stamp)? != made_of {
        say::progress(&format!("setup: unpacking engines of {SUITE}"));
        unpack(workspace, &root)?;
        files::write(&stamp, made_of.as_bytes())?;
    }
    for program in PROGRAMS {
        let wrapper = wrappers.join(format!("{program}-newer"));
        files::write_if_changed(&wrapper, WRAPPER)?;
        std::fs::set_permissions(&wrapper, std::fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}

fn unpack(workspace: &Workspace, root: &Path) -> Result<()> {
    files::empty_folder(root)?;
    for folder in ["usr/bin", "usr/sbin", "usr/lib", "usr/lib64"] {
        files::create_folder(&root.join(folder))?;
    }
    // As each Debian has it since 12; the packages no longer do it themselves.
    for name in ["bin", "sbin", "lib", "lib64"] {
        symlink(format!("usr/{name}"), root.join(name)).with_context(|| format!("link {name}"))?;
    }
    for place in ["proc", "sys", "dev", "run", "tmp", "var/tmp", "etc"] {
        files::create_folder(&root.join(place))?;
    }
    let apt = sources::suites(&[SUITE], &workspace.target.join("test/newer-apt"))?;
    let packages = PACKAGES.map(str::to_owned);
    for deb in apt.download(&packages, &workspace.target.join("test/download"))? {
        apt::unpack(&deb, root)?;
    }
    Ok(())
}
