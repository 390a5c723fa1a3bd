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
    selection: &["--workspace", "--lib", "--bins", "--test", "scan_worker"],
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// A test binary that no suite names would be compiled by the lints and never run.
    #[test]
    fn each_test_binary_is_in_a_suite() {
        let mut cargo = Command::new(env!("CARGO"));
        let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml");
        cargo.args([
            "metadata",
            "--no-deps",
            "--format-version=1",
            "--offline",
            "--manifest-path",
            manifest,
        ]);
        let metadata: serde_json::Value = serde_json::from_slice(&cargo.output().unwrap().stdout).unwrap();
        let all: BTreeSet<&str> = metadata["packages"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|package| package["targets"].as_array().unwrap())
            .filter(|target| target["kind"][0] == "test")
            .map(|target| target["name"].as_str().unwrap())
            .collect();
        let run: BTreeSet<&str> = [UNIT, INTEGRATION, KERNEL]
            .iter()
            .flat_map(|suite| suite.selection.windows(2))
            .filter(|pair| pair[0] == "--test")
            .map(|pair| pair[1])
            .collect();
        assert_eq!(run, all);
    }
}
