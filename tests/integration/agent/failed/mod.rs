//! Pulls that a registry lets down in the middle, that try again, and that are killed.
//!
//! Invariant: one record for each that failed, which names no image; none for what tries again and gets through, or brings what
//! is there already.

mod containerd;
mod podman;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use layerwatch_tests::scene::{Agent, DOCKER, Docker, Fault, Scene, cutting};
use layerwatch_tests::{output, run, wait_until};
use serde_json::{Value, json};

use super::{ENGINES, ready};

const DEADLINE: Duration = Duration::from_mins(1);

/// A registry with an image whose layer begins with a private key and is too large for one that cuts, and a small image.
struct Ground {
    scene: Scene,
    port: u16,
    small: String,
}

impl Ground {
    fn new() -> Result<Self> {
        let mut scene = Scene::new()?;
        let tree = scene.path().join("cut");
        for directory in ["a", "etc", "z"] {
            std::fs::create_dir_all(tree.join(directory))?;
        }
        let small = scene.publish_tree(&tree, "shop/small:1", false)?;
        run(Command::new("openssl")
            .args(["genpkey", "-algorithm", "ED25519", "-out"])
            .arg(tree.join("a/secret.key")))?;
        run(Command::new("openssl")
            .args(["rand", "-out"])
            .arg(tree.join("z/noise"))
            .arg((4 << 20).to_string()))?;
        let name = scene.publish_tree(&tree, "shop/cut:1", false)?;
        let port = name.split('/').next().and_then(|host| host.rsplit(':').next());
        let port = port.context("a port")?.parse()?;
        Ok(Self { scene, port, small })
    }

    /// The large image, at a registry with a fault.
    fn name(&self, fault: Fault) -> Result<String> {
        Ok(format!("127.0.0.1:{}/shop/cut:1", cutting(self.port, fault)?))
    }
}

/// What a record says of how a pull ended.
fn said(record: &Value) -> Value {
    let is_large = record["new_bytes"]
        .as_u64()
        .is_some_and(|bytes| bytes > 100 << 10);
    let image = record["image"]["name"].as_str();
    let image = image.and_then(|name| name.split_once('/')).map(|(_, name)| name);
    json!([record["arrival"], image, record["new_layers"], is_large])
}

/// Waits until so many pulls are told, and then a while; what was said of all.
fn told(agent: &Agent, count: usize) -> Result<Vec<Value>> {
    agent.wait_for("pull", count)?;
    Ok(agent.of_kind("pull")?.iter().map(said).collect())
}

fn failed() -> Value {
    json!(["failed", null, 0, true])
}

/// Starts a pull that stalls, and kills it when its blob lies there and the agent has seen it.
fn kill(mut command: Command, agent: &Agent, is_there: impl Fn() -> bool) -> Result<()> {
    let mut pull: Child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let is_seen = || {
        agent
            .metric("layerwatch_leftovers")
            .is_some_and(|count| count >= 1.0)
    };
    let there = wait_until("a blob lies there", DEADLINE, || {
        (is_there() && is_seen()).then_some(())
    });
    pull.kill()?;
    pull.wait()?;
    there
}

/// The total length of a directory's files.
fn length(directory: &Path) -> u64 {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => length(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        })
        .sum()
}

/// What a command lists, with settings.
fn list(settings: &[String], verb: &str) -> Result<Vec<Value>> {
    let mut command = Command::new(Agent::binary()?);
    command.args([verb, "-o", "json"]);
    for setting in settings {
        command.args(["--set", setting]);
    }
    let output = output(&mut command)?;
    ensure!(
        output.status.success(),
        "{verb}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let shown: Value = serde_json::from_slice(&output.stdout)?;
    Ok(shown[verb].as_array().cloned().unwrap_or_default())
}

#[test]
fn a_pull_of_dockers_that_is_cut_is_a_record() -> Result<()> {
    if !ready("failed pull of docker", &[&ENGINES[..], &DOCKER[..]].concat())? {
        return Ok(());
    }
    let ground = Ground::new()?;
    let docker = Docker::start(&ground.scene, "overlay2")?;
    let agent = Agent::start_on_docker(&ground.scene, &docker, &[])?;
    let name = ground.name(Fault::Cut)?;
    ensure!(docker.run(&["pull", "-q", &name]).is_err(), "the pull succeeded");
    assert_eq!(told(&agent, 1)?, [failed()]);
    docker.run(&["pull", "-q", &ground.small])?;
    docker.run(&["pull", "-q", &ground.small])?;
    let pulled = json!(["pulled", "shop/small:1", 2, false]);
    assert_eq!(told(&agent, 2)?, [failed(), pulled]);
    Ok(())
}
