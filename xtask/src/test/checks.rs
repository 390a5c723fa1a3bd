//! The steps that read the code without running it.

use anyhow::{Result, ensure};

use super::outcome::{self, Outcome};
use super::{Context, skips};
use crate::{process, say};

pub(super) fn fmt(context: &Context<'_>) -> Result<Outcome> {
    cargo(context, &["fmt", "--all", "--check"])
}

pub(super) fn clippy(context: &Context<'_>) -> Result<Outcome> {
    cargo(
        context,
        &[
            "clippy",
            "--workspace",
            "--all-targets",
            "--quiet",
            "--",
            "--deny",
            "warnings",
        ],
    )
}

/// Licences, sources and bans; advisories need a database from the network and are left to where one is at hand.
pub(super) fn deny(context: &Context<'_>) -> Result<Outcome> {
    if process::find("cargo-deny").is_none() {
        say::progress("deny: cargo-deny is not installed");
        skips::record(&context.skips, "cargo-deny", "cargo-deny is not installed")?;
        return Ok(Outcome::default());
    }
    cargo(
        context,
        &["deny", "--offline", "check", "bans", "licenses", "sources"],
    )
}

fn cargo(context: &Context<'_>, arguments: &[&str]) -> Result<Outcome> {
    let good = outcome::follow(context.workspace.cargo().args(arguments), &mut |_| ())?;
    ensure!(good, "`cargo {}` found something", arguments.join(" "));
    Ok(Outcome::passed(1))
}
