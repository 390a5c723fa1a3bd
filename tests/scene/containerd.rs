//! A real containerd on a root of its own, with nothing of the machine's.
//!
//! Invariant: it runs in a mount namespace of its own, so that its mounts go with it, and without the plugins that want more
//! than a store. Used by the integration tests.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::Scene;
use super::volume::Volume;
use crate::{Process, output};

const DEADLINE: Duration = Duration::from_mins(1);

/// What a containerd of tests needs.
pub const CONTAINERD: [&str; 3] = ["containerd", "ctr", "unshare"];

/// A release of containerd.
#[derive(Debug, Clone, Copy)]
pub struct Release {
    daemon: &'static str,
    client: &'static str,
}

impl Release {
    /// The machine's own, and a newer one in a root of its own.
    pub const ALL: [Self; 2] = [
        Self {
            daemon: "containerd",
            client: "ctr",
        },
        Self {
            daemon: "containerd-newer",
            client: "ctr-newer",
        },
    ];

    /// The machine's own.
    pub const OWN: Self = Self::ALL[0];

    /// The programs that it needs.
    pub fn programs(self) -> [&'static str; 2] {
        [self.daemon, self.client]
    }
}

/// Plugins that need a network, a device or a pool.
const DISABLED: &str = r#"["io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.devmapper",
    "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.aufs",
    "io.containerd.internal.v1.opt", "io.containerd.tracing.processor.v1.otlp"]"#;

/// A running daemon.
#[derive(Debug)]
pub struct Containerd {
    directory: PathBuf,
    release: Release,
    #[expect(dead_code, reason = "ends with the value")]
    process: Process,
    #[expect(dead_code, reason = "ends with the value, after the daemon")]
    volume: Option<Volume>,
}

impl Containerd {
    /// Starts a daemon in the scene's directory.
    pub fn start(scene: &Scene, release: Release) -> Result<Self> {
        Self::start_on(scene, release, None)
    }

    /// The same with a btrfs where the snapshotter btrfs wants one, as containerd's documentation has it mounted.
    pub fn start_with_btrfs(scene: &Scene, release: Release) -> Result<Self> {
        let place = scene
            .path()
            .join("containerd/root/io.containerd.snapshotter.v1.btrfs");
        std::fs::create_dir_all(&place)?;
        let volume = Volume::on(&place, "btrfs")?;
        Self::start_on(scene, release, Some(volume))
    }

    fn start_on(scene: &Scene, release: Release, volume: Option<Volume>) -> Result<Self> {
        let directory = scene.path().join("containerd");
        std::fs::create_dir_all(&directory)?;
        let config = directory.join("config.toml");
        let place = |name: &str| directory.join(name).display().to_string();
        std::fs::write(
            &config,
            format!(
                "version = 2\nroot = \"{}\"\nstate = \"{}\"\ndisabled_plugins = {DISABLED}\n[grpc]\naddress = \"{}\"\n",
                place("root"),
                place("state"),
                place("sock")
            ),
        )?;
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "--propagation", "private"])
            .args([release.daemon, "--config"])
            .arg(&config);
        let mut process = Process::start(&mut command, &directory.join("log"))?;
        process.wait_until("containerd answers", DEADLINE, || {
            run(release, &directory, &["version"]).ok()
        })?;
        Ok(Self {
            directory,
            release,
            process,
            volume,
        })
    }

    /// The root.
    pub fn root(&self) -> PathBuf {
        self.directory.join("root")
    }

    /// Has a blob of nobody's brought in: newer releases make their content store with the first one, and tier D sees who brings
    /// what by a directory in it.
    pub fn use_once(&self) -> Result<()> {
        let mut command = Command::new("sh");
        command.args(["-c", "echo blob | \"$@\"", "sh", self.release.client, "--address"]);
        command.arg(self.directory.join("sock"));
        command.args(["--namespace", "used", "content", "ingest", "blob"]);
        let output = output(&mut command)?;
        ensure!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(())
    }

    /// Runs the client; what it printed, without the line's end.
    pub fn ctr(&self, arguments: &[&str]) -> Result<String> {
        run(self.release, &self.directory, arguments)
    }

    /// The client, to be started.
    pub fn client(&self, arguments: &[&str]) -> Command {
        command(self.release, &self.directory, arguments)
    }

    /// Pulls from the scene's registry into a namespace, for a snapshotter.
    pub fn pull(&self, namespace: &str, snapshotter: &str, name: &str) -> Result<()> {
        let pull = [
            "images",
            "pull",
            "--plain-http",
            "--snapshotter",
            snapshotter,
            name,
        ];
        self.ctr(&[&["--namespace", namespace], &pull[..]].concat())
            .map(drop)
    }

    /// The first columns of a list that the client prints, without its head.
    pub fn list(&self, arguments: &[&str], columns: &[usize]) -> Result<Vec<Vec<String>>> {
        let shown = self.ctr(arguments)?;
        let rows = shown.lines().skip(1).map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let column = |at: &usize| words.get(*at).copied().unwrap_or_default().to_owned();
            columns.iter().map(column).collect()
        });
        let mut rows: Vec<Vec<String>> = rows.collect();
        rows.sort();
        Ok(rows)
    }

    /// Where a snapshotter keeps its snapshots.
    pub fn snapshots(&self, snapshotter: &str) -> PathBuf {
        let home = format!("io.containerd.snapshotter.v1.{snapshotter}/snapshots");
        self.root().join(home)
    }

    /// The files of this name in the snapshots, lowest number first.
    pub fn find(&self, snapshotter: &str, path_in_layer: &str) -> Result<Vec<PathBuf>> {
        let content = if snapshotter == "overlayfs" { "fs" } else { "" };
        let mut found = Vec::new();
        for snapshot in std::fs::read_dir(self.snapshots(snapshotter)).context("list the snapshots")? {
            let file = snapshot?.path().join(content).join(path_in_layer);
            if std::fs::symlink_metadata(&file).is_ok_and(|metadata| metadata.is_file()) {
                found.push(file);
            }
        }
        found.sort();
        Ok(found)
    }

    /// The file of a blob.
    pub fn blob(&self, digest: &str) -> PathBuf {
        let blobs = self.root().join("io.containerd.content.v1.content/blobs");
        blobs.join(digest.replace(':', "/"))
    }

    /// Opens the root, as containerd had it before CVE-2024-25621.
    pub fn open_root(&self) -> Result<()> {
        open(&self.root())
    }

    /// Opens the way to every snapshot for every user.
    pub fn misconfigure(&self, snapshotter: &str) -> Result<()> {
        let snapshots = self.snapshots(snapshotter);
        self.open_root()?;
        open(snapshots.parent().context("a snapshotter")?)?;
        open(&snapshots)?;
        if snapshotter == "btrfs" {
            // Those of layers are read-only, and as open as the image's own top is.
            return Ok(());
        }
        for snapshot in std::fs::read_dir(&snapshots)? {
            open(&snapshot?.path())?;
        }
        Ok(())
    }
}

fn open(directory: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o711))
        .with_context(|| format!("open {}", directory.display()))
}

fn command(release: Release, directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(release.client);
    command
        .arg("--address")
        .arg(directory.join("sock"))
        .args(arguments);
    command
}

fn run(release: Release, directory: &Path, arguments: &[&str]) -> Result<String> {
    let output = output(&mut command(release, directory, arguments))?;
    ensure!(
        output.status.success(),
        "ctr {}: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?.trim_end().to_owned())
}
