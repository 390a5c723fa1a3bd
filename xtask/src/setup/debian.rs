//! Debian's way: the compiler Debian builds for its browsers, and the `core` for BPF that comes with it.
//!
//! The compiler's packages conflict with rustup's, so they are unpacked into a private folder and never installed.
//! The LLVM the linker needs is an ordinary package and is installed. Which versions fit together is read from
//! the packages: the standard library names the LLVM it was built with.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use super::{Toolchain, linker, stamp};
use crate::apt::{self, Apt};
use crate::workspace::{Workspace, cargo_program};
use crate::{files, process, say};

const COMPILER: &str = "rustc-web";
const LIBRARY: &str = "libstd-rust-web-dev";
const LIBRARY_FOR_BPF: &str = "libstd-rust-web-dev-bpf";

/// Fetches the compiler and builds the linker for its LLVM.
pub(super) fn fetch(workspace: &Workspace, prefix: &Path) -> Result<Toolchain> {
    ensure!(Apt::exists(), "this is no Debian");
    let packages = packages()?;
    apt::install(&[
        &format!("llvm-{}-dev", packages.llvm),
        &format!("libpolly-{}-dev", packages.llvm),
        "zlib1g-dev",
        "libzstd-dev",
        "libxml2-dev",
        "g++",
    ])?;
    let root = prefix.join("debian");
    files::empty_folder(&root)?;
    say::progress(&format!("setup: unpacking {}", packages.names.join(" ")));
    for deb in Apt::system().download(&packages.names, &prefix.join("download"))? {
        apt::unpack(&deb, &root)?;
    }
    let llvm = Path::new("/usr/lib").join(format!("llvm-{}", packages.llvm));
    stamp::proved(Toolchain {
        way: format!("Debian's {COMPILER} with its core for BPF"),
        rustc: root.join("usr/bin/rustc"),
        cargo: cargo_program(),
        libraries: Some(library_folder(&root)?),
        build_core: false,
        linker: linker::build(workspace, prefix, packages.llvm, &llvm)?,
        versions: String::new(),
    })
}

/// The packages to unpack, and the major version of their LLVM.
struct Packages {
    names: Vec<String>,
    llvm: u32,
}

fn packages() -> Result<Packages> {
    if Apt::system().candidate(LIBRARY_FOR_BPF)?.is_none() {
        apt::update_system()?;
    }
    let missing = || format!("apt knows no {LIBRARY_FOR_BPF}");
    let version = Apt::system().candidate(LIBRARY_FOR_BPF)?.with_context(missing)?;
    for package in [COMPILER, LIBRARY] {
        let other = Apt::system()
            .candidate(package)?
            .with_context(|| format!("apt knows no {package}"))?;
        ensure!(
            other == version,
            "{package} has version {other}, {LIBRARY_FOR_BPF} has {version}"
        );
    }
    let needed = Apt::system().dependencies(LIBRARY)?;
    let runtime = needed
        .into_iter()
        .find(|name| name.starts_with("libstd-rust-web-"));
    let runtime = runtime.with_context(|| format!("{LIBRARY} names no runtime library"))?;
    let needed = Apt::system().dependencies(&runtime)?;
    let llvm = needed
        .iter()
        .find_map(|name| name.strip_prefix("libllvm")?.parse().ok());
    let llvm = llvm.with_context(|| format!("{runtime} names no LLVM"))?;
    let names = [COMPILER, LIBRARY, LIBRARY_FOR_BPF]
        .map(str::to_owned)
        .into_iter()
        .chain([runtime])
        .collect();
    Ok(Packages { names, llvm })
}

/// Debian keeps libraries in a folder named for the machine: the one that holds the compiler's driver.
fn library_folder(root: &Path) -> Result<PathBuf> {
    let printed = process::output(std::process::Command::new("find").arg(root).args([
        "-name",
        "librustc_driver*.so",
        "-printf",
        "%h\\n",
    ]))?;
    printed
        .lines()
        .next()
        .map(PathBuf::from)
        .context("the packages hold no compiler library")
}
