//! Running other programs: an error names the whole command line and how it ended.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

/// Runs a command that prints for itself; an error if it does not end well.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("cannot start {}", line(command)))?;
    ensure!(status.success(), "{} ended with {status}", line(command));
    Ok(())
}

/// Runs a command silently; what it printed is shown in the error if it does not end well.
pub(crate) fn run_quietly(command: &mut Command) -> Result<()> {
    output(command).map(drop)
}

/// What a command printed on stdout.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let done = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {}", line(command)))?;
    if !done.status.success() {
        let printed = String::from_utf8_lossy(&done.stdout);
        let said = String::from_utf8_lossy(&done.stderr);
        bail!("{} ended with {}\n{printed}{said}", line(command), done.status);
    }
    String::from_utf8(done.stdout).with_context(|| format!("{} printed no UTF-8", line(command)))
}

/// A command that runs as root: directly if this is root, else through sudo.
pub(crate) fn elevated(program: &str) -> Result<Command> {
    if rustix::process::geteuid().is_root() {
        return Ok(Command::new(program));
    }
    ensure!(
        find("sudo").is_some(),
        "{program} must run as root, and there is no sudo"
    );
    let mut command = Command::new("sudo");
    command.arg(program);
    Ok(command)
}

/// The path of a program on PATH or in the administrator's folders, which a user's PATH leaves out.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let administrator = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path)
        .chain(administrator)
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
}

fn line(command: &Command) -> String {
    let mut text = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args() {
        write!(text, " {}", argument.to_string_lossy()).unwrap_or_default();
    }
    text
}
