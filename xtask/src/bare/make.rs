//! Making the bare system: packages, rustup with one toolchain, and a clone of the project.
//!
//! Archives, certificates and configuration are the machine's own; no address is written here.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::apt::sources;
use crate::workspace::Workspace;
use crate::{files, process};

pub(super) const SCRIPT: &str = include_str!("make.sh");

/// What of apt's configuration says how archives are reached.
const APT_OPTIONS: [&str; 4] = [
    "Acquire::Check-",
    "Acquire::Retries",
    "Acquire::http::",
    "Acquire::https::",
];

/// Makes the system at `root`; `folder` takes intermediate files.
pub(super) fn make(workspace: &Workspace, folder: &Path, root: &Path) -> Result<()> {
    // Cloned as the caller, whose repository root's git would not trust.
    let checkout = folder.join("checkout");
    files::empty_folder(&checkout)?;
    process::run_quietly(
        Command::new("git")
            .args(["clone", "--quiet"])
            .arg(&workspace.root)
            .arg(&checkout),
    )?;
    let suite = sources::own_suite()?;
    let (updates, security) = (format!("{suite}-updates"), format!("{suite}-security"));
    let list = folder.join("sources.list");
    files::write(&list, sources::list(&[&suite, &updates, &security])?.as_bytes())?;
    let sysroot = process::output(workspace.rustc().args(["--print", "sysroot"]))?;
    let toolchain = std::env::var("RUSTUP_TOOLCHAIN").context("this cargo is not rustup's")?;
    let rustup = process::find("rustup").context("there is no rustup")?;
    let cargo = cargo_folder().context("there is no home folder")?;
    process::run(
        process::elevated("env")?
            .arg(format!("SUITE={suite}"))
            .arg(format!("SOURCES={}", list.display()))
            .arg(format!("APT_OPTIONS={}", apt_options()?.join("\n")))
            .arg(format!("RUSTUP={}", rustup.display()))
            .arg(format!("SYSROOT={}", sysroot.trim_end()))
            .arg(format!("TOOLCHAIN={toolchain}"))
            .arg(format!("CARGO_FOLDER={}", cargo.display()))
            .args(["sh", "-c", SCRIPT, "make.sh"])
            .args([root, &checkout]),
    )
}

fn cargo_folder() -> Option<PathBuf> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    home.or_else(|| Some(Path::new(&std::env::var_os("HOME")?).join(".cargo")))
}

fn apt_options() -> Result<Vec<String>> {
    Ok(options_in(&process::output(
        Command::new("apt-config").arg("dump"),
    )?))
}

/// `name "value";`, one a line; a list's own line has an empty value.
fn options_in(dump: &str) -> Vec<String> {
    let lines = dump
        .lines()
        .filter(|line| APT_OPTIONS.iter().any(|name| line.starts_with(name)));
    lines
        .filter(|line| !line.ends_with(" \"\";"))
        .map(|line| line.trim_end_matches(';').to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_reach_the_archives_are_taken_from_apt() {
        let check = |dump: &str, expected: &[&str]| assert_eq!(options_in(dump), expected, "{dump}");
        check("", &[]);
        check(
            "Acquire \"\";\nAcquire::http \"\";\nAPT::Architecture \"amd64\";\n",
            &[],
        );
        check(
            "Acquire::Check-Date \"false\";\nAcquire::http::Proxy \"p:1\";\nAcquire::https::Proxy \"\";\n",
            &["Acquire::Check-Date \"false\"", "Acquire::http::Proxy \"p:1\""],
        );
    }
}
