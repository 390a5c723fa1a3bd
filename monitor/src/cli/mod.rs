//! The command line: one file per verb.
//!
//! Invariant: data goes to stdout, everything else to stderr; a verb's outcome is an exit status of the documented set.
//! Called by `main`.

mod context;
mod doctor;
mod exit;
mod explain;
mod exposure;
mod find;
mod images;
mod layers;
mod manual;
mod output;
mod replay;
mod rules;
mod run;
mod running;
mod scan;
mod settings;
mod stores;
mod tone;
mod uninstall;
mod version;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use context::Context;
use output::OutputArguments;

const AFTER: &str = "Exit status: 0 nothing found or accepted, 1 runtime error, 2 usage, 3 found at or above --fail-on,\n\
                     4 configuration or policy invalid, 5 the kernel or the privileges are not what the agent needs.\n\n\
                     Examples:\n  layerwatch doctor\n  layerwatch images -o json\n  layerwatch scan --all --fail-on high\n  \
                     layerwatch explain /var/lib/containers/storage/overlay/ID/diff/etc/shadow";

/// Watches who reads container image layers on this host, and what is in them.
#[derive(Debug, Parser)]
#[command(name = "layerwatch", version, arg_required_else_help = true, max_term_width = 100, after_help = AFTER)]
struct Arguments {
    /// The configuration file [default: /etc/layerwatch/config.toml, if it exists]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Set a key of the configuration, such as --set web.listen=127.0.0.1:9880; may be given several times
    #[arg(long = "set", global = true, value_name = "KEY=VALUE")]
    settings: Vec<String>,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run the agent
    Run(run::RunArguments),
    /// Run the agent and record all that comes in, for `layerwatch replay`
    Record(run::RecordArguments),
    /// Run a recording through the event plane: the same alerts, without a kernel and without privileges
    Replay(replay::ReplayArguments),
    /// What container stores this host has
    Stores(OutputArguments),
    /// What images are cached, who can read them, and whether they are to be trusted
    Images(OutputArguments),
    /// What layers are cached, in which images, and who can read them
    Layers(OutputArguments),
    /// Look for secrets in directories, images or all stores
    Scan(scan::ScanArguments),
    /// What the scanner looks for: each rule, what it means and what to do
    Rules(rules::RulesArguments),
    /// Who can read what, by which component of the way, and the command that closes it
    Exposure(exposure::ExposureArguments),
    /// What a path is: store, layer, images, findings, who can read it, trust
    Explain(explain::ExplainArguments),
    /// Where a file name lies in the cache: layer, position, images, shadowed or not
    Find(find::FindArguments),
    /// Whether the agent can work here, and what to do if not
    Doctor(doctor::DoctorArguments),
    /// Check the configuration
    CheckConfig,
    /// Show the configuration
    #[command(subcommand)]
    Config(settings::ConfigVerb),
    /// Remove what a stopped agent left in the kernel, and its state
    Uninstall(uninstall::UninstallArguments),
    /// The manual pages, made from this help
    Man(manual::ManArguments),
    /// A completion script for a shell
    Completion(manual::CompletionArguments),
    /// The version, and what is built in
    Version(OutputArguments),
}

/// Does what the arguments ask for.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let context = Context::new(arguments.config, arguments.settings);
    let outcome = match arguments.verb {
        Verb::Run(verb) => run::run(&context, &verb),
        Verb::Record(verb) => run::record(&context, &verb),
        Verb::Replay(verb) => replay::replay(&verb),
        Verb::Stores(output) => stores::stores(&context, output),
        Verb::Images(output) => images::images(&context, output),
        Verb::Layers(output) => layers::layers(&context, output),
        Verb::Scan(verb) => scan::scan(&context, &verb),
        Verb::Rules(verb) => rules::rules(&context, &verb),
        Verb::Exposure(verb) => exposure::exposure(&context, &verb),
        Verb::Explain(verb) => explain::explain(&context, &verb),
        Verb::Find(verb) => find::find(&context, &verb),
        Verb::Doctor(verb) => doctor::doctor(&context, &verb),
        Verb::CheckConfig => settings::check(&context),
        Verb::Config(settings::ConfigVerb::Show(output)) => settings::show(&context, output),
        Verb::Uninstall(verb) => uninstall::uninstall(&context, &verb),
        Verb::Man(verb) => manual::man(&verb),
        Verb::Completion(verb) => manual::completion(&verb),
        Verb::Version(output) => version::version(output),
    };
    exit::code(outcome)
}
