//! Podman of this machine's release and of a newer one, Buildah and Skopeo: how an image came, a deletion, and each file of
//! each layer, are what Podman itself says.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use layerwatch_tests::output;
use layerwatch_tests::scene::{Agent, KEY, Scene};
use layerwatch_tests::wait_until;
use serde_json::{Value, json};

use super::{ENGINES, explained_as_inspected, image_of, ready};

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

/// Each file of an image, explained as the engine has it.
fn explained(scene: &Scene, podman: &str, name: &str) -> Result<usize> {
    let shown = scene.store.run(podman, &["image", "inspect", name])?;
    let image: Value = serde_json::from_str(&shown)?;
    explained_as_inspected(&image[0], name, |file| asked(scene, &["explain", file]))
}

/// A pull that fetches, where the blob has a table of contents, what is lacking by that.
fn pull(scene: &Scene, podman: &str, name: &str) -> Result<()> {
    let config = scene.path().join("storage.conf");
    let directory = scene.path().display();
    let partial = format!(
        "[storage]\ndriver = \"overlay\"\nrunroot = \"{directory}/graph-run\"\ngraphroot = \"{directory}/graph\"\n\
         [storage.options.pull_options]\nenable_partial_images = \"true\"\n"
    );
    std::fs::write(&config, partial)?;
    let mut command = scene.store.command(podman);
    command.env("CONTAINERS_STORAGE_CONF", &config);
    layerwatch_tests::run(command.args(["pull", "-q", "--tls-verify=false", name])).map(drop)
}

fn check(podman: &str, compression: &str) -> Result<()> {
    // An engine that is not installed where engines are is believed nothing.
    let arrival = |kind: &'static str| if podman == NEWER { "unknown" } else { kind };
    let mut scene = Scene::new()?;
    let tree = scene.tree_with_shell()?;
    let name = scene.publish_tree(&tree, "shop/api:2", true)?;
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
    pull(&scene, podman, &name)?;
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
    assert_eq!(explained(&scene, podman, &name)?, 5);
    let key = scene.store.find(KEY)?.remove(0);
    let told = asked(&scene, &["explain", key.to_str().context("text")?])?;
    let is_partial = compression == "zstd:chunked";
    assert_eq!(told["layer"]["toc_digest"].is_string(), is_partial, "{told:#}");
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

/// An engine, its arguments, what it is named, and how it came.
type Way<'a> = (&'a str, Vec<String>, String, &'a str);

fn ways<'a>(scene: &Scene, name: &str) -> Result<Vec<Way<'a>>> {
    let path = |of: &str| scene.path().join(of).display().to_string();
    let (tree, archive, root) = (path("tree"), path("tree.tar"), scene.store.root());
    layerwatch_tests::run(std::process::Command::new("tar").args(["-C", &tree, "-cf", &archive, "."]))?;
    let containerfile = scene.path().join("Containerfile");
    std::fs::write(&containerfile, "FROM scratch\nCOPY etc /etc\n")?;
    let stored = format!(
        "[overlay@{}+{}]127.0.0.1/copied:1",
        root.display(),
        path("graph-run")
    );
    let words = |line: String| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
    Ok(vec![
        (
            "buildah",
            words(format!("pull -q --tls-verify=false {name}")),
            name.to_owned(),
            "pulled",
        ),
        (
            "buildah",
            words(format!(
                "bud -q -t localhost/built:1 -f {} {tree}",
                containerfile.display()
            )),
            "localhost/built:1".to_owned(),
            "built",
        ),
        (
            "podman",
            words(format!("import -q {archive} localhost/imported:1")),
            "localhost/imported:1".to_owned(),
            "imported",
        ),
        (
            "skopeo",
            words(format!(
                "copy -q --src-tls-verify=false docker://{name} containers-storage:{stored}"
            )),
            "127.0.0.1/copied:1".to_owned(),
            "pulled",
        ),
    ])
}

#[test]
fn how_an_image_came_is_told() -> Result<()> {
    let programs = [&ENGINES[..], &["docker-registry", "skopeo", "tar"]].concat();
    if !ready("how an image came", &programs)? {
        return Ok(());
    }
    let mut scene = Scene::new()?;
    let name = scene.publish("shop/api:2")?;
    let ways = ways(&scene, &name)?;
    // Of what is there already, a copy only adds a name.
    let agent = Agent::start(&scene, "agent", &[])?;
    for (count, (engine, arguments, name, arrival)) in ways.iter().enumerate() {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        if *engine == "skopeo" {
            scene.store.run("podman", &["rmi", "--all", "--force"])?;
            let none = || {
                agent
                    .metric("layerwatch_images{driver=\"overlay\"}")
                    .filter(|count| *count < 0.5)
            };
            wait_until("no image", Duration::from_secs(30), none)?;
            layerwatch_tests::run(std::process::Command::new(engine).args(&arguments))?;
        } else {
            scene.store.run(engine, &arguments)?;
        }
        let records = agent.wait_for("pull", count + 1)?;
        let last = &records[count];
        assert_eq!(
            (
                records.len(),
                json!([last["names"], last["arrival"], last["process"]["comm"]])
            ),
            (count + 1, json!([[name], arrival, engine])),
            "{last:#}"
        );
    }
    Ok(())
}
