//! The agent as a user runs it: the real binary, real engines, real reads; whole lines are parsed and compared.
//!
//! Each test has a store, a port and a state of its own, so that they may run at the same time. On this machine's kernel
//! (tier D or whatever works); the same reads on other kernels are in the kernel tests.

mod commands;
mod containerd;
mod copies;
mod damage;
mod datasets;
mod devices;
mod docker;
mod exposure;
mod failed;
mod flow;
mod metadata;
mod podman;
mod ports;
mod privileges;
mod quiet;
mod replayed;
mod rootless;

use std::process::Command;

use anyhow::{Context as _, Result};
use layerwatch_tests::scene::KEY;
use layerwatch_tests::{output, skip, tool};
use serde_json::{Value, json};

/// Whether what a test needs is there; if not, the skip is recorded.
pub(crate) fn ready(test: &str, programs: &[&str]) -> Result<bool> {
    if !rustix::process::geteuid().is_root() {
        skip(test, "needs root")?;
        return Ok(false);
    }
    for program in programs {
        if tool(program).is_none() {
            skip(test, &format!("{program} is not installed"))?;
            return Ok(false);
        }
    }
    Ok(true)
}

/// The engines that a store is made with.
pub(crate) const ENGINES: [&str; 3] = ["podman", "buildah", "openssl"];

/// A pull record's image as engines describe one: id, digest and layers, base first, as diff ids.
fn image_of(pull: &Value) -> Value {
    let layers = pull["layers"].as_array().into_iter().flatten();
    json!({
        "id": pull["image"]["id"],
        "digest": pull["image"]["digest"],
        "layers": layers.map(|layer| layer["diff_id"].clone()).collect::<Vec<_>>(),
    })
}

/// Each file of the layers of an image that Podman or Docker was asked to inspect, explained: the layer by the engine's own order of
/// directories, the image by its name. How many there were.
fn explained_as_inspected(
    image: &Value,
    name: &str,
    explain: impl Fn(&str) -> Result<Value>,
) -> Result<usize> {
    let data = &image["GraphDriver"]["Data"];
    let diff_ids = image["RootFS"]["Layers"].as_array().context("layers")?;
    let lower = data["LowerDir"].as_str().unwrap_or_default().split(':').rev();
    let directories = lower
        .chain(data["UpperDir"].as_str())
        .filter(|one| !one.is_empty());
    let mut files = 0;
    for (position, (directory, diff_id)) in directories.zip(diff_ids).enumerate() {
        let found = output(Command::new("find").args([directory, "-type", "f"]))?;
        for file in std::str::from_utf8(&found.stdout)?.lines() {
            let told = explain(file)?;
            let below = file
                .strip_prefix(directory)
                .map(|path| path.trim_start_matches('/'));
            let deleted = if below == Some(KEY) { "deleted" } else { "visible" };
            let of = &told["images"][0];
            assert_eq!(
                json!([
                    told["path_in_layer"],
                    told["layer"]["diff_id"],
                    of["name"],
                    of["position"],
                    of["visibility"]["state"]
                ]),
                json!([below, diff_id, name, position + 1, deleted]),
                "{file}: {told:#}"
            );
            files += 1;
        }
    }
    Ok(files)
}
