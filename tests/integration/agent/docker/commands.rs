//! What the commands say of Docker's store is what Docker says.

use std::process::Command;

use anyhow::{Context, Result};
use layerwatch_tests::output;
use layerwatch_tests::scene::{Agent, Docker, KEY, NEWER_DOCKER, Scene};
use serde_json::{Value, json};

use super::super::{explained_as_inspected, ready};
use super::{Start, docker_ready, scene, scene_with};

pub(super) fn json_of(scene: &Scene, docker: &Docker, arguments: &[&str]) -> Result<Value> {
    let mut command = Command::new(Agent::binary()?);
    for setting in [
        format!("stores.roots={}", docker.root().display()),
        format!("state_directory={}", scene.path().join("state").display()),
    ] {
        command.args(["--set", &setting]);
    }
    let shown = output(command.args(arguments).args(["-o", "json"]))?;
    serde_json::from_slice(&shown.stdout).with_context(|| String::from_utf8_lossy(&shown.stderr).into_owned())
}

pub(super) fn list<'a>(value: &'a Value, name: &str) -> Vec<&'a Value> {
    value[name].as_array().into_iter().flatten().collect()
}

/// What Docker says of an image.
pub(super) fn inspect(docker: &Docker, name: &str) -> Result<Value> {
    let mut shown: Value = serde_json::from_str(&docker.run(&["image", "inspect", name])?)?;
    Ok(shown[0].take())
}

#[test]
fn stores_and_images_are_what_docker_says() -> Result<()> {
    if !docker_ready("docker stores and images")? {
        return Ok(());
    }
    let (scene, docker, name) = scene(true)?;
    docker.run(&["pull", "-q", &name])?;
    let info: Value = serde_json::from_str(&docker.run(&["info", "--format", "{{json .}}"])?)?;
    let stores = json_of(&scene, &docker, &["stores"])?;
    let store = list(&stores, "stores").remove(0);
    assert_eq!(
        (
            &store["engine"],
            &store["driver"],
            &store["root"],
            &store["images"]
        ),
        (
            &json!("docker"),
            &info["Driver"],
            &info["DockerRootDir"],
            &info["Images"]
        )
    );
    let status = list(&info, "DriverStatus").into_iter();
    let backing = status
        .filter(|pair| pair[0] == "Backing Filesystem")
        .map(|pair| pair[1].as_str());
    let backing = backing.flatten().next().context("the backing file system")?;
    let filesystem = store["filesystem"].as_str().context("text")?;
    // Docker does not tell the ext family apart.
    let as_docker_says = if filesystem.starts_with("ext") {
        "extfs"
    } else {
        filesystem
    };
    assert_eq!(as_docker_says, backing);
    assert_eq!((&stores["problems"], &store["unlisted"]), (&json!([]), &json!(0)));

    let inspected = inspect(&docker, &name)?;
    let images = json_of(&scene, &docker, &["images"])?;
    let image = list(&images, "images").remove(0);
    let digest = image["digest"].as_str().context("a digest")?;
    let repository = name.rsplit_once(':').context("a tag")?.0;
    let ours = json!({
        "id": format!("sha256:{}", image["id"].as_str().context("an id")?),
        "tags": image["names"],
        "digests": [format!("{repository}@{digest}")],
        "created": image["created"],
    });
    let theirs = json!({
        "id": inspected["Id"],
        "tags": inspected["RepoTags"],
        "digests": inspected["RepoDigests"],
        "created": inspected["Created"],
    });
    assert_eq!(ours, theirs);
    Ok(())
}

