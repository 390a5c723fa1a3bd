//! Where the workspace and Cargo's target folder are.
//!
//! Both paths are absolute. The target folder follows `CARGO_TARGET_DIR`, as Cargo does.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

/// The workspace a verb works on.
#[derive(Debug)]
pub(crate) struct Workspace {
    /// Folder of the root `Cargo.toml`.
    pub(crate) root: PathBuf,
    /// Cargo's target folder.
    pub(crate) target: PathBuf,
}

impl Workspace {
    /// Finds the workspace from what Cargo tells a program it runs.
    pub(crate) fn locate() -> Result<Self> {
        let package = std::env::var_os("CARGO_MANIFEST_DIR").context("run this as `cargo xtask`")?;
        let root = Path::new(&package)
            .parent()
            .context("the xtask package stands in a workspace")?
            .to_owned();
        let target = match std::env::var_os("CARGO_TARGET_DIR") {
            Some(folder) => std::path::absolute(folder).context("CARGO_TARGET_DIR is not a path")?,
            None => root.join("target"),
        };
        Ok(Self { root, target })
    }

    /// The Cargo that runs this verb, working on this workspace and target folder.
    pub(crate) fn cargo(&self) -> Command {
        self.cargo_at(&cargo_program())
    }

    /// The compiler that the workspace pins.
    pub(crate) fn rustc(&self) -> Command {
        let mut command = Command::new("rustc");
        command.current_dir(&self.root);
        command
    }

    /// Another Cargo, working on this workspace and target folder.
    pub(crate) fn cargo_at(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(&self.root)
            .env("CARGO_TARGET_DIR", &self.target);
        command
    }
}

/// The path of the Cargo that runs this verb.
pub(crate) fn cargo_program() -> PathBuf {
    std::env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from)
}
