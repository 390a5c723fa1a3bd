//! The command line: one file per verb.
//!
//! Invariant: data goes to stdout, everything else to stderr; a verb's outcome is an exit status of the documented set.
//! Called by `main`.

mod exit;
mod run;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Watches who reads container image layers on this host, and what is in them.
#[derive(Debug, Parser)]
#[command(
    name = "layerwatch",
    version,
    arg_required_else_help = true,
    max_term_width = 100
)]
struct Arguments {
    /// The configuration file [default: /etc/layerwatch/config.toml, if it exists]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run the agent
    Run(run::RunArguments),
    /// Run the agent and record all that comes in, for `layerwatch replay`
    Record(run::RecordArguments),
}

/// Does what the arguments ask for.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let config = arguments.config.as_deref();
    let outcome = match &arguments.verb {
        Verb::Run(verb) => run::run(config, verb),
        Verb::Record(verb) => run::record(config, verb),
    };
    exit::code(outcome)
}
