//! `layerwatch run` and `layerwatch record`: the agent.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use tracing_subscriber::EnvFilter;

use super::exit::Done;
use crate::app::{self, RunOptions};
use crate::config::{self, Config, FlagOverrides, LogFormat};

/// Flags of `run`.
#[derive(Debug, Args)]
pub(super) struct RunArguments {
    /// Set a key of the configuration, such as --set web.listen=127.0.0.1:9880; may be given several times
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// Also write accesses that raise no alert
    #[arg(long)]
    verbose: bool,
    /// Stop after this many seconds
    #[arg(long, value_name = "SECONDS")]
    stop_after: Option<u64>,
    /// Detach the open hook after the self-check, so that a test can show that it fails
    #[arg(long, hide = true)]
    test_detach_open_hook: bool,
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
pub(super) fn run(config: Option<&Path>, arguments: &RunArguments) -> Result<Done> {
    agent(config, arguments, None)
}

/// Runs the agent and records.
pub(super) fn record(config: Option<&Path>, arguments: &RecordArguments) -> Result<Done> {
    agent(config, &arguments.run, Some(arguments.output.clone()))
}

fn agent(path: Option<&Path>, arguments: &RunArguments, record: Option<PathBuf>) -> Result<Done> {
    let config = load(path, &arguments.settings, arguments.verbose)?;
    log(&config);
    let options = RunOptions {
        record,
        stop_after: arguments.stop_after.map(Duration::from_secs),
        detach_open_hook: arguments.test_detach_open_hook,
    };
    let started = app::start(&config)?;
    app::run(&config, &options, started)?;
    Ok(Done::Clean)
}

/// The configuration from flags, environment and file.
pub(super) fn load(path: Option<&Path>, settings: &[String], verbose: bool) -> Result<Config> {
    let mut flags = FlagOverrides::default();
    for setting in settings {
        let (key, value) = setting
            .split_once('=')
            .with_context(|| format!("--set {setting}: KEY=VALUE expected"))?;
        flags.set(key, value);
    }
    if verbose {
        flags.set("sinks.log.verbose", "true");
    }
    let environment: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    Ok(config::load(path, &environment, &flags)?)
}

/// Starts the agent's own log, on stderr.
fn log(config: &Config) {
    // At debug the libraries would drown the agent.
    let filter = EnvFilter::new(format!(
        "{},aya=info,aya_obj=info,hyper=info,reqwest=info",
        config.log.level
    ));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let started = match config.log.format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
    if let Err(error) = started {
        tracing::debug!(error, "the log was started before");
    }
}
