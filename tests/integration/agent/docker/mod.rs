//! The agent on the store of a real dockerd.

mod arrivals;
mod builds;
mod commands;
mod containerd_store;
mod pulls;
mod reads;

use anyhow::Result;
use layerwatch_tests::scene::{Agent, DOCKER, Docker, Scene};

use super::{ENGINES, ready};

/// The name of the image in the registry, without the host.
const NAME: &str = "shop/api:2";

/// Whether Docker and what makes its images are there.
fn docker_ready(test: &str) -> Result<bool> {
    ready(
        test,
        &[&ENGINES[..], &DOCKER, &["docker-registry", "busybox"]].concat(),
    )
}

/// A daemon without images, a published image with a key (deleted by its second layer where `delete` says so) and a
/// shell; the name to pull.
fn scene(delete: bool) -> Result<(Scene, Docker, String)> {
    scene_with(delete, Docker::start)
}

/// Starts a daemon with a driver.
type Start = fn(&Scene, &'static str) -> Result<Docker>;

/// The published image alone.
fn published(delete: bool) -> Result<(Scene, String)> {
    let mut scene = Scene::new()?;
    let tree = scene.tree_with_shell()?;
    let name = scene.publish_tree(&tree, NAME, delete)?;
    Ok((scene, name))
}

fn scene_with(delete: bool, start: Start) -> Result<(Scene, Docker, String)> {
    let (scene, name) = published(delete)?;
    let docker = start(&scene, "overlay2")?;
    Ok((scene, docker, name))
}

/// The same with the image pulled and an agent that has scanned it.
fn watched(delete: bool, arguments: &[&str]) -> Result<(Scene, Docker, String, Agent)> {
    watched_with(delete, arguments, Docker::start)
}

fn watched_with(delete: bool, arguments: &[&str], start: Start) -> Result<(Scene, Docker, String, Agent)> {
    let (scene, docker, name) = scene_with(delete, start)?;
    docker.run(&["pull", "-q", &name])?;
    let agent = Agent::start_on_docker(&scene, &docker, arguments)?;
    agent.wait_for_metric("layerwatch_findings{severity=\"critical\"}", 1.0)?;
    Ok((scene, docker, name, agent))
}
