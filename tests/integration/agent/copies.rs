//! Stores whose layers are copies of the whole tree (driver vfs) or subvolumes of one (btrfs), filled by Podman and by
//! Docker: a file belongs to the layer that it came with, in whichever copy it is read.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use layerwatch_tests::output;
use layerwatch_tests::scene::{Agent, DOCKER, Docker, KEY, Scene, cat_as};
use serde_json::{Value, json};

use super::{ENGINES, ready};

const NOBODY: u32 = 65534;
const KINDS: [(&str, &str); 4] = [
    ("podman", "vfs"),
    ("docker", "vfs"),
    ("podman", "btrfs"),
    ("docker", "btrfs"),
];

/// A store with an image of two layers, the first with a key.
struct Copies {
    scene: Scene,
    docker: Option<Docker>,
    name: String,
}

impl Copies {
    fn new((engine, driver): (&str, &'static str), delete: bool) -> Result<Self> {
        let mut scene = Scene::with_driver(driver)?;
        let name = scene.publish_tree(&scene.tree_with_shell()?, "shop/api:2", delete)?;
        let docker = if engine == "docker" {
            let docker = Docker::start(&scene, driver)?;
            docker.run(&["pull", "-q", &name])?;
            Some(docker)
        } else {
            scene.pull(&name)?;
            None
        };
        Ok(Self { scene, docker, name })
    }

    fn root(&self) -> PathBuf {
        self.docker
            .as_ref()
            .map_or_else(|| self.scene.store.root(), Docker::root)
    }

    fn keys(&self) -> Result<Vec<PathBuf>> {
        self.docker
            .as_ref()
            .map_or_else(|| self.scene.store.find(KEY), |docker| docker.find(KEY))
    }

    fn misconfigure(&self) -> Result<()> {
        self.docker
            .as_ref()
            .map_or_else(|| self.scene.store.misconfigure(), Docker::misconfigure)
    }

    /// What the engine says of the image: the diff ids of its layers, base first.
    fn layers(&self) -> Result<Value> {
        let inspect = ["image", "inspect", &self.name];
        let shown = match &self.docker {
            Some(docker) => docker.run(&inspect)?,
            None => self.scene.store.run("podman", &inspect)?,
        };
        let mut shown: Value = serde_json::from_str(&shown)?;
        Ok(shown[0]["RootFS"]["Layers"].take())
    }

    fn json_of(&self, arguments: &[&str]) -> Result<Value> {
        let mut command = Command::new(Agent::binary()?);
        for setting in [
            format!("stores.roots={}", self.root().display()),
            format!("state_directory={}", self.scene.path().join("state").display()),
        ] {
            command.args(["--set", &setting]);
        }
        let shown = output(command.args(arguments).args(["-o", "json"]))?;
        serde_json::from_slice(&shown.stdout)
            .with_context(|| String::from_utf8_lossy(&shown.stderr).into_owned())
    }

    fn explain(&self, path: &Path) -> Result<Value> {
        self.json_of(&["explain", path.to_str().context("text")?])
    }
}

fn copies_ready(test: &str) -> Result<bool> {
    ready(
        test,
        &[&ENGINES[..], &DOCKER, &["docker-registry", "busybox"]].concat(),
    )
}

#[test]
fn a_file_is_explained_by_the_layer_it_came_with() -> Result<()> {
    if !copies_ready("copies explained")? {
        return Ok(());
    }
    for kind in KINDS {
        let copies = Copies::new(kind, false).with_context(|| format!("{kind:?}"))?;
        let layers = copies.layers()?;
        let keys = copies.keys()?;
        assert_eq!(keys.len(), 2, "{kind:?}: the key stands in both copies");
        for key in &keys {
            let explained = copies.explain(key)?;
            let image = &explained["images"][0];
            assert_eq!(
                (
                    &explained["layer"]["diff_id"],
                    &image["position"],
                    &image["visibility"]["state"]
                ),
                (&layers[0], &json!(1), &json!("visible")),
                "{kind:?}: {}",
                key.display()
            );
            assert_eq!(
                explained["findings"].as_array().map(Vec::len),
                Some(1),
                "{kind:?}"
            );
            // What the second layer brought is the second layer's.
            let release = key.with_file_name("release");
            if release.exists() {
                assert_eq!(
                    copies.explain(&release)?["layer"]["diff_id"],
                    layers[1],
                    "{kind:?}"
                );
            }
        }
        let all = copies.json_of(&["scan", "--all"])?;
        assert_eq!(
            all["findings"].as_array().map(Vec::len),
            Some(1),
            "{kind:?}: {all}"
        );
        let stores = copies.json_of(&["stores"])?;
        assert_eq!(
            (&stores["stores"][0]["driver"], &stores["problems"]),
            (&json!(kind.1), &json!([])),
            "{kind:?}"
        );
    }
    Ok(())
}

#[test]
fn a_removed_image_is_gone_and_a_loaded_one_explained() -> Result<()> {
    if !copies_ready("copies loaded and removed")? {
        return Ok(());
    }
    for kind in KINDS {
        let copies = Copies::new(kind, false).with_context(|| format!("{kind:?}"))?;
        let run = |arguments: &[&str]| match &copies.docker {
            Some(docker) => docker.run(arguments),
            None => copies.scene.store.run("podman", arguments),
        };
        let layers = copies.layers()?;
        let archive = copies.scene.path().join("image.tar");
        let archive = archive.to_str().context("text")?;
        run(&["save", "-o", archive, &copies.name])?;
        run(&["rmi", "-f", &copies.name])?;
        assert_eq!(
            copies.keys()?,
            Vec::<PathBuf>::new(),
            "{kind:?} removed its copies"
        );
        let left = copies.json_of(&["images"])?;
        assert_eq!(left["images"], json!([]), "{kind:?}");
        assert_eq!(
            copies.json_of(&["find", "secret.key"])?["found"],
            json!([]),
            "{kind:?}"
        );
        run(&["load", "-i", archive])?;
        let found = copies.json_of(&["find", "secret.key"])?;
        let places = found["found"].as_array().context("a list")?;
        let told: Vec<_> = places
            .iter()
            .map(|place| {
                json!([
                    place["diff_id"],
                    place["images"][0]["name"],
                    place["images"][0]["position"]
                ])
            })
            .collect();
        assert_eq!(told, [json!([layers[0], copies.name, 1])], "{kind:?}: {found}");
        for key in copies.keys()? {
            let explained = copies.explain(&key)?;
            assert_eq!(
                (&explained["layer"]["diff_id"], &explained["images"][0]["name"]),
                (&layers[0], &json!(copies.name)),
                "{kind:?}"
            );
        }
    }
    Ok(())
}

#[test]
fn each_copy_of_a_key_is_watched_and_named_by_its_layer() -> Result<()> {
    if !copies_ready("copies watched")? {
        return Ok(());
    }
    let kinds = KINDS.map(|kind| (kind, false)).into_iter();
    for (kind, delete) in kinds.chain([(("docker", "vfs"), true), (("podman", "btrfs"), true)]) {
        let copies = Copies::new(kind, delete).with_context(|| format!("{kind:?}"))?;
        let directory = copies.scene.path().join("agent");
        let agent = Agent::start_on(&Agent::binary()?, &copies.root(), &directory, &["run"], &[])?;
        agent.wait_for_metric("layerwatch_findings{severity=\"critical\"}", 1.0)?;
        copies.misconfigure()?;
        let keys = copies.keys()?;
        for key in &keys {
            cat_as(NOBODY, key)?;
        }
        let alerts = agent.wait_for("alert", keys.len())?;
        let layers = copies.layers()?;
        for alert in &alerts {
            assert_eq!(
                (
                    &alert["layer"]["diff_id"],
                    &alert["access"]["path_in_layer"],
                    &alert["finding"]["shadowed"]
                ),
                (&layers[0], &json!(KEY), &json!(delete)),
                "{kind:?}"
            );
            assert_eq!(alert["images"][0]["name"], json!(copies.name), "{kind:?}");
        }
        assert_eq!(
            (alerts.len(), keys.len()),
            if delete { (1, 1) } else { (2, 2) },
            "{kind:?}"
        );
        assert_eq!(
            agent.metric("layerwatch_findings{severity=\"critical\"}"),
            Some(1.0),
            "{kind:?}"
        );
    }
    Ok(())
}

#[test]
fn a_container_reads_its_own_copy_without_an_alert() -> Result<()> {
    if !copies_ready("copies of containers")? {
        return Ok(());
    }
    let copies = Copies::new(("docker", "vfs"), false)?;
    let docker = copies.docker.as_ref().context("a docker")?;
    let directory = copies.scene.path().join("agent");
    let agent = Agent::start_on(
        &Agent::binary()?,
        &copies.root(),
        &directory,
        &["run"],
        &["--verbose"],
    )?;
    agent.wait_for_metric("layerwatch_findings{severity=\"critical\"}", 1.0)?;
    for user in ["0", "1000"] {
        let shown = docker.run_in(&["--user", user], &copies.name, &["/bin/cat", "/etc/secret.key"])?;
        assert!(shown.contains("PRIVATE KEY"), "{shown}");
    }
    // A read that is an alert comes after both.
    copies.misconfigure()?;
    cat_as(NOBODY, &copies.keys()?.remove(0))?;
    let alerts = agent.wait_for("alert", 1)?;
    let users: Vec<_> = alerts.iter().map(|alert| &alert["subject"]["uid"]).collect();
    assert_eq!(users, [&json!(NOBODY)]);
    Ok(())
}
