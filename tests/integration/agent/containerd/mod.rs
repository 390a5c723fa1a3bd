//! The agent on the store of a real containerd.

mod changes;
mod commands;
mod pulls;
mod reads;

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use layerwatch_tests::output;
use layerwatch_tests::scene::{Agent, CONTAINERD, Containerd, Release, Scene};
use serde_json::Value;

use super::{ENGINES, ready};

/// The name of the image in the registry, without the host.
const NAME: &str = "shop/api:2";

/// Whether containerd and what makes its images are there.
fn containerd_ready(test: &str) -> Result<bool> {
    ready(test, &[&ENGINES[..], &CONTAINERD, &["docker-registry"]].concat())
}

/// The releases that are there, so that a test is run on each.
fn releases(test: &str) -> Result<Vec<Release>> {
    if !containerd_ready(test)? {
        return Ok(Vec::new());
    }
    let mut there = Vec::new();
    for release in Release::ALL {
        if ready(&format!("{test}: {}", release.programs()[0]), &release.programs())? {
            there.push(release);
        }
    }
    Ok(there)
}

/// A published image with a key that its second layer deletes, and the name to pull.
fn published() -> Result<(Scene, String)> {
    let mut scene = Scene::new()?;
    let name = scene.publish(NAME)?;
    Ok((scene, name))
}

/// The same with a daemon without images.
fn scene() -> Result<(Scene, Containerd, String)> {
    let (scene, name) = published()?;
    let containerd = Containerd::start(&scene, Release::OWN)?;
    Ok((scene, containerd, name))
}

/// What a command prints of the store, as JSON.
fn json_of(scene: &Scene, containerd: &Containerd, arguments: &[&str]) -> Result<Value> {
    json_of_roots(scene, &[&containerd.root()], arguments)
}

/// What a command prints of the stores at some roots, as JSON.
fn json_of_roots(scene: &Scene, roots: &[&Path], arguments: &[&str]) -> Result<Value> {
    let mut command = Command::new(Agent::binary()?);
    let roots: Vec<String> = roots.iter().map(|root| root.display().to_string()).collect();
    for setting in [
        format!("stores.roots={}", roots.join(",")),
        format!("state_directory={}", scene.path().join("state").display()),
    ] {
        command.args(["--set", &setting]);
    }
    let shown = output(command.args(arguments).args(["-o", "json"]))?;
    serde_json::from_slice(&shown.stdout).with_context(|| String::from_utf8_lossy(&shown.stderr).into_owned())
}

fn list<'a>(value: &'a Value, name: &str) -> Vec<&'a Value> {
    value[name].as_array().into_iter().flatten().collect()
}

/// The store of a namespace and snapshotter.
fn store_id(containerd: &Containerd, namespace: &str, snapshotter: &str) -> String {
    format!("{snapshotter}@{}#{namespace}", containerd.root().display())
}
