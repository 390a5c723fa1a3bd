//! Pulls that a registry lets down in the middle.
//!
//! Invariant: the record is the only one, and names no image.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use layerwatch_tests::run;
use layerwatch_tests::scene::{Agent, DOCKER, Docker, Scene, cutting};
use serde_json::{Value, json};

use super::{ENGINES, ready};

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
