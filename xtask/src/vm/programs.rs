//! The project's own programs that go into a test machine: the agent and the kernel tests.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::workspace::Workspace;
use crate::{build, process, setup};

/// Name of the kernel tests inside a machine, and of their test target.
const TESTS: &str = "kernel";

/// Builds the agent and the kernel tests; each with its name inside the machine.
pub(crate) fn build(workspace: &Workspace) -> Result<Vec<(PathBuf, String)>> {
    let toolchain = setup::run(workspace)?;
    build::kernel_programs(workspace, &toolchain)?;
    let agent = build::agent(workspace, &build::Options::default())?;
    let tests = kernel_tests(workspace)?;
    Ok(vec![(agent, "layerwatch".into()), (tests, TESTS.into())])
}

fn kernel_tests(workspace: &Workspace) -> Result<PathBuf> {
    let mut command = workspace.cargo();
    command.args([
        "test",
        "--quiet",
        "--no-run",
        "--package",
        "layerwatch-tests",
        "--test",
        TESTS,
    ]);
    let printed = process::output(command.arg("--message-format=json"))?;
    executable_in(&printed).context("Cargo built no kernel test binary")
}

/// The executable of the last artifact in Cargo's JSON messages.
fn executable_in(messages: &str) -> Option<PathBuf> {
    let messages = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    messages
        .filter_map(|message| message.get("executable")?.as_str().map(PathBuf::from))
        .next_back()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_executable_is_found_among_cargos_messages() {
        let check = |messages: &str, expected: Option<&str>| {
            assert_eq!(executable_in(messages), expected.map(PathBuf::from), "{messages}");
        };
        check("", None);
        check(
            "{\"reason\":\"compiler-artifact\",\"executable\":null}\nno json\n",
            None,
        );
        check(
            "{\"executable\":null}\n{\"executable\":\"/t/kernel-1\"}\n{\"reason\":\"build-finished\"}\n",
            Some("/t/kernel-1"),
        );
    }
}
