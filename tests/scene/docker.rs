//! A real dockerd on a data root of its own, with nothing of the machine's.
//!
//! Invariant: it runs in a mount namespace of its own, so that its mounts go with it, and with an empty `/run`, so that
//! it starts its own containerd and leaves nothing there; it has no network. Used by the integration tests.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::{Scene, find_in_layers, open_way};
use crate::{Process, output, tool};

const DEADLINE: Duration = Duration::from_mins(1);

/// What a Docker of tests needs.
pub const DOCKER: [&str; 4] = ["dockerd", "containerd", "runc", "unshare"];

/// In the daemon's directory; engines' sockets are known by their names.
const SOCKET: &str = "docker.sock";

/// `$0` is the daemon, `$@` what it is started with. The user that containers are remapped to exists in the daemon's mount
/// namespace alone.
const START: &str = "mount -t tmpfs tmpfs /run && for name in passwd group subuid subgid; do \
     if [ -e \"$USERS/$name\" ]; then mount --bind \"$USERS/$name\" \"/etc/$name\"; fi; done && exec \"$0\" \"$@\"";

/// Who root of a remapped container is.
pub const REMAPPED: u32 = 44_300_000;

/// A daemon of a newer release, in a root of its own.
pub const NEWER_DOCKER: &str = "dockerd-newer";

/// A running daemon.
#[derive(Debug)]
pub struct Docker {
    client: Client,
    root: PathBuf,
    driver: &'static str,
    #[expect(dead_code, reason = "ends with the value")]
    process: Process,
}

impl Docker {
    /// Starts a daemon with a graph driver in the scene's directory.
    pub fn start(scene: &Scene, driver: &'static str) -> Result<Self> {
        let config = json!({"deprecated-key-path": scene.path().join("docker/key.json"), "storage-driver": driver,
                "max-download-attempts": 1});
        Self::start_with(scene, "dockerd", driver, &config)
    }

    /// The same with `userns-remap`: root of a container is [`REMAPPED`] on the host.
    pub fn start_remapped(scene: &Scene, driver: &'static str) -> Result<Self> {
        let users = scene.path().join("users");
        std::fs::create_dir_all(&users)?;
        let range = format!("remapped:{REMAPPED}:65536\n");
        for (name, text) in [
            (
                "passwd",
                "root:x:0:0::/root:/bin/sh\nremapped:x:44003:44003::/:/bin/false\n",
            ),
            ("group", "root:x:0:\nremapped:x:44003:\n"),
            ("subuid", &range),
            ("subgid", &range),
        ] {
            std::fs::write(users.join(name), text)?;
        }
        let key = scene.path().join("docker/key.json");
        let config =
            json!({"deprecated-key-path": key, "storage-driver": driver, "userns-remap": "remapped"});
        let mut docker = Self::start_with(scene, "dockerd", driver, &config)?;
        docker.root.push(format!("{REMAPPED}.{REMAPPED}"));
        Ok(docker)
    }

    /// Starts a newer daemon with a graph driver.
    pub fn start_newer(scene: &Scene, driver: &'static str) -> Result<Self> {
        Self::start_with(scene, NEWER_DOCKER, driver, &json!({"storage-driver": driver}))
    }

    /// Starts a newer daemon that keeps its images in containerd, which it starts itself.
    pub fn start_on_containerd(scene: &Scene) -> Result<Self> {
        let config = json!({"features": {"containerd-snapshotter": true}});
        Self::start_with(scene, NEWER_DOCKER, "overlayfs", &config)
    }

    /// Starts a daemon that serves its API on a port of loopback too, with or without asking clients for a certificate.
    pub fn start_on_port(scene: &Scene, port: u16, certificates: Option<&Path>) -> Result<Self> {
        let directory = scene.path().join("docker");
        let socket = format!("unix://{}", directory.join(SOCKET).display());
        let mut config = json!({"deprecated-key-path": directory.join("key.json"), "storage-driver": "overlay2",
            "hosts": [socket, format!("tcp://127.0.0.1:{port}")]});
        if let (Some(certificates), Some(config)) = (certificates, config.as_object_mut()) {
            config.insert("tlsverify".to_owned(), json!(true));
            for (key, file) in [
                ("tlscacert", "ca.pem"),
                ("tlscert", "cert.pem"),
                ("tlskey", "key.pem"),
            ] {
                config.insert(key.to_owned(), json!(certificates.join(file)));
            }
        }
        Self::start_with(scene, "dockerd", "overlay2", &config)
    }

