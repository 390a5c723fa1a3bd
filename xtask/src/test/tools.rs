//! The programs the tests use: real engines, a registry, Prometheus, Alertmanager, QEMU.
//!
//! Packages that start a service when they are installed are unpacked under the target folder instead: a test run must
//! not leave a server listening on the machine.

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::apt::{self, Apt};
use crate::workspace::Workspace;
use crate::{files, process, say};

const INSTALLED: [&str; 43] = [
    "acl",
    "age",
    "apache2-utils",
    "bind9-utils",
    "binutils",
    "btrfs-progs",
    "buildah",
    "busybox-static",
    "curl",
    "default-jre-headless",
    "dmsetup",
    "e2fsprogs",
    "fuse-overlayfs",
    "git",
    "gnupg",
    "gnutls-bin",
    "jose",
    "krb5-user",
    "liblzo2-2",
    "libnl-genl-3-200",
    "libpkcs11-helper1",
    "minisign",
    "mount",
    "openssh-client",
    "openssl",
    "podman",
    "procps",
    "putty-tools",
    "python3",
    "python3-pip",
    "qemu-system-x86",
    "qemu-utils",
    "rpm",
    "signify-openbsd",
    "skopeo",
    "strace",
    "systemd",
    "uidmap",
    "util-linux",
    "whois",
    "wireguard-tools",
    "xfsprogs",
    "xz-utils",
];

/// Program and package of those that are not installed but unpacked.
const UNPACKED: [(&str, &str); 10] = [
    ("amtool", "prometheus-alertmanager"),
    ("containerd", "containerd"),
    ("docker-registry", "docker-registry"),
    ("dockerd", "docker.io"),
    ("grub-mkpasswd-pbkdf2", "grub-common"),
    ("kubectl", "kubernetes-client"),
    ("openvpn", "openvpn"),
    ("prometheus", "prometheus"),
    ("runc", "runc"),
    ("wpa_passphrase", "wpasupplicant"),
];

/// Starts the unpacked Alertmanager where it finds its templates.
const ALERTMANAGER: &[u8] = include_bytes!("alertmanager.sh");

/// Checks manifests against the schemas of Kubernetes releases, which the package holds (`PyPI`, Apache-2.0).
const SCHEMA_CHECKER: &str = "kubernetes-validate==1.37.0";

/// Makes the programs ready; on a machine without apt the tests say themselves what they lack.
pub(crate) fn install(workspace: &Workspace) -> Result<()> {
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
    let wrapper = folder.join("bin/prometheus-alertmanager");
    files::write_if_changed(&wrapper, ALERTMANAGER)?;
    std::fs::set_permissions(&wrapper, std::fs::Permissions::from_mode(0o755))?;
    schema_checker(workspace)
}

/// In a Python environment of its own, made once.
fn schema_checker(workspace: &Workspace) -> Result<()> {
    let environment = python(workspace);
    let stamp = environment.join("installed");
    if stamp.exists() && files::read_text(&stamp)? == SCHEMA_CHECKER {
        return Ok(());
    }
    say::progress(&format!("setup: {SCHEMA_CHECKER} into an environment of its own"));
    let has_venv = process::output(Command::new("python3").args(["-c", "import ensurepip, venv"])).is_ok();
    if !has_venv {
        apt::install(&["python3", "python3-venv"])?;
    }
    process::run_quietly(
        Command::new("python3")
            .args(["-m", "venv", "--clear"])
            .arg(&environment),
    )?;
    let pip = environment.join("bin/pip");
    process::run_quietly(Command::new(pip).args([
        "install",
        "--quiet",
        "--disable-pip-version-check",
        SCHEMA_CHECKER,
    ]))?;
    files::write(&stamp, SCHEMA_CHECKER.as_bytes())
}

fn python(workspace: &Workspace) -> PathBuf {
    workspace.target.join("test/python")
}

/// The search path with the unpacked programs at its end.
pub(crate) fn path(workspace: &Workspace) -> Result<OsString> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folder = folder(workspace);
    let places = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    let unpacked = [
        // Wrappers stand in front of what they wrap.
        folder.join("bin"),
        folder.join("usr/bin"),
        folder.join("usr/sbin"),
        python(workspace).join("bin"),
    ];
    let all: Vec<_> = std::env::split_paths(&path)
        .chain(places)
        .chain(unpacked)
        .collect();
    std::env::join_paths(all).context("the target folder's name cannot stand in a search path")
}

fn folder(workspace: &Workspace) -> PathBuf {
    workspace.target.join("test/programs")
}
