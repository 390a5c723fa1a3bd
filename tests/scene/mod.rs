//! What happens on a misconfigured host, made with real parts: an image with a private key in layer 1 that layer 2
//! deletes, a registry on loopback, a store that Podman pulls into, and the agent that watches it.
//!
//! Invariant: everything lies below one temporary directory, ends by its own process id and is unmounted and removed with
//! the value. Used by the integration tests, the kernel tests and `cargo xtask demo`.

mod agent;
mod containerd;
mod cut;
mod datasets;
mod docker;
mod pod;
mod volume;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::mount::UnmountFlags;

use crate::{Process, free_port, get, output, run};
pub use agent::Agent;
pub use containerd::{CONTAINERD, Containerd, Release};
pub use cut::{Fault, cutting};
pub use datasets::Datasets;
pub use docker::{DOCKER, Docker, NEWER_DOCKER, REMAPPED};
use volume::Volume;

const DEADLINE: Duration = Duration::from_secs(30);
/// Where the key lies in layer 1.
pub const KEY: &str = "etc/secret.key";

/// A containers/storage store.
#[derive(Debug, Clone)]
pub struct Store {
    directory: PathBuf,
    name: &'static str,
    driver: &'static str,
}

impl Store {
    /// The graph root.
    pub fn root(&self) -> PathBuf {
        self.directory.join(self.name)
    }

    /// `podman` or `buildah` on this store.
    pub fn command(&self, engine: &str) -> Command {
        let mut command = Command::new(engine);
        command
            .arg("--root")
            .arg(self.root())
            .arg("--runroot")
            .arg(self.directory.join(format!("{}-run", self.name)))
            .args(["--storage-driver", self.driver]);
        command
    }

    /// Runs an engine; what it printed, without the line's end.
    pub fn run(&self, engine: &str, arguments: &[&str]) -> Result<String> {
        let output = output(self.command(engine).args(arguments))?;
        ensure!(
            output.status.success(),
            "{engine} {}: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }

    /// Builds an image of two layers: `files` of the tree, then the same without [`KEY`] where `delete` says so.
    pub fn build(&self, tree: &Path, name: &str, delete: bool) -> Result<()> {
        let tree = tree.to_str().context("the tree's path is text")?;
        let base = self.run("buildah", &["from", "scratch"])?;
        self.run("buildah", &["copy", "-q", &base, tree, "/"])?;
        let lower = self.run("buildah", &["commit", "-q", &base])?;
        let upper = self.run("buildah", &["from", "--pull-never", &lower])?;
        let mounted = PathBuf::from(self.run("buildah", &["mount", &upper])?);
        if delete {
            std::fs::remove_file(mounted.join(KEY)).context("delete the key in layer 2")?;
        }
        std::fs::write(mounted.join("etc/release"), format!("{name}\n"))?;
        self.run("buildah", &["umount", &upper])?;
        self.run("buildah", &["commit", "-q", &upper, name])?;
        self.run("buildah", &["rm", &base, &upper])?;
        Ok(())
    }

    /// The files of this name in the layers' content.
    pub fn find(&self, path_in_layer: &str) -> Result<Vec<PathBuf>> {
        find_in_layers(&self.root(), self.driver, path_in_layer)
    }

    /// Opens the way to every layer for every user, as a `chmod` in a hurry does.
    pub fn misconfigure(&self) -> Result<()> {
        open_way(&self.root(), self.driver)
    }
}

/// The layers' directories of a store, and what leads to content in each.
fn layers_of(root: &Path, driver: &str) -> (PathBuf, &'static str) {
    match driver {
        "vfs" => (root.join("vfs/dir"), ""),
        // Docker's own containerd.
        "overlayfs" => (
            root.join("containerd/daemon/io.containerd.snapshotter.v1.overlayfs/snapshots"),
            "fs",
        ),
        "btrfs" => (root.join("btrfs/subvolumes"), ""),
        driver => (root.join(driver), "diff"),
    }
}

fn find_in_layers(root: &Path, driver: &str, path_in_layer: &str) -> Result<Vec<PathBuf>> {
    let (layers, content) = layers_of(root, driver);
    let mut found = Vec::new();
    for layer in std::fs::read_dir(layers).context("list the layers")? {
        let file = layer?.path().join(content).join(path_in_layer);
        if std::fs::symlink_metadata(&file).is_ok_and(|metadata| metadata.is_file()) {
            found.push(file);
        }
    }
    Ok(found)
}

fn open_way(root: &Path, driver: &str) -> Result<()> {
    let (layers, _) = layers_of(root, driver);
    let above = layers.ancestors().take_while(|above| *above != root);
    let mut directories: Vec<PathBuf> = above.chain([root]).map(Path::to_owned).collect();
    for layer in std::fs::read_dir(&layers)? {
        directories.push(layer?.path());
    }
    for directory in directories {
        std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(0o711))
            .with_context(|| format!("open {}", directory.display()))?;
    }
    Ok(())
}

impl Drop for Scene {
    fn drop(&mut self) {
        for store in [&self.build, &self.store] {
            // Buildah leaves the driver's directory mounted on itself.
            let mounted = store.root().join("overlay");
            while rustix::mount::unmount(&mounted, UnmountFlags::DETACH).is_ok() {}
        }
    }
}

/// See the module.
#[derive(Debug)]
pub struct Scene {
    /// Where images are built.
    pub build: Store,
    /// Where Podman pulls to, and what the agent watches.
    pub store: Store,
    registry: Option<(Process, u16)>,
    #[expect(dead_code, reason = "unmounted before the directory is removed")]
    volume: Option<Volume>,
    directory: tempfile::TempDir,
}

impl Scene {
    /// An empty scene with overlay stores.
    pub fn new() -> Result<Self> {
        Self::with_driver("overlay")
    }