#[test]
fn layers_are_what_docker_says() -> Result<()> {
    if !docker_ready("docker layers")? {
        return Ok(());
    }
    let (scene, docker, name) = scene(true)?;
    docker.run(&["pull", "-q", &name])?;
    docker.run(&["create", "--network", "none", &name, "/bin/sh"])?;
    let inspected = inspect(&docker, &name)?;
    // Base first here, last first there.
    let history = [
        "history",
        "--human=false",
        "--no-trunc",
        "--format",
        "{{.Size}}",
        &name,
    ];
    let history = docker.run(&history)?;
    let mut sizes: Vec<u64> = history.lines().map(str::parse).collect::<Result<_, _>>()?;
    sizes.reverse();
    let driver = &inspected["GraphDriver"]["Data"];
    let lower = driver["LowerDir"].as_str().unwrap_or_default();
    let mut directories: Vec<&str> = driver["UpperDir"]
        .as_str()
        .into_iter()
        .chain(lower.split(':'))
        .collect();
    directories.reverse();
    let layers = json_of(&scene, &docker, &["layers"])?;
    let with_state = |state: &str| -> Vec<&Value> {
        let layers = list(&layers, "layers").into_iter();
        layers.filter(|layer| layer["state"] == *state).collect()
    };
    let mut own = with_state("image");
    own.sort_by_key(|layer| layer["images"][0]["position"].as_u64());
    let column = |name: &str| -> Vec<Value> { own.iter().map(|layer| layer[name].clone()).collect() };
    assert_eq!(json!(column("diff_id")), inspected["RootFS"]["Layers"]);
    assert_eq!(json!(column("content")), json!(directories));
    assert_eq!(json!(column("size_bytes")), json!(sizes));
    assert_eq!(with_state("container").len(), 2);
    Ok(())
}

/// As pulled, and loaded again when it is gone; by both releases.
#[test]
fn every_file_is_explained_with_dockers_layer_and_image() -> Result<()> {
    if !docker_ready("docker explain, every file")? {
        return Ok(());
    }
    let mut starts: Vec<Start> = vec![Docker::start];
    if ready("docker explain, every file: newer", &[NEWER_DOCKER])? {
        starts.push(Docker::start_newer);
    }
    for start in starts {
        let (scene, docker, name) = scene_with(true, start)?;
        let explained = || -> Result<usize> {
            let image = inspect(&docker, &name)?;
            explained_as_inspected(&image, &name, |file| json_of(&scene, &docker, &["explain", file]))
        };
        docker.run(&["pull", "-q", &name])?;
        assert_eq!(explained()?, 5);
        let archive = scene.path().join("image.tar");
        let archive = archive.to_str().context("text")?;
        docker.run(&["save", "-o", archive, &name])?;
        docker.run(&["rmi", "-f", &name])?;
        let left = json_of(&scene, &docker, &["layers"])?;
        assert_eq!(left["layers"], json!([]));
        docker.run(&["load", "-q", "-i", archive])?;
        assert_eq!(explained()?, 5);
    }
    Ok(())
}

#[test]
fn a_path_is_explained_with_dockers_layer_and_image() -> Result<()> {
    if !docker_ready("docker explain")? {
        return Ok(());
    }
    let (scene, docker, name) = scene(true)?;
    docker.run(&["pull", "-q", &name])?;
    let key = docker.find(KEY)?.remove(0);
    let explained = json_of(&scene, &docker, &["explain", key.to_str().context("text")?])?;
    let image = &explained["images"][0];
    assert_eq!(explained["path_in_layer"], KEY);
    assert_eq!(
        (
            &image["name"],
            &image["position"],
            &image["layers"],
            &image["visibility"]["state"]
        ),
        (&json!(name), &json!(1), &json!(2), &json!("deleted"))
    );
    let codes: Vec<_> = list(&image["trust"][0], "reasons")
        .iter()
        .map(|reason| reason["code"].clone())
        .collect();
    assert_eq!(
        json!(codes),
        json!(["reg.insecure", "policy.not-asked", "inv.none"])
    );
    assert_eq!(explained["findings"][0]["rule"], "private-key-pem");
    // Docker 20.10.9 and later leave the way to host group 0 alone.
    assert_eq!(
        explained["exposure"]["readers"],
        json!([{"who": "group", "gid": 0}])
    );
    Ok(())
}
