//! Developer commands: `cargo xtask <verb>`, one file (or folder) per verb.
//!
//! Everything a verb produces lies under Cargo's target folder; nothing else on the machine changes except
//! Debian packages, which are installed only when they are missing.

mod apt;
mod bare;
mod bench;
mod build;
mod demo;
mod files;
mod fuzz;
mod process;
mod run;
mod say;
mod setup;
mod test;
mod tidy;
mod vm;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::workspace::Workspace;

#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    about = "Build, run and test Layerwatch"
)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Get the toolchain that builds the kernel programs; costs seconds when it is there already
    Setup,
    /// Build the kernel programs, then the agent with them inside
    Build(build::Options),
    /// Run the agent on this machine's container stores; without one, the demo
    Run(run::Options),
    /// Show the whole way, from a pull to an alert, on a store of its own
    Demo,
    /// Measure, side by side in one run; decides no test
    Bench(bench::Options),
    /// Put changing inputs to what is read from strangers (libFuzzer)
    Fuzz(fuzz::Options),
    /// Run a command in a machine with another kernel
    Vm(vm::Options),
    /// Check and test everything; the last line counts the tests
    Test(test::Options),
    /// Show that the two commands of README.md work on a bare Debian with rustup
    Bare(bare::Options),
    /// Check the rules of the house that no compiler checks
    Tidy,
}

fn main() -> ExitCode {
    match dispatch(Arguments::parse().verb) {
        Ok(code) => code,
        Err(error) => {
            say::progress(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn dispatch(verb: Verb) -> Result<ExitCode> {
    let workspace = Workspace::locate()?;
    match verb {
        Verb::Setup => setup::run(&workspace).map(|_| ExitCode::SUCCESS),
        Verb::Build(options) => build::run(&workspace, &options).map(|()| ExitCode::SUCCESS),
        Verb::Bare(options) => bare::run(&workspace, &options).map(|()| ExitCode::SUCCESS),
        Verb::Tidy => tidy::run(&workspace).map(|()| ExitCode::SUCCESS),
        Verb::Test(options) => test::run(&workspace, &options),
        Verb::Run(options) => run::run(&workspace, &options),
        Verb::Demo => demo::run(&workspace),
        Verb::Bench(options) => bench::run(&workspace, &options),
        Verb::Fuzz(options) => fuzz::run(&workspace, &options).map(|()| ExitCode::SUCCESS),
        Verb::Vm(options) => vm::run(&workspace, &options),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn every_verb_takes_its_arguments() {
        // Clap looks at a verb's arguments only when the verb is called: this looks at all of them.
        Arguments::command().debug_assert();
        let check = |line: &str, expected: Option<&str>| {
            let parsed = Arguments::try_parse_from(line.split(' ')).map(|arguments| format!("{arguments:?}"));
            match (parsed, expected) {
                (Ok(parsed), Some(expected)) => {
                    assert_eq!(parsed, format!("Arguments {{ verb: {expected} }}"));
                }
                (Err(_), None) => (),
                (parsed, _) => panic!("{line}: {parsed:?}"),
            }
        };
        check("xtask setup", Some("Setup"));
        check("xtask build --release", Some("Build(Options { release: true })"));
        check(
            "xtask run",
            Some("Run(Options { build: Options { release: false }, arguments: [] })"),
        );
        check(
            "xtask run --release -- --verbose",
            Some("Run(Options { build: Options { release: true }, arguments: [\"--verbose\"] })"),
        );
        check("xtask demo", Some("Demo"));
        check(
            "xtask test",
            Some("Test(Options { full: false, step: None, filter: None })"),
        );
        check(
            "xtask test --full ways",
            Some("Test(Options { full: true, step: None, filter: Some(\"ways\") })"),
        );
        check(
            "xtask bare -- true",
            Some("Bare(Options { keep: false, line: [\"true\"] })"),
        );
        check(
            "xtask fuzz --seconds 5 layer",
            Some("Fuzz(Options { seconds: 5, targets: [\"layer\"] })"),
        );
        check("xtask tidy", Some("Tidy"));
        check("xtask vm --kernel 6.12", None);
        check("xtask", None);
    }
}
