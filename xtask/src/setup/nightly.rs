//! The ordinary way: a nightly compiler with its sources, so that `core` is built for BPF on the spot.
//!
//! The linker is built against the nightly's own LLVM library, so that its version always fits.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::{Toolchain, linker, stamp};
use crate::workspace::Workspace;
use crate::{files, process, say};

/// Uses the nightly that is there, if it has its sources.
pub(super) fn use_installed(workspace: &Workspace, prefix: &Path) -> Result<Toolchain> {
    let sysroot = sysroot()?;
    ensure!(
        sysroot.join("lib/rustlib/src/rust/library/core").is_dir(),
        "the nightly has no rust-src"
    );
    let llvm = llvm_version(&sysroot)?;
    let home = llvm_home(&sysroot, prefix)?;
    stamp::proved(Toolchain {
        way: "rustup's nightly with rust-src".into(),
        rustc: sysroot.join("bin/rustc"),
        cargo: sysroot.join("bin/cargo"),
        libraries: None,
        build_core: true,
        linker: linker::build(workspace, prefix, llvm, &home)?,
        versions: String::new(),
    })
}

/// Has rustup fetch a nightly with its sources.
pub(super) fn install(workspace: &Workspace, prefix: &Path) -> Result<Toolchain> {
    say::progress("setup: fetching a nightly with rust-src");
    let arguments = [
        "toolchain",
        "install",
        "nightly",
        "--profile",
        "minimal",
        "--component",
        "rust-src",
    ];
    process::run_quietly(Command::new("rustup").args(arguments))?;
    use_installed(workspace, prefix)
}

fn sysroot() -> Result<PathBuf> {
    let mut command = Command::new("rustup");
    command.args(["run", "nightly", "rustc", "--print", "sysroot"]);
    Ok(process::output(&mut command)?.trim_end().into())
}

fn llvm_version(sysroot: &Path) -> Result<u32> {
    let printed = process::output(Command::new(sysroot.join("bin/rustc")).arg("-vV"))?;
    llvm_major(&printed).context("the nightly does not say its LLVM version")
}

fn llvm_major(verbose_version: &str) -> Option<u32> {
    let version = verbose_version
        .lines()
        .find_map(|line| line.strip_prefix("LLVM version: "))?;
    version.split('.').next()?.parse().ok()
}

/// A folder laid out as an installed LLVM, holding links to the compiler's own library.
fn llvm_home(sysroot: &Path, prefix: &Path) -> Result<PathBuf> {
    let home = prefix.join("llvm");
    files::empty_folder(&home.join("lib"))?;
    let library = shared_library(&sysroot.join("lib"))?;
    let name = library.file_name().context("a library has a name")?;
    for link in [Path::new("libLLVM.so"), Path::new(name)] {
        std::os::unix::fs::symlink(&library, home.join("lib").join(link))?;
    }
    Ok(home)
}

fn shared_library(folder: &Path) -> Result<PathBuf> {
    for entry in std::fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let path = entry?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if name.starts_with("libLLVM.so.") {
            return Ok(path);
        }
    }
    anyhow::bail!("{} holds no LLVM library", folder.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn llvm_major_is_read_from_the_verbose_version() {
        assert_eq!(
            llvm_major("rustc 1.97.0-nightly\nrelease: 1.97.0\nLLVM version: 22.1.4\n"),
            Some(22)
        );
        assert_eq!(llvm_major("rustc 1.97.0\n"), None);
        assert_eq!(llvm_major("LLVM version: next\n"), None);
    }
}
