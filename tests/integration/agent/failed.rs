//! Pulls that a registry lets down in the middle: the record, and what is left of them.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use layerwatch_tests::scene::{Agent, CONTAINERD, Containerd, DOCKER, Docker, Release, Scene, cutting};
use layerwatch_tests::{output, run, wait_until};
use serde_json::{Value, json};

use super::{ENGINES, ready};

const NOBODY: u32 = 65534;
const DEADLINE: Duration = Duration::from_mins(1);

/// A registry that cuts, with an image whose layer begins with a private key and is too large to come whole.
fn cut() -> Result<(Scene, String)> {
    let mut scene = Scene::new()?;
    let tree = scene.path().join("cut");
    for directory in ["a", "etc", "z"] {
        std::fs::create_dir_all(tree.join(directory))?;
    }
    run(Command::new("openssl")
        .args(["genpkey", "-algorithm", "ED25519", "-out"])
        .arg(tree.join("a/secret.key")))?;
    run(Command::new("openssl")
        .args(["rand", "-out"])
        .arg(tree.join("z/noise"))
        .arg((4 << 20).to_string()))?;
    let name = scene.publish_tree(&tree, "shop/cut:1", false)?;
    let (host, rest) = name.split_once('/').context("a registry")?;
    let port = host.rsplit(':').next().context("a port")?.parse()?;
    Ok((scene, format!("127.0.0.1:{}/{rest}", cutting(port)?)))
}

fn said(record: &Value) -> Value {
    json!([
        record["arrival"],
        record["store"],
        record["image"],
        record["new_layers"]
    ])
}

#[test]
fn a_pull_of_dockers_that_is_cut_is_a_record() -> Result<()> {
    if !ready("failed pull of docker", &[&ENGINES[..], &DOCKER[..]].concat())? {
        return Ok(());
    }
    let (scene, name) = cut()?;
    let docker = Docker::start(&scene, "overlay2")?;
    let agent = Agent::start_on_docker(&scene, &docker, &[])?;
    ensure!(docker.run(&["pull", "-q", &name]).is_err(), "the pull succeeded");
    let store = format!("overlay2@{}", docker.root().display());
    let records = agent.wait_for("pull", 1)?;
    assert_eq!(
        records.iter().map(said).collect::<Vec<_>>(),
        [json!(["failed", store, null, 0])]
    );
    Ok(())
}

#[test]
fn what_containerd_keeps_of_a_cut_pull_is_scanned_watched_and_told() -> Result<()> {
    if !ready(
        "failed pull of containerd",
        &[&ENGINES[..], &CONTAINERD[..]].concat(),
    )? {
        return Ok(());
    }
    let (scene, name) = cut()?;
    let containerd = Containerd::start(&scene, Release::OWN)?;
    let agent = Agent::start_on_root(&scene, &containerd.root(), &[])?;
    let pulled = containerd.pull("default", "overlayfs", &name);
    ensure!(pulled.is_err(), "the pull succeeded");
    let ingest = containerd.root().join("io.containerd.content.v1.content/ingest");
    let data = std::fs::read_dir(&ingest)?
        .flatten()
        .map(|entry| entry.path().join("data"))
        .find(|data| data.metadata().is_ok_and(|data| data.len() > 100 << 10))
        .context("a partial blob")?;

    agent.wait_for_metric("layerwatch_leftovers", 1.0)?;
    agent.wait_for_metric("layerwatch_leftover_bytes", 100_000.0)?;
    agent.wait_for_metric("layerwatch_findings{severity=\"critical\"}", 1.0)?;
    containerd.open_root()?;
    cat_as_bytes(&data)?;
    let alert = agent.wait_for("alert", 1)?.remove(0);
    assert_eq!(
        json!([
            alert["alert"],
            alert["subject"]["uid"],
            alert["access"]["path_in_layer"]
        ]),
        json!(["SensitiveLayerRead", NOBODY, "a/secret.key"])
    );

    // Nothing has happened to it for ten minutes.
    run(Command::new("touch").args(["-d", "11 minutes ago"]).arg(&data))?;
    let record = agent.wait_for("pull", 1)?.remove(0);
    assert_eq!(said(&record)[0], "failed");
    assert!(record["new_bytes"].as_u64() > Some(100_000), "{record}");
    Ok(())
}

/// As a user who has nothing to do with it.
fn cat_as_bytes(file: &std::path::Path) -> Result<()> {
    use std::os::unix::process::CommandExt as _;
    let done = output(Command::new("cat").arg(file).uid(NOBODY).gid(NOBODY))?;
    ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    Ok(())
}

/// A host below the scene whose storage.conf names a graph root that Podman uses.
struct Below(PathBuf);

impl Below {
    fn new(scene: &Scene) -> Result<Self> {
        let host = scene.path().join("host");
        std::fs::create_dir_all(host.join("var/tmp"))?;
        std::fs::create_dir_all(host.join("etc/containers"))?;
        let conf = "[storage]\ngraphroot = '/graph'\n";
        std::fs::write(host.join("etc/containers/storage.conf"), conf)?;
        Ok(Self(host))
    }

    fn podman(&self) -> Command {
        let mut command = Command::new("podman");
        command
            .arg("--root")
            .arg(self.0.join("graph"))
            .arg("--runroot")
            .arg(self.0.join("run"))
            .args(["--storage-driver", "overlay"])
            .env("TMPDIR", self.0.join("var/tmp"));
        command
    }

    /// A blob on its way that is larger.
    fn blob(&self, least: u64) -> Option<PathBuf> {
        let directories = std::fs::read_dir(self.0.join("var/tmp")).ok()?.flatten();
        let blobs = directories.filter_map(|directory| std::fs::read_dir(directory.path()).ok());
        let mut blobs = blobs.flatten().flatten();
        blobs
            .find(|blob| blob.metadata().is_ok_and(|blob| blob.len() > least))
            .map(|blob| blob.path())
    }

    fn layerwatch(&self, verb: &str) -> Result<Value> {
        let host = format!("stores.host_root={}", self.0.display());
        let mut command = Command::new(Agent::binary()?);
        let done = output(command.args([verb, "-o", "json", "--set", &host]))?;
        serde_json::from_slice(&done.stdout)
            .with_context(|| String::from_utf8_lossy(&done.stderr).into_owned())
    }
}

#[test]
fn what_a_killed_podman_leaves_is_shown() -> Result<()> {
    if !ready("killed pull of podman", &ENGINES)? {
        return Ok(());
    }
    let (scene, name) = cut()?;
    let host = Below::new(&scene)?;
    run(host.podman().arg("images"))?;
    let mut pull = host
        .podman()
        .args(["pull", "-q", "--tls-verify=false", &name])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    // It tries again after a while: time enough to be killed.
    let left = wait_until("a blob", DEADLINE, || host.blob(100 << 10));
    pull.kill()?;
    pull.wait()?;
    left?;
    let left = host.blob(0).context("nothing is left")?;

    let stores = host.layerwatch("stores")?;
    let figures = &stores["stores"][0]["leftovers"];
    let size = left.metadata()?.len();
    assert!(
        figures["count"].as_u64() >= Some(1) && figures["bytes"].as_u64() >= Some(size),
        "{stores}"
    );
    let layers = host.layerwatch("layers")?;
    let shown = layers["layers"].as_array().context("layers")?.iter();
    let mut leftovers = shown.filter(|layer| layer["state"] == "leftover");
    assert!(
        leftovers.any(|layer| layer["content"] == json!(left.to_str())),
        "{layers}"
    );
    Ok(())
}
