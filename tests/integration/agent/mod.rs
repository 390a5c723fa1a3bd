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

use anyhow::Result;
use layerwatch_tests::{skip, tool};
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
