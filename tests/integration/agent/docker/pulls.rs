//! What comes into Docker's store is reported once, as what it is, and watched without a restart.

use anyhow::{Context, Result};
use layerwatch_tests::scene::{Agent, KEY, cat_as};
use serde_json::{Value, json};

use super::super::image_of;
use super::{docker_ready, scene};

const NOBODY: u32 = 65534;

/// What clients are told to do here.
const VERBS: [&str; 6] = ["pull", "load", "tag", "build", "import", "commit"];

/// What Docker itself says of an image: id, layers, the digest that the registry gave.
pub(super) fn inspected(docker: &layerwatch_tests::scene::Docker, name: &str) -> Result<Value> {
    let shown: Value = serde_json::from_str(&docker.run(&["image", "inspect", name])?)?;
    let hex = |id: &Value| {
        id.as_str()
            .and_then(|id| id.strip_prefix("sha256:"))
            .map(str::to_owned)
    };
    let digest = shown[0]["RepoDigests"][0]
        .as_str()
        .and_then(|digest| digest.split_once('@'));
    Ok(json!({
        "id": hex(&shown[0]["Id"]).context("an image id")?,
        "digest": digest.map(|(_, digest)| digest),
        "layers": shown[0]["RootFS"]["Layers"],
    }))
}

/// Who asked for it: user, program and verb.
pub(super) fn asked_by(pull: &Value) -> Value {
    let asked = &pull["asked_by"];
    let words = asked["process"]["cmdline"].as_str().into_iter();
    let mut words = words.flat_map(|line| line.split(' '));
    let verb = words.find(|word| VERBS.contains(word));
    json!([asked["subject"]["uid"], asked["process"]["comm"], verb])
}

#[test]
fn pull_tag_and_load_are_one_record_each() -> Result<()> {
    if !docker_ready("docker pull records")? {
        return Ok(());
    }
    let (scene, docker, name) = scene(true)?;
    let agent = Agent::start_on_docker(&scene, &docker, &[])?;
    let archive = scene.path().join("image.tar");
    let archive = archive.to_str().context("the path is text")?;
    let digest = || -> Result<String> {
        let inspected = inspected(&docker, &name)?;
        let repository = name.rsplit_once(':').context("a tag")?.0;
        let digest = inspected["digest"].as_str().context("a digest")?;
        Ok(format!("{repository}@{digest}"))
    };

    docker.run(&["pull", "-q", &name])?;
    let pulled = agent.wait_for("pull", 1)?.remove(0);
    assert_eq!(image_of(&pulled), inspected(&docker, &name)?);
    assert_eq!(
        (&pulled["arrival"], &pulled["new_layers"]),
        (&json!("pulled"), &json!(2))
    );
    assert_eq!(pulled["names"], json!([name]));
    let registry = name.split_once('/').map(|(registry, _)| registry);
    assert_eq!(
        (&pulled["registry"], &pulled["container"]),
        (&json!(registry), &Value::Null)
    );
    assert!(pulled["took_ms"].is_u64() && pulled["new_bytes"].as_u64() > Some(1_000_000));
    assert_eq!(pulled["process"]["comm"], "dockerd");
    assert_eq!(
        pulled["subject"],
        json!({"uid": 0, "user": "root", "loginuid": null})
    );
    assert_eq!(asked_by(&pulled), json!([0, "docker", "pull"]));
    // A registry on loopback is insecure for Docker without any configuration.
    assert_eq!(pulled["trust"]["provenance"], "weak-path");
    let by_digest = digest()?;

    docker.run(&["tag", &name, "own/alias:1"])?;
    let tagged = agent.wait_for("pull", 2)?.remove(1);
    assert_eq!(
        (&tagged["arrival"], &tagged["new_layers"]),
        (&json!("tagged"), &json!(0))
    );
    assert_eq!(tagged["names"], json!([name, "docker.io/own/alias:1"]));

    // The same image from an archive, when it is gone.
    docker.run(&["save", "-o", archive, "own/alias:1"])?;
    docker.run(&["rmi", "-f", &name, "own/alias:1"])?;
    agent.wait_for_metric("layerwatch_images{driver=\"overlay2\"}", 0.0)?;
    wait_for_images(&agent, 0.0)?;
    docker.run(&["load", "-q", "-i", archive])?;
    let loaded = agent.wait_for("pull", 3)?.remove(2);
    assert_eq!(
        (&loaded["arrival"], &loaded["new_layers"]),
        (&json!("loaded"), &json!(2))
    );
    assert_eq!(loaded["names"], json!(["docker.io/own/alias:1"]));
    assert_eq!(loaded["image"]["digest"], Value::Null);
    assert_eq!(loaded["trust"]["provenance"], "local");

    // By digest, of what is there: Docker writes down a name that is no tag.
    docker.run(&["rmi", "-f", "own/alias:1"])?;
    wait_for_images(&agent, 0.0)?;
    docker.run_as(NOBODY, &["pull", "-q", &by_digest])?;
    let by_digest_pulled = agent.wait_for("pull", 4)?.remove(3);
    assert_eq!(asked_by(&by_digest_pulled), json!([NOBODY, "docker", "pull"]));
    assert_eq!(
        (&by_digest_pulled["arrival"], &by_digest_pulled["names"]),
        (&json!("pulled"), &json!([by_digest]))
    );

    // What is there already is no arrival.
    docker.run(&["pull", "-q", &by_digest])?;
    docker.run(&["tag", &by_digest, "last:1"])?;
    let pulls = agent.wait_for("pull", 5)?;
    assert_eq!(pulls.len(), 5, "{pulls:#?}");
    Ok(())
}

fn wait_for_images(agent: &Agent, count: f64) -> Result<()> {
    let series = "layerwatch_images{driver=\"overlay2\"}";
    let settled = || agent.metric(series).filter(|value| (value - count).abs() < 0.5);
    layerwatch_tests::wait_until(
        "the number of images",
        std::time::Duration::from_secs(30),
        settled,
    )?;
    Ok(())
}

#[test]
fn a_layer_is_watched_as_soon_as_it_is_pulled() -> Result<()> {
    if !docker_ready("docker pull is armed")? {
        return Ok(());
    }
    let (scene, docker, name) = scene(true)?;
    let agent = Agent::start_on_docker(&scene, &docker, &[])?;
    docker.run(&["pull", "-q", &name])?;
    // The layer is armed at once; the image's name comes last.
    agent.wait_for_metric("layerwatch_findings{severity=\"critical\"}", 1.0)?;
    agent.wait_for("pull", 1)?;
    docker.misconfigure()?;
    cat_as(NOBODY, &docker.find(KEY)?.remove(0))?;
    let alert = agent.wait_for("alert", 1)?.remove(0);
    assert_eq!(
        (&alert["subject"]["uid"], &alert["images"][0]["name"]),
        (&json!(NOBODY), &json!(name))
    );
    Ok(())
}
