//! Podman of this machine's release and of a newer one: a pull, a deletion and a load, and the path of a key, are what
//! Podman itself says.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use layerwatch_tests::output;
use layerwatch_tests::scene::{Agent, KEY, Scene};
use layerwatch_tests::wait_until;
use serde_json::{Value, json};

use super::{ENGINES, image_of, ready};

const NEWER: &str = "podman-newer";
/// From the engine's answer to the record.
const LATE: Duration = Duration::from_secs(2);

fn inspected(scene: &Scene, podman: &str, name: &str) -> Result<Value> {
    let shown = scene.store.run(podman, &["image", "inspect", name])?;
    let image: Value = serde_json::from_str(&shown)?;
    let image = &image[0];
    Ok(json!({"id": image["Id"], "digest": image["Digest"], "layers": image["RootFS"]["Layers"]}))
}

/// The agent's answer as a command.
fn asked(scene: &Scene, arguments: &[&str]) -> Result<Value> {
    let mut command = std::process::Command::new(Agent::binary()?);
    let root = format!("stores.roots={}", scene.store.root().display());
    let state = format!("state_directory={}", scene.path().join("asked").display());
    let answer = output(
        command
            .args(["--set", &root, "--set", &state])
            .args(arguments)
            .args(["-o", "json"]),
    )?;
    serde_json::from_slice(&answer.stdout).with_context(|| format!("{answer:?}"))
}

fn check(podman: &str, compression: &str) -> Result<()> {
    // An engine that is not installed where engines are is believed nothing.
    let arrival = |kind: &'static str| if podman == NEWER { "unknown" } else { kind };
    let mut scene = Scene::new()?;
    let name = scene.publish("shop/api:2")?;
    if compression != "gzip" {
        let push = [
            "push",
            "-q",
            "--tls-verify=false",
            "--compression-format",
            compression,
        ];
        let local = "localhost/shop/api:2";
        scene.build.run(
            podman,
            &[&push[..], &[local, &format!("docker://{name}")]].concat(),
        )?;
    }
    let agent = Agent::start(&scene, "agent", &[])?;
    let record = |count: usize| -> Result<Value> {
        let answered = Instant::now();
        let mut records = agent.wait_for("pull", count)?;
        let late = answered.elapsed();
        assert!(late < LATE, "the record came {late:?} after the answer");
        assert_eq!(records.len(), count, "{records:#?}");
        Ok(records.remove(count - 1))
    };
    scene
        .store
        .run(podman, &["pull", "-q", "--tls-verify=false", &name])?;
    let pulled = record(1)?;
    assert_eq!(image_of(&pulled), inspected(&scene, podman, &name)?);
    assert_eq!(
        json!([
            pulled["arrival"],
            pulled["new_layers"],
            pulled["names"],
            pulled["process"]["comm"]
        ]),
        json!([arrival("pulled"), 2, [name], "podman"])
    );
    let key = scene.store.find(KEY)?.remove(0);
    let explained = asked(&scene, &["explain", key.to_str().context("text")?])?;
    let image = &explained["images"][0];
    assert_eq!(
        json!([
            explained["path_in_layer"],
            image["name"],
            image["position"],
            image["visibility"]["state"]
        ]),
        json!([KEY, name, 1, "deleted"])
    );
    let archive = scene.path().join("image.tar").display().to_string();
    scene.store.run(podman, &["save", "-q", "-o", &archive, &name])?;
    scene.store.run(podman, &["rmi", &name])?;
    let none = || {
        agent
            .metric("layerwatch_images{driver=\"overlay\"}")
            .filter(|count| *count < 0.5)
    };
    wait_until("no image", Duration::from_secs(30), none)?;
    scene.store.run(podman, &["load", "-q", "-i", &archive])?;
    let loaded = record(2)?;
    assert_eq!(image_of(&loaded), inspected(&scene, podman, &name)?);
    assert_eq!(
        json!([loaded["arrival"], loaded["names"]]),
        json!([arrival("loaded"), [name]])
    );
    Ok(())
}

#[test]
fn what_podman_pulls_deletes_and_loads_is_told_as_podman_tells_it() -> Result<()> {
    for (podman, compression) in [("podman", "gzip"), (NEWER, "gzip"), (NEWER, "zstd:chunked")] {
        let programs = [&ENGINES[..], &["docker-registry", podman]].concat();
        if !ready(&format!("{podman} {compression}"), &programs)? {
            continue;
        }
        check(podman, compression).with_context(|| format!("{podman}, {compression}"))?;
    }
    Ok(())
}
