//! bpf-linker, built from the crates registry against the LLVM of the compiler in use.
//!
//! The linker reads the compiler's bitcode, so its LLVM must be of the same major version.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::workspace::Workspace;
use crate::{process, say};

/// Pinned together with the compiler: an older linker does not understand a newer compiler's debug information.
const VERSION: &str = "0.13.0";

/// Builds the linker into `prefix` and returns its path; `llvm_home` is the folder with LLVM's `lib`.
pub(super) fn build(workspace: &Workspace, prefix: &Path, llvm: u32, llvm_home: &Path) -> Result<PathBuf> {
    say::progress(&format!("setup: building bpf-linker {VERSION} for LLVM {llvm}"));
    let mut command = workspace.cargo();
    command
        .args([
            "install",
            "bpf-linker",
            "--version",
            VERSION,
            "--locked",
            "--force",
            "--no-default-features",
        ])
        .args(["--features", &format!("llvm-{llvm}")])
        .arg("--root")
        .arg(prefix)
        .env("CARGO_TARGET_DIR", prefix.join("linker-build"))
        .env("LLVM_PREFIX", llvm_home)
        .env(format!("LLVM_SYS_{llvm}1_PREFIX"), llvm_home);
    process::run_quietly(&mut command)?;
    // The intermediate files are many times the linker's size and are never needed again.
    std::fs::remove_dir_all(prefix.join("linker-build"))?;
    Ok(prefix.join("bin/bpf-linker"))
}