    /// An empty scene whose watched store has a driver.
    pub fn with_driver(driver: &'static str) -> Result<Self> {
        let directory = tempfile::Builder::new()
            .prefix("layerwatch-")
            .tempdir_in("/var/tmp")?;
        let volume = (driver == "btrfs")
            .then(|| Volume::on(directory.path(), driver))
            .transpose()?;
        std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755))?;
        let store = |name, driver| Store {
            directory: directory.path().to_owned(),
            name,
            driver,
        };
        let scene = Self {
            build: store("build", "overlay"),
            store: store("graph", driver),
            registry: None,
            volume,
            directory,
        };
        std::fs::create_dir(scene.store.root())?;
        std::fs::set_permissions(scene.store.root(), std::fs::Permissions::from_mode(0o700))?;
        Ok(scene)
    }

    /// The scene's directory.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// A tree with a fresh private key that everybody may read, and an ordinary file.
    pub fn tree(&self) -> Result<PathBuf> {
        let tree = self.path().join("tree");
        std::fs::create_dir_all(tree.join("etc"))?;
        let key = tree.join(KEY);
        run(Command::new("openssl")
            .args(["genpkey", "-algorithm", "ED25519", "-out"])
            .arg(&key))?;
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644))?;
        std::fs::write(tree.join("etc/motd"), "welcome\n")?;
        Ok(tree)
    }

    /// Starts a registry, builds the image with the deleted key and pushes it; the name to pull.
    pub fn publish(&mut self, name: &str) -> Result<String> {
        let tree = self.tree()?;
        self.publish_tree(&tree, name, true)
    }

    /// Starts a registry, builds an image of a tree as [`Store::build`] does and pushes it; the name to pull.
    pub fn publish_tree(&mut self, tree: &Path, name: &str, delete: bool) -> Result<String> {
        let local = format!("localhost/{name}");
        self.build.build(tree, &local, delete)?;
        let port = self.registry()?;
        let remote = format!("127.0.0.1:{port}/{name}");
        self.build.run(
            "buildah",
            &[
                "push",
                "-q",
                "--tls-verify=false",
                &local,
                &format!("docker://{remote}"),
            ],
        )?;
        Ok(remote)
    }

    /// The same tree with a shell, so that a container can run.
    pub fn tree_with_shell(&self) -> Result<PathBuf> {
        let tree = self.tree()?;
        std::fs::create_dir_all(tree.join("bin"))?;
        for program in ["sh", "cat"] {
            std::fs::copy("/bin/busybox", tree.join("bin").join(program)).context("copy busybox")?;
        }
        Ok(tree)
    }

    fn registry(&mut self) -> Result<u16> {
        if let Some((_, port)) = &self.registry {
            return Ok(*port);
        }
        let port = free_port()?;
        let config = self.path().join("registry.yml");
        let data = self.path().join("registry");
        std::fs::write(
            &config,
            format!(
                "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\n\
                 http: {{addr: 127.0.0.1:{port}}}\n",
                data.display()
            ),
        )?;
        let mut command = Command::new("docker-registry");
        let mut process = Process::start(
            command.arg("serve").arg(&config),
            &self.path().join("registry.log"),
        )?;
        process.wait_until("the registry answers", DEADLINE, || {
            get(port, "/v2/")
                .ok()
                .filter(|answer| answer.status == 200)
                .map(|_| ())
        })?;
        self.registry = Some((process, port));
        Ok(port)
    }

    /// `podman pull` into the watched store.
    pub fn pull(&self, name: &str) -> Result<()> {
        self.store
            .run("podman", &["pull", "-q", "--tls-verify=false", name])
            .map(drop)
    }
}

/// Reads a file as another user with the system's own `cat`; the content, or what `cat` said.
pub fn cat_as(uid: u32, path: &Path) -> Result<String> {
    use std::os::unix::process::CommandExt;
    let output = output(Command::new("cat").arg(path).uid(uid).gid(uid))?;
    ensure!(
        output.status.success(),
        "cat: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?)
}
