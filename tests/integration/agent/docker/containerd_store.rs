//! A Docker that keeps its images in containerd: what it says of them is what the agent says.

use anyhow::{Context, Result};
use layerwatch_tests::scene::{Agent, Docker, KEY, NEWER_DOCKER, Scene};
use serde_json::{Value, json};

use super::super::{image_of, ready};
use super::commands::{inspect, json_of, list};
use super::{NAME, docker_ready};

fn newer() -> Result<Option<(Scene, Docker, String)>> {
    let test = "docker on containerd";
    if !docker_ready(test)? || !ready(&format!("{test}: newer"), &[NEWER_DOCKER])? {
        return Ok(None);
    }
    let mut scene = Scene::new()?;
    let tree = scene.tree_with_shell()?;
    let name = scene.publish_tree(&tree, NAME, true)?;
    let docker = Docker::start_on_containerd(&scene)?;
    Ok(Some((scene, docker, name)))
}

fn store(docker: &Docker) -> String {
    format!(
        "overlayfs@{}#moby",
        docker.root().join("containerd/daemon").display()
    )
}

/// What Docker says: the digest that the name stands for, the layers. An image's id is that digest there.
fn inspected(docker: &Docker, name: &str) -> Result<Value> {
    let image = inspect(docker, name)?;
    Ok(json!([image["Id"], image["RootFS"]["Layers"]]))
}

#[test]
fn images_layers_and_paths_are_what_docker_says() -> Result<()> {
    let Some((scene, docker, name)) = newer()? else {
        return Ok(());
    };
    docker.run(&["pull", "-q", &name])?;
    docker.run(&["create", "--network", "none", &name, "/bin/sh"])?;
    let stores = json_of(&scene, &docker, &["stores"])?;
    let told = list(&stores, "stores")
        .into_iter()
        .map(|store| json!([store["engine"], store["id"], store["images"], store["unlisted"]]));
    assert_eq!(
        told.collect::<Vec<_>>(),
        [json!(["containerd", store(&docker), 1, 0])]
    );
    assert_eq!(stores["problems"], json!([]));
    let images = json_of(&scene, &docker, &["images"])?;
    let image = list(&images, "images").remove(0);
    let theirs = inspect(&docker, &name)?;
    assert_eq!(
        json!([image["digest"], image["names"], image["created"]]),
        json!([theirs["Id"], theirs["RepoTags"], theirs["Created"]])
    );
    let layers = json_of(&scene, &docker, &["layers"])?;
    let with_state = |state: &str| -> Vec<&Value> {
        let layers = list(&layers, "layers").into_iter();
        layers.filter(|layer| layer["state"] == *state).collect()
    };
    let mut own = with_state("image");
    own.sort_by_key(|layer| layer["images"][0]["position"].as_u64());
    let diff_ids: Vec<&Value> = own.iter().map(|layer| &layer["diff_id"]).collect();
    assert_eq!(json!(diff_ids), theirs["RootFS"]["Layers"]);
    assert!(!with_state("container").is_empty(), "{layers:#}");
    let key = docker.find(KEY)?.remove(0);
    let explained = json_of(&scene, &docker, &["explain", key.to_str().context("text")?])?;
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
    Ok(())
}

#[test]
fn pull_tag_and_load_are_one_record_each_on_containerd() -> Result<()> {
    let Some((scene, docker, name)) = newer()? else {
        return Ok(());
    };
    let agent = Agent::start_on_docker(&scene, &docker, &[])?;
    let record = |count: usize| -> Result<Value> {
        let mut records = agent.wait_for("pull", count)?;
        assert_eq!(records.len(), count, "{records:#?}");
        Ok(records.remove(count - 1))
    };
    docker.run(&["pull", "-q", &name])?;
    let answered = std::time::Instant::now();
    let pulled = record(1)?;
    let late = answered.elapsed();
    assert!(
        late < std::time::Duration::from_secs(2),
        "the record came {late:?} after the answer"
    );
    let ours = image_of(&pulled);
    assert_eq!(
        json!([ours["digest"], ours["layers"]]),
        inspected(&docker, &name)?
    );
    assert_eq!(
        json!([
            pulled["arrival"],
            pulled["new_layers"],
            pulled["names"],
            pulled["store"]
        ]),
        json!(["pulled", 2, [name], store(&docker)])
    );
    docker.run(&["tag", &name, "own/alias:1"])?;
    let tagged = record(2)?;
    assert_eq!(
        json!([tagged["arrival"], tagged["names"]]),
        json!(["tagged", [name, "docker.io/own/alias:1"]])
    );
    let archive = scene.path().join("image.tar");
    let archive = archive.to_str().context("the path is text")?;
    docker.run(&["save", "-o", archive, "own/alias:1"])?;
    docker.run(&["rmi", "-f", "own/alias:1"])?;
    docker.run(&["rmi", "-f", &name])?;
    let gone = "layerwatch_images{driver=\"overlayfs\"}";
    let none = || agent.metric(gone).filter(|count| *count < 0.5);
    layerwatch_tests::wait_until("no image", std::time::Duration::from_secs(30), none)?;
    docker.run(&["load", "-q", "-i", archive])?;
    let loaded = record(3)?;
    assert_eq!(
        json!([loaded["arrival"], loaded["names"]]),
        json!(["loaded", ["docker.io/own/alias:1"]])
    );
    Ok(())
}
