//! `cargo xtask bare`: what README.md promises, on a bare system: the two commands on a fresh Debian with rustup.
//!
//! The system is a folder below the target folder, made from the machine's own release and archives, with the committed
//! state of the project in it. It is removed afterwards. Also a step of `cargo xtask test --full`.

mod make;

use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};

use crate::apt::{self, Apt};
use crate::workspace::Workspace;
use crate::{process, say};

const ENTER: &str = include_str!("enter.sh");

/// A name for people, and the shell line. There is no store, so that `run` shows the demo and ends.
const COMMANDS: [(&str, &str); 2] = [
    ("cargo xtask run", "cargo xtask run </dev/null"),
    (".ci/run", "CI=true bash .ci/run <&-"),
];

/// What `cargo xtask bare` takes.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Options {
    /// Leave the system where it is, and start from it the next time
    #[arg(long)]
    pub(crate) keep: bool,
    /// Run this shell line in place of the two commands
    #[arg(last = true)]
    pub(crate) line: Vec<String>,
}

/// Makes the system and runs the commands in it; an error if one does not end well.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    ensure!(Apt::exists(), "this is no Debian");
    apt::install(&["git", "mmdebstrap", "mount", "util-linux"])?;
    let folder = workspace.target.join("bare");
    let root = folder.join("root");
    if !(options.keep && root.exists()) {
        remove(&root)?;
        timed("the system", || make::make(workspace, &folder, &root))?;
    }
    let line = options.line.join(" ");
    let given = [("the line", line.as_str())];
    let commands = if line.is_empty() { &COMMANDS[..] } else { &given };
    for (name, line) in commands {
        timed(name, || enter(&root, line))?;
    }
    if options.keep {
        return Ok(());
    }
    remove(&root)
}

fn timed(name: &str, act: impl FnOnce() -> Result<()>) -> Result<()> {
    say::progress(&format!("bare: {name}"));
    let begun = Instant::now();
    let ended = act();
    let how = if ended.is_ok() { "done" } else { "failed" };
    let seconds = begun.elapsed().as_secs();
    say::progress(&format!("bare: {name}: {how} after {seconds} s"));
    ended
}

fn enter(root: &Path, line: &str) -> Result<()> {
    let mut command = process::elevated("unshare")?;
    command.args(["--mount", "sh", "-c", ENTER, "enter.sh"]).arg(root);
    // The whole script would stand in the error.
    let status = command.arg(line).status().context("cannot start unshare")?;
    ensure!(status.success(), "`{line}` ended with {status}");
    Ok(())
}

/// Nothing is mounted there any more; if it were, that would not be removed.
fn remove(root: &Path) -> Result<()> {
    process::run(
        process::elevated("rm")?
            .args(["--recursive", "--force", "--one-file-system"])
            .arg(root),
    )
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn the_scripts_are_shell() {
        for script in [make::SCRIPT, ENTER] {
            process::run_quietly(Command::new("sh").args(["-n", "-c", script])).unwrap();
        }
    }
}
