//! `cargo xtask bench`: figures, side by side in one run. They decide no test.

mod kernel;
mod scan;

use std::process::ExitCode;

use anyhow::Result;

use crate::workspace::Workspace;

/// What `cargo xtask bench` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// What to measure
    #[arg(value_enum)]
    what: What,
    /// How often each is measured; the best counts
    #[arg(long, default_value_t = 3)]
    rounds: usize,
}

/// A benchmark.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum What {
    /// Added time per open and close
    Kernel,
    /// The scanner and others like it on the same files
    Scan,
}

/// Measures.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    match options.what {
        What::Kernel => kernel::run(workspace),
        What::Scan => scan::run(workspace, options.rounds),
    }
}
