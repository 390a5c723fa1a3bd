//! The scanner as a user runs it: archives that real engines wrote, a second run, hostile archives, and nothing of a
//! secret anywhere.

mod again;
mod archives;
mod gentle;
mod hostile;
mod huge;
mod identity;
mod names;
mod redaction;
mod results;
mod statuses;

use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context, Result};
use layerwatch_tests::output;
use layerwatch_tests::scene::{Agent, Scene};
use serde_json::Value;

use super::agent::{ENGINES, ready};

const NAME: &str = "localhost/shop/api:1";

/// A store with an image whose first layer has a key that the second deletes, and a place for the agent's state.
fn scene() -> Result<Scene> {
    let scene = Scene::new()?;
    scene.store.build(&scene.tree()?, NAME, true)?;
    std::fs::create_dir(scene.path().join("state"))?;
    Ok(scene)
}

fn command(scene: &Scene, arguments: &[&str]) -> Result<Command> {
    let mut command = Command::new(Agent::binary()?);
    for setting in [
        format!("stores.roots={}", scene.store.root().display()),
        format!("state_directory={}", scene.path().join("state").display()),
    ] {
        command.args(["--set", &setting]);
    }
    command.args(arguments);
    Ok(command)
}

fn layerwatch(scene: &Scene, arguments: &[&str]) -> Result<Output> {
    output(&mut command(scene, arguments)?)
}

/// The whole of a file that a test made.
fn content(path: impl AsRef<Path>) -> Result<Vec<u8>> {
    Ok(layerwatch::bounded::read(path.as_ref(), 256 << 20)?)
}

/// The one object that a command prints with `-o json`.
fn json_of(scene: &Scene, arguments: &[&str]) -> Result<Value> {
    let shown = layerwatch(scene, &[arguments, &["-o", "json"]].concat())?;
    serde_json::from_slice(&shown.stdout).with_context(|| String::from_utf8_lossy(&shown.stderr).into_owned())
}
