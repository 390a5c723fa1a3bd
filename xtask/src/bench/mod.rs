//! `cargo xtask bench`: measurements. Figures decide no test; `UPDATE_DOCS=1` puts them into docs/performance.md.

mod accuracy;
mod find;
mod kernel;
mod page;
mod peers;
mod scan;
mod store;
mod tables;
mod targets;

use std::process::ExitCode;

use anyhow::Result;

use crate::vm::kernel::Kernel;
use crate::workspace::Workspace;

/// What `cargo xtask bench` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// What to measure
    #[command(subcommand)]
    what: What,
}

/// A benchmark.
#[derive(Debug, clap::Subcommand)]
enum What {
    /// What the agent and its peers add to opens and reads
    Kernel(KernelOptions),
    /// The scanner and others like it on the same files
    Scan(ScanOptions),
    /// `layerwatch find` in a store of 300 images, 1,500 layers and a million files
    Find,
    /// The agent on a store of 300 images, 1,500 layers and a million files: memory, an idle minute, a pull, attribution
    Store,
    /// How many secrets of the labelled corpus the scanner and others find, and how many false alarms they raise
    Accuracy,
}

/// What `cargo xtask bench scan` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct ScanOptions {
    /// How often everything is measured; the best counts
    #[arg(long, value_name = "COUNT", default_value_t = 3)]
    rounds: usize,
    /// Measure this release build instead of making one
    #[arg(long, value_name = "FILE")]
    agent: Option<std::path::PathBuf>,
    /// Leave out the files of 10 GB and 1 GB and the 3 million files
    #[arg(long)]
    quick: bool,
    /// Measure Layerwatch without the others: its memory, on a machine that others use
    #[arg(long)]
    alone: bool,
}

/// What `cargo xtask bench kernel` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct KernelOptions {
    /// Count instructions in a machine with this kernel instead of taking times on this one (repeatable)
    #[arg(long, value_name = "KERNEL")]
    vm: Vec<Kernel>,
    /// Measure auditd on this machine too: once audit was on, the kernel makes every new process pay until a boot
    #[arg(long)]
    audit: bool,
    /// How often everything is measured; the least counts
    #[arg(long, value_name = "COUNT")]
    rounds: Option<usize>,
}

/// Measures.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    match &options.what {
        What::Kernel(options) => kernel::run(workspace, options)?,
        What::Scan(options) => scan::run(workspace, options)?,
        What::Find => find::run(workspace)?,
        What::Store => store::run(workspace)?,
        What::Accuracy => accuracy::run(workspace)?,
    }
    Ok(ExitCode::SUCCESS)
}
