//! The test binaries run on this machine: unit tests as the user, the others as root.
//!
//! nextest is used where it is installed, since it ends a test that hangs; Cargo's own runner elsewhere.

use std::process::Command;

use anyhow::Result;

use super::outcome::{self, Outcome};
use super::{Context, coverage, tools};
use crate::process;

/// A group of test binaries.
#[derive(Debug, Clone, Copy)]
pub(super) struct Suite {
    /// Which binaries, as Cargo is told.
    selection: &'static [&'static str],
    /// Whether they act on mounts, users and kernel programs.
    root: bool,
}

const UNIT: Suite = Suite {
    selection: &["--workspace", "--lib", "--bins"],
    root: false,
};
const INTEGRATION: Suite = Suite {
    selection: &["--package", "layerwatch-tests", "--test", "integration"],
    root: true,
};
/// What the kernel programs see on this machine's kernel.
pub(super) const KERNEL: Suite = Suite {
    selection: &["--package", "layerwatch-tests", "--test", "kernel"],
    root: true,
};

pub(super) fn unit(context: &Context<'_>) -> Result<Outcome> {
    outcome::of(&mut command(context, UNIT)?)
}

pub(super) fn integration(context: &Context<'_>) -> Result<Outcome> {
    // The tests start the agent as a program.
    let agent = crate::build::agent(context.workspace, &crate::build::Options::default())?;
    outcome::of(command(context, INTEGRATION)?.env("LAYERWATCH_AGENT", agent))
}

pub(super) fn kernel_here(context: &Context<'_>) -> Result<Outcome> {
    let mut tests = command(context, KERNEL)?;
    tests.env(coverage::SWITCH, coverage::here(context));
    if context.options.full {
        tests.env("LAYERWATCH_TEST_FULL", "1");
    }
    outcome::of(&mut tests)
}

/// The command that runs a suite with the run's filter.
pub(super) fn command(context: &Context<'_>, suite: Suite) -> Result<Command> {
    let mut command = context.workspace.cargo();
    if process::find("cargo-nextest").is_some() {
        command.args([
            "nextest",
            "run",
            "--no-fail-fast",
            "--color",
            "never",
            "--status-level",
            "slow",
        ]);
        // A filter may well match nothing in one of the suites.
        command.args([
            "--no-tests",
            if context.options.filter.is_some() {
                "pass"
            } else {
                "fail"
            },
        ]);
    } else {
        command.args(["test", "--no-fail-fast", "--color", "never"]);
    }
    command.args(suite.selection).args(&context.options.filter);
    let path = tools::path(context.workspace)?;
    if suite.root && !rustix::process::geteuid().is_root() {
        let runner = format!("sudo --preserve-env env PATH={}", path.to_string_lossy());
        let target = format!("{}-UNKNOWN-LINUX-GNU", std::env::consts::ARCH)
            .to_uppercase()
            .replace('-', "_");
        command.env(format!("CARGO_TARGET_{target}_RUNNER"), runner);
    }
    command.env("PATH", path).env("LAYERWATCH_SKIPS", &context.skips);
    Ok(command)
}
