//! `layerwatch run` and `layerwatch record`: the agent.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use tracing_subscriber::EnvFilter;

use super::context::Context;
use super::exit::Done;
use crate::app::{self, RunOptions};
use crate::config::{Config, LogFormat};
use crate::kernel::Handicap;

/// Flags of `run`.
#[derive(Debug, Args)]
pub(super) struct RunArguments {
    /// Also write accesses that raise no alert
    #[arg(long)]
    verbose: bool,
    /// Stop after this many seconds
    #[arg(long, value_name = "SECONDS")]
    stop_after: Option<u64>,
    #[command(flatten)]
    tier: TierArgument,
    /// Detach the open hook after the self-check, so that a test can show that it fails
    #[arg(long, hide = true)]
    test_detach_open_hook: bool,
    /// Give the kernel room for so many findings, so that a test can show what is said of the others
    #[arg(long, hide = true, value_name = "COUNT")]
    test_findings_capacity: Option<u32>,
    /// Look for a field of the kernel where another lies, so that a test can show what is made of a record without it
    #[arg(long, hide = true, num_args = 2, value_names = ["FIELD", "OTHER"])]
    test_misread: Vec<String>,
}

/// Which way to look into the kernel; the key `watch.tier`.
#[derive(Debug, Args)]
pub(super) struct TierArgument {
    /// Use only these tiers, such as b or b,d, or any but some, such as !a
    #[arg(long, value_name = "LIST")]
    tier: Option<String>,
}

impl TierArgument {
    /// As a setting, where it was given.
    pub(super) fn setting(&self) -> Option<(&'static str, &str)> {
        Some(("watch.tier", self.tier.as_deref()?))
    }
}

/// Flags of `record`.
#[derive(Debug, Args)]
pub(super) struct RecordArguments {
    /// The new file to record to; it names paths and command lines, so only its owner can read it
    output: PathBuf,
    #[command(flatten)]
    run: RunArguments,
}

/// Runs the agent.
pub(super) fn run(context: &Context, arguments: &RunArguments) -> Result<Done> {
    agent(context, arguments, None)
}

/// Runs the agent and records.
pub(super) fn record(context: &Context, arguments: &RecordArguments) -> Result<Done> {
    agent(context, &arguments.run, Some(arguments.output.clone()))
}

fn agent(context: &Context, arguments: &RunArguments, record: Option<PathBuf>) -> Result<Done> {
    let verbose = arguments.verbose.then_some(("sinks.log.verbose", "true"));
    let settings: Vec<_> = verbose.into_iter().chain(arguments.tier.setting()).collect();
    let config = context.config(&settings)?;
    log(&config);
    let options = RunOptions {
        record,
        stop_after: arguments.stop_after.map(Duration::from_secs),
        detach_open_hook: arguments.test_detach_open_hook,
        handicap: Handicap {
            findings: arguments.test_findings_capacity,
            misread: match &arguments.test_misread[..] {
                [field, other] => Some((field.clone(), other.clone())),
                _ => None,
            },
        },
    };
    let started = app::start(&config, &options)?;
    app::run(&config, &options, started)?;
    Ok(Done::Clean)
}

/// Starts the agent's own log, on stderr.
fn log(config: &Config) {
    // At debug the libraries would drown the agent.
    let filter = EnvFilter::new(format!(
        "{},aya=info,aya_obj=info,hyper=info,reqwest=info",
        config.log.level
    ));
    // Into a file or a pipe, such as the journal's, colours are noise.
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal() && !refused)
        .with_writer(std::io::stderr);
    let started = match config.log.format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
    if let Err(error) = started {
        tracing::debug!(error, "the log was started before");
    }
}
