//! `cargo xtask setup`: the toolchain that builds the kernel programs.
//!
//! Three ways, the first that works: Debian's own compiler with its prebuilt `core` for BPF, unpacked privately;
//! an installed nightly with rust-src; a nightly that rustup fetches. The way taken and its versions are recorded
//! in a stamp under the target folder, so that a second run only looks whether the tools still answer.

mod debian;
mod linker;
mod nightly;
mod stamp;

use std::fs::File;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

use crate::workspace::Workspace;
use crate::{apt, files, process, say};

/// What builds the kernel programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Toolchain {
    /// How it came here, for people.
    pub(crate) way: String,
    /// The compiler that knows the BPF target.
    pub(crate) rustc: PathBuf,
    /// The Cargo to use with it.
    pub(crate) cargo: PathBuf,
    /// Where the compiler's own libraries are, if it does not find them by itself.
    pub(crate) libraries: Option<PathBuf>,
    /// Whether `core` must be built, because the toolchain brings none for BPF.
    pub(crate) build_core: bool,
    /// The linker.
    pub(crate) linker: PathBuf,
    /// First lines of the compiler's and the linker's `--version`.
    pub(crate) versions: String,
}

/// Makes the toolchain ready and says which way it took.
pub(crate) fn run(workspace: &Workspace) -> Result<Toolchain> {
    let begun = Instant::now();
    let prefix = workspace.target.join("ebpf-toolchain");
    files::create_folder(&prefix)?;
    let lock = File::create(prefix.join("lock")).context("cannot make the toolchain's lock file")?;
    lock.lock().context("cannot lock the toolchain")?;
    if let Some(toolchain) = stamp::read(&prefix)? {
        say::progress(&format!(
            "setup: ready: {} ({})",
            toolchain.way, toolchain.versions
        ));
        return Ok(toolchain);
    }
    compiler_for_the_host()?;
    let toolchain = fetch(workspace, &prefix)?;
    stamp::write(&prefix, &toolchain)?;
    let seconds = begun.elapsed().as_secs();
    say::progress(&format!(
        "setup: took {seconds} s: {} ({})",
        toolchain.way, toolchain.versions
    ));
    Ok(toolchain)
}

fn fetch(workspace: &Workspace, prefix: &std::path::Path) -> Result<Toolchain> {
    let mut reasons = Vec::new();
    for (name, way) in [
        (
            "Debian's packages",
            debian::fetch as fn(&Workspace, &std::path::Path) -> Result<Toolchain>,
        ),
        ("an installed nightly", nightly::use_installed),
        ("a nightly from rustup", nightly::install),
    ] {
        match way(workspace, prefix) {
            Ok(toolchain) => return Ok(toolchain),
            Err(error) => {
                say::progress(&format!("setup: not by {name}: {error:#}"));
                reasons.push(format!("{name}: {error:#}"));
            }
        }
    }
    bail!(
        "no way to a toolchain for the kernel programs:\n  {}",
        reasons.join("\n  ")
    )
}

/// Build scripts of the dependencies are linked by `cc`.
fn compiler_for_the_host() -> Result<()> {
    if process::find("cc").is_some() {
        return Ok(());
    }
    if apt::Apt::exists() {
        return apt::install(&["gcc", "libc6-dev"]);
    }
    bail!("there is no C compiler to link with, and no apt to install one")
}
