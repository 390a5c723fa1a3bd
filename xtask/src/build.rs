//! `cargo xtask build`: the kernel programs, then the agent with them inside.
//!
//! The kernel programs have a target folder of their own, so that building them never evicts the agent's build.
//! Their object ends in `<target>/ebpf/layerwatch-ebpf.o`, where the agent's build script looks for it.

use std::path::PathBuf;

use anyhow::Result;

use crate::setup::{self, Toolchain};
use crate::workspace::Workspace;
use crate::{files, process, say};

/// The target the kernel programs are built for: little-endian BPF, as on every machine the agent runs on.
const TARGET: &str = "bpfel-unknown-none";
const PROFILE: &str = "ebpf";
const NAME: &str = "layerwatch-ebpf";
/// Separates the items of `CARGO_ENCODED_RUSTFLAGS`.
const FLAG_SEPARATOR: &str = "\u{1f}";

/// What `cargo xtask build` takes.
#[derive(Debug, Default, clap::Args)]
// `run` takes these too: clap names a group of arguments for its type, and `Options` would be there twice.
#[group(skip)]
pub(crate) struct Options {
    /// Build the agent as it is shipped
    #[arg(long)]
    pub(crate) release: bool,
}

/// Sets the toolchain up and builds everything.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let toolchain = setup::run(workspace)?;
    kernel_programs(workspace, &toolchain)?;
    let agent = agent(workspace, options)?;
    say::progress(&format!("build: {}", agent.display()));
    Ok(())
}

/// Builds the kernel programs and returns the object the agent embeds.
pub(crate) fn kernel_programs(workspace: &Workspace, toolchain: &Toolchain) -> Result<PathBuf> {
    object(workspace, toolchain, NAME)
}

/// Builds the programs that do nothing, which the agent's are measured against.
pub(crate) fn idle_programs(workspace: &Workspace, toolchain: &Toolchain) -> Result<PathBuf> {
    object(workspace, toolchain, "layerwatch-idle")
}

fn object(workspace: &Workspace, toolchain: &Toolchain, name: &str) -> Result<PathBuf> {
    let folder = workspace.target.join("ebpf-build");
    let mut command = workspace.cargo_at(&toolchain.cargo);
    command
        .args([
            "build",
            "--package",
            NAME,
            "--bin",
            name,
            "--profile",
            PROFILE,
            "--target",
            TARGET,
        ])
        .env("CARGO_TARGET_DIR", &folder)
        .env("CARGO_ENCODED_RUSTFLAGS", flags(toolchain).join(FLAG_SEPARATOR))
        .env("RUSTC", &toolchain.rustc)
        // aya-ebpf uses unstable features of the compiler.
        .env("RUSTC_BOOTSTRAP", "1");
    if toolchain.build_core {
        command.arg("-Zbuild-std=core");
    }
    if let Some(libraries) = &toolchain.libraries {
        command.env("LD_LIBRARY_PATH", libraries);
    }
    process::run(&mut command)?;
    let built = folder.join(TARGET).join(PROFILE).join(name);
    // The agent's build looks at all of its folder, so what is not for it lies elsewhere.
    let place = if name == NAME { "ebpf" } else { "bench" };
    let object = workspace.target.join(place).join(format!("{name}.o"));
    files::write_if_changed(&object, &files::read(&built)?)?;
    say::progress(&format!("build: {}", object.display()));
    Ok(object)
}

/// Builds the agent and returns its executable.
pub(crate) fn agent(workspace: &Workspace, options: &Options) -> Result<PathBuf> {
    let mut command = workspace.cargo();
    command.args(["build", "--package", "layerwatch", "--bin", "layerwatch"]);
    if options.release {
        command.arg("--release");
    }
    process::run(&mut command)?;
    let profile = if options.release { "release" } else { "debug" };
    Ok(workspace.target.join(profile).join("layerwatch"))
}

fn flags(toolchain: &Toolchain) -> Vec<String> {
    vec![
        format!("--cfg=bpf_target_arch=\"{}\"", std::env::consts::ARCH),
        format!("-Clinker={}", toolchain.linker.display()),
        // For core too: the kernel wants a description of every function that is called.
        "-Cdebuginfo=2".into(),
        "-Clink-arg=--btf".into(),
    ]
}
