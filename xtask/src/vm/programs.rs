//! The project's own programs that go into a test machine: the agent, the kernel tests, and the reader that they call.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::workspace::Workspace;
use crate::{build, process, setup};

/// Name of the kernel tests inside a machine, and of their test target.
const TESTS: &str = "kernel";
/// Name of the program that reads files in every way.
const READER: &str = "layerwatch-reader";

/// Builds the agent and the kernel tests; each with its name inside the machine.
pub(crate) fn build(workspace: &Workspace) -> Result<Vec<(PathBuf, String)>> {
    let toolchain = setup::run(workspace)?;
    build::kernel_programs(workspace, &toolchain)?;
    let agent = build::agent(workspace, &build::Options::default())?;
    let messages = kernel_tests(workspace)?;
    let mut programs = vec![(agent, "layerwatch".to_owned())];
    for name in [TESTS, READER] {
        let built = executable_in(&messages, name).with_context(|| format!("Cargo built no {name}"))?;
        programs.push((built, name.to_owned()));
    }
    let of_host = FROM_HOST
        .into_iter()
        .filter_map(|name| Some((process::find(name)?, name.to_owned())));
    programs.extend(of_host);
    Ok(programs)
}

/// Programs of the host that the tests start, where they are installed: an overlay in user space, what makes file systems
/// and thin devices, and what gives the agent the rights of a service.
const FROM_HOST: [&str; 8] = [
    "btrfs",
    "dmsetup",
    "fuse-overlayfs",
    "install",
    "mke2fs",
    "mkfs.btrfs",
    "mkfs.xfs",
    "setpriv",
];

/// Builds the kernel tests and what they call; Cargo's messages.
fn kernel_tests(workspace: &Workspace) -> Result<String> {
    let mut command = workspace.cargo();
    command.args([
        "test",
        "--quiet",
        "--no-run",
        "--package",
        "layerwatch-tests",
        "--test",
        TESTS,
        "--bin",
        READER,
    ]);
    process::output(command.arg("--message-format=json"))
}

/// The executable of this target in Cargo's JSON messages. A program that is built for itself and as a test comes
/// twice: the one that is no test is meant, save for a target that is nothing else.
fn executable_in(messages: &str, target: &str) -> Option<PathBuf> {
    let messages = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut executables = messages.filter_map(|message| {
        let named = message.pointer("/target/name")? == target;
        let own = message.pointer("/profile/test") != Some(&Value::Bool(true))
            || message.pointer("/target/kind/0")? == "test";
        let path = PathBuf::from(message.get("executable")?.as_str()?);
        (named && own).then_some(path)
    });
    executables.next_back()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_executable_is_found_among_cargos_messages() {
        let check = |messages: &str, expected: Option<&str>| {
            assert_eq!(
                executable_in(messages, "kernel"),
                expected.map(PathBuf::from),
                "{messages}"
            );
        };
        let message = |name: &str, kind: &str, test: bool, path: &str| {
            format!(
                "{{\"target\":{{\"name\":\"{name}\",\"kind\":[\"{kind}\"]}},\
                 \"profile\":{{\"test\":{test}}},\"executable\":\"{path}\"}}\n"
            )
        };
        check("", None);
        check("{\"reason\":\"build-finished\"}\nno json\n", None);
        check(&message("other", "bin", false, "/t/other"), None);
        check(
            &message("kernel", "test", true, "/t/kernel-1"),
            Some("/t/kernel-1"),
        );
        let twice =
            message("kernel", "bin", false, "/t/kernel") + &message("kernel", "bin", true, "/t/kernel-2");
        check(&twice, Some("/t/kernel"));
    }
}