    fn start_with(scene: &Scene, daemon: &str, driver: &'static str, config: &Value) -> Result<Self> {
        let directory = scene.path().join("docker");
        std::fs::create_dir_all(&directory)?;
        std::fs::write(directory.join("daemon.json"), config.to_string())?;
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "--propagation", "private", "sh", "-c", START, daemon])
            .args(["--bridge=none", "--iptables=false", "--ip6tables=false"])
            .env("USERS", scene.path().join("users"));
        for (flag, name) in [
            ("--config-file", "daemon.json"),
            ("--data-root", "data"),
            ("--exec-root", "exec"),
            ("--pidfile", "pid"),
        ] {
            command.arg(flag).arg(directory.join(name));
        }
        // A daemon that is told of hosts twice does not start.
        if config.get("hosts").is_none() {
            let socket = format!("unix://{}", directory.join(SOCKET).display());
            command.args(["--host", &socket]);
        }
        let mut process = Process::start(&mut command, &directory.join("log"))?;
        let client = Client { directory };
        process.wait_until("dockerd answers", DEADLINE, || client.run(&["version"]).ok())?;
        Ok(Self {
            root: client.directory.join("data"),
            client,
            driver,
            process,
        })
    }

    /// The data root, of a remapped daemon the one that it makes in it.
    pub fn root(&self) -> PathBuf {
        self.root.clone()
    }

    /// Runs the client; what it printed, without the line's end.
    pub fn run(&self, arguments: &[&str]) -> Result<String> {
        self.client.run(arguments)
    }

    /// The same with variables in the client's environment.
    pub fn run_with(&self, environment: &[(&str, &str)], arguments: &[&str]) -> Result<String> {
        self.client.run_with(environment, arguments)
    }

    /// Runs the client as another user, to whom the socket is open from then on; the bytes that it printed.
    pub fn run_as(&self, uid: u32, arguments: &[&str]) -> Result<Vec<u8>> {
        self.client.run_as(uid, arguments)
    }

    /// Runs a program of an image in a container without network; what it printed.
    pub fn run_in(&self, options: &[&str], image: &str, program: &[&str]) -> Result<String> {
        // Without CAP_SYS_RESOURCE nobody may raise the limit on open files, as Docker would.
        let run = ["run", "--rm", "--network", "none", "--ulimit", "nofile=1024:1024"];
        self.run(&[&run, options, &[image], program].concat())
    }

    /// The files of this name in the layers' content.
    pub fn find(&self, path_in_layer: &str) -> Result<Vec<PathBuf>> {
        find_in_layers(&self.root(), self.driver, path_in_layer)
    }

    /// Opens the way to every layer for every user, as Docker 20.10.3 to 20.10.8 had it.
    pub fn misconfigure(&self) -> Result<()> {
        open_way(&self.root(), self.driver)
    }
}

/// The client of a daemon.
#[derive(Debug)]
struct Client {
    directory: PathBuf,
}

impl Client {
    fn run_as(&self, uid: u32, arguments: &[&str]) -> Result<Vec<u8>> {
        let socket = self.directory.join(SOCKET);
        std::os::unix::fs::chown(&socket, None, Some(uid))?;
        let mut command = self.command(arguments);
        command.uid(uid).gid(uid);
        Self::done(&mut command, arguments)
    }

    fn run(&self, arguments: &[&str]) -> Result<String> {
        self.run_with(&[], arguments)
    }

    fn run_with(&self, environment: &[(&str, &str)], arguments: &[&str]) -> Result<String> {
        let mut command = self.command(arguments);
        command.envs(environment.iter().copied());
        let printed = Self::done(&mut command, arguments)?;
        Ok(String::from_utf8(printed)?.trim().to_owned())
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program());
        let socket = format!("unix://{}", self.directory.join(SOCKET).display());
        command
            .args(["--host", &socket])
            .args(arguments)
            .env("DOCKER_CONFIG", self.directory.join("client"));
        command
    }

    fn done(command: &mut Command, arguments: &[&str]) -> Result<Vec<u8>> {
        let output = output(command)?;
        ensure!(
            output.status.success(),
            "docker {}: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(output.stdout)
    }
}

/// The client that came with the daemon; another one on the search path may be of any age.
fn program() -> PathBuf {
    let beside = tool("dockerd").and_then(|daemon| Some(daemon.parent()?.parent()?.join("bin/docker")));
    beside
        .filter(|client| client.is_file())
        .unwrap_or_else(|| Path::new("docker").to_owned())
}
