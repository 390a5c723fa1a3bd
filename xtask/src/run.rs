//! `cargo xtask run`: the agent on this machine's own container stores; where there is none, the demo.
//!
//! Everything is built as the user who calls; only the agent itself is elevated. The agent takes this program's place,
//! so that signals and the exit status are its own.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::workspace::Workspace;
use crate::{build, demo, process, say, setup};

/// What `cargo xtask run` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    build: build::Options,
    /// Passed on to `layerwatch run`
    #[arg(last = true)]
    arguments: Vec<String>,
}

/// Sets up, builds, and becomes the agent.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    let toolchain = setup::run(workspace)?;
    build::kernel_programs(workspace, &toolchain)?;
    let agent = build::agent(workspace, &options.build)?;
    let stores = stores(&agent)?;
    if stores == 0 {
        say::progress("run: this machine has no container store: showing the demo");
        return demo::run(workspace);
    }
    say::progress(&format!(
        "run: {stores} container stores on this machine; end with Ctrl-C"
    ));
    let error = elevated(&agent)?.arg("run").args(&options.arguments).exec();
    Err(error).with_context(|| format!("cannot start {}", agent.display()))
}

/// How many stores the agent finds here.
fn stores(agent: &Path) -> Result<usize> {
    let printed = process::output(elevated(agent)?.args(["stores", "--output", "jsonl"]))?;
    // Stores that cannot be read yet come as objects of another kind.
    let kinds = printed
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    Ok(kinds.filter(|object| object["kind"] == "store").count())
}

fn elevated(agent: &Path) -> Result<std::process::Command> {
    process::elevated(agent.to_str().context("the target folder's name is not UTF-8")?)
}
