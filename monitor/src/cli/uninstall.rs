//! `layerwatch uninstall`: nothing of the agent stays on the host but its own files.
//!
//! Invariant: refuses while an agent runs; what the packages installed is theirs to remove.

use anyhow::Result;
use clap::Args;

use super::context::Context;
use super::exit::Done;
use crate::app;

/// What `layerwatch uninstall` takes.
#[derive(Debug, Args)]
pub(super) struct UninstallArguments {
    /// Leave the state directory with the fingerprint key and the caches
    #[arg(long)]
    keep_state: bool,
}

/// Removes what an agent left in the kernel and on the disk.
pub(super) fn uninstall(context: &Context, arguments: &UninstallArguments) -> Result<Done> {
    let config = context.config(&[])?;
    app::uninstall(&config, arguments.keep_state)?;
    Ok(Done::Clean)
}
