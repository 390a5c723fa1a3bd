//! The programs the tests use: real engines, a registry, Prometheus, Alertmanager, QEMU.
//!
//! Packages that start a service when they are installed are unpacked under the target folder instead: a test run must
//! not leave a server listening on the machine.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::apt::{self, Apt};
use crate::workspace::Workspace;
use crate::{process, say};

const INSTALLED: [&str; 12] = [
    "binutils",
    "buildah",
    "busybox-static",
    "e2fsprogs",
    "git",
    "podman",
    "qemu-system-x86",
    "skopeo",
    "systemd",
    "uidmap",
    "util-linux",
    "xz-utils",
];

/// Program and package of those that are not installed but unpacked.
const UNPACKED: [(&str, &str); 6] = [
    ("amtool", "prometheus-alertmanager"),
    ("containerd", "containerd"),
    ("docker-registry", "docker-registry"),
    ("dockerd", "docker.io"),
    ("prometheus", "prometheus"),
    ("runc", "runc"),
];

/// Makes the programs ready; on a machine without apt the tests say themselves what they lack.
pub(super) fn install(workspace: &Workspace) -> Result<()> {
    if !Apt::exists() {
        return Ok(());
    }
    apt::install(&INSTALLED)?;
    let folder = folder(workspace);
    let missing = |program: &str| {
        process::find(program).is_none()
            && !["usr/bin", "usr/sbin"]
                .iter()
                .any(|place| folder.join(place).join(program).exists())
    };
    for (_, package) in UNPACKED.iter().filter(|(program, _)| missing(program)) {
        say::progress(&format!("setup: unpacking {package}"));
        for deb in
            Apt::system().download(&[(*package).to_owned()], &workspace.target.join("test/download"))?
        {
            apt::unpack(&deb, &folder)?;
        }
    }
    Ok(())
}

/// The search path with the unpacked programs at its end.
pub(super) fn path(workspace: &Workspace) -> Result<OsString> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folder = folder(workspace);
    let places = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    let unpacked = [folder.join("usr/bin"), folder.join("usr/sbin")];
    let all: Vec<_> = std::env::split_paths(&path)
        .chain(places)
        .chain(unpacked)
        .collect();
    std::env::join_paths(all).context("the target folder's name cannot stand in a search path")
}

fn folder(workspace: &Workspace) -> PathBuf {
    workspace.target.join("test/programs")
}
