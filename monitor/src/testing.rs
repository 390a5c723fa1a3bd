//! What tests of several modules share: real stores made by real engines, and saying that a test was skipped.
//!
//! Invariant: a skip is written to the file that `LAYERWATCH_SKIPS` names, so that the CI can refuse it; a store is
//! unmounted and removed when it is dropped. Compiled for tests only.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Whether the test runs as root; if not, the skip is recorded.
pub(crate) fn root_or_skip(test: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        skip(test, "needs root");
    }
    root
}

/// Records that a test could not run; without a list that is an error, for nobody would look.
pub(crate) fn skip(test: &str, reason: &str) {
    use std::io::Write;
    let Some(log) = std::env::var_os("LAYERWATCH_SKIPS") else {
        panic!("{test} cannot run ({reason}) and no list of skips is kept");
    };
    let mut log = std::fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(log)
        .unwrap();
    log.write_all(format!("{test}\t{reason}\n").as_bytes()).unwrap();
}

/// A containers/storage overlay store in a directory of its own, filled by Buildah and Podman.
#[derive(Debug)]
pub(crate) struct RealStore {
    directory: tempfile::TempDir,
}

impl RealStore {
    /// An empty store; `None`, with the skip recorded, where the engines or the rights are missing.
    pub(crate) fn new(test: &str) -> Option<Self> {
        if !root_or_skip(test) {
            return None;
        }
        for engine in ["podman", "buildah"] {
            if Command::new(engine).arg("--version").output().is_err() {
                skip(test, &format!("needs {engine}"));
                return None;
            }
        }
        Some(Self {
            directory: tempfile::tempdir().unwrap(),
        })
    }

    /// The temporary directory, which serves as the host's root.
    pub(crate) fn host_root(&self) -> &Path {
        self.directory.path()
    }

    /// The graph root.
    pub(crate) fn root(&self) -> PathBuf {
        self.directory.path().join("graph")
    }

    /// Runs an engine on the store and gives back what it printed.
    pub(crate) fn run(&self, engine: &str, arguments: &[&str]) -> String {
        let mut command = Command::new(engine);
        command.arg("--root").arg(self.root());
        command.arg("--runroot").arg(self.directory.path().join("run"));
        command.args(["--storage-driver", "overlay"]).args(arguments);
        let output = command.output().unwrap();
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{engine} {arguments:?}: {complaint}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// `localhost/fixture/base:1` with a key in its layer, and `localhost/fixture/app:2`, which deletes it on top.
    pub(crate) fn with_deleted_key(self) -> Self {
        let files = self.directory.path().join("files/etc");
        std::fs::create_dir_all(&files).unwrap();
        std::fs::write(files.join("secret.key"), "not really a key\n").unwrap();
        let container = self.run("buildah", &["from", "scratch"]);
        let source = files.parent().unwrap().to_str().unwrap();
        self.run("buildah", &["copy", "-q", &container, source, "/"]);
        self.commit(&container, "localhost/fixture/base:1");
        let container = self.run("buildah", &["from", "localhost/fixture/base:1"]);
        let mounted = PathBuf::from(self.run("buildah", &["mount", &container]));
        std::fs::remove_file(mounted.join("etc/secret.key")).unwrap();
        std::fs::write(mounted.join("etc/two"), "2\n").unwrap();
        self.run("buildah", &["umount", &container]);
        self.commit(&container, "localhost/fixture/app:2");
        self
    }

    fn commit(&self, container: &str, name: &str) {
        self.run("buildah", &["commit", "-q", container, name]);
    }
}

impl Drop for RealStore {
    fn drop(&mut self) {
        // Buildah and Skopeo may leave `overlay` mounted on itself; not being a mount is the usual answer.
        let overlay = self.root().join("overlay");
        while rustix::mount::unmount(&overlay, rustix::mount::UnmountFlags::DETACH).is_ok() {}
    }
}

/// The SHA-256 of some bytes in hex.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    use sha2::Digest;
    format!("{:x}", sha2::Sha256::digest(bytes))
}
