//! `cargo xtask test`: everything that must hold, as steps, with a summary.
//!
//! A step that fails does not stop the others, save for the toolchain, without which nothing can be built. A test that
//! could not run must be in the reviewed list of skips; any other skip fails the run. The last line of the output is
//! `N passed, N failed, N skipped`.

mod alpine;
mod checks;
mod coverage;
mod detached;
mod machines;
mod matrix;
mod newer;
mod ordinary;
mod outcome;
mod skips;
mod suites;
pub(crate) mod tools;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;

use self::outcome::Outcome;
use self::skips::Skip;
use crate::workspace::Workspace;
use crate::{bare, build, files, say, setup, tidy};

/// What `cargo xtask test` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// All kernels of the matrix, and what else takes long
    #[arg(long)]
    pub(crate) full: bool,
    /// Only the steps whose name contains this
    #[arg(long)]
    pub(crate) step: Option<String>,
    /// Only tests whose name contains this, and no checks
    pub(crate) filter: Option<String>,
}

/// What every step is given.
#[derive(Debug)]
pub(crate) struct Context<'a> {
    workspace: &'a Workspace,
    options: &'a Options,
    /// Where tests record that they could not run.
    skips: PathBuf,
}

type Step = fn(&Context<'_>) -> Result<Outcome>;

/// The checks of the text, which a filter leaves out.
const CHECKS: [(&str, Step); 4] = [
    ("fmt", checks::fmt),
    ("clippy", checks::clippy),
    ("tidy", check_tidy),
    ("deny", checks::deny),
];

/// The tests.
const TESTS: [(&str, Step); 6] = [
    ("unit tests", suites::unit),
    ("integration tests", suites::integration),
    ("kernel tests here", suites::kernel_here),
    ("kernel tests in other kernels", matrix::run),
    ("coverage page", coverage::run),
    ("kernel tests with the hooks detached", detached::run),
];

/// What `--full` adds, some twenty minutes.
const FULL: [(&str, Step); 2] = [
    ("ordinary packages", ordinary::run),
    ("both commands on a bare Debian", on_a_bare_system),
];

/// Runs the steps and prints the summary.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    let begun = Instant::now();
    let toolchain = setup::run(workspace)?;
    build::kernel_programs(workspace, &toolchain)?;
    tools::install(workspace)?;
    newer::install(workspace)?;
    let skips = workspace.target.join("test/skips");
    files::write(&skips, b"")?;
    let context = Context {
        workspace,
        options,
        skips,
    };
    coverage::begin(&context)?;
    let mut done = vec![Done {
        name: "setup",
        outcome: Outcome::passed(1),
        took: begun.elapsed(),
    }];
    let checks = CHECKS.iter().filter(|_| options.filter.is_none());
    let full = FULL.iter().filter(|_| options.full && options.filter.is_none());
    let wanted = |name: &str| {
        options
            .step
            .as_ref()
            .is_none_or(|part| name.contains(part.as_str()))
    };
    for (name, step) in checks.chain(&TESTS).chain(full).filter(|(name, _)| wanted(name)) {
        say::progress(&format!("\n== {name}"));
        let begun = Instant::now();
        let outcome = step(&context).unwrap_or_else(|error| {
            say::progress(&format!("{name}: {error:#}"));
            Outcome::failed(1)
        });
        done.push(Done {
            name,
            outcome,
            took: begun.elapsed(),
        });
    }
    let recorded = skips::recorded(&files::read_text(&context.skips)?);
    let reviewed = skips::reviewed(&files::read_text(&workspace.root.join("tests/skips.toml"))?)?;
    Ok(summary(&done, &recorded, &reviewed, begun.elapsed()))
}

fn check_tidy(context: &Context<'_>) -> Result<Outcome> {
    tidy::run(context.workspace).map(|()| Outcome::passed(1))
}

fn on_a_bare_system(context: &Context<'_>) -> Result<Outcome> {
    bare::run(context.workspace, &bare::Options::default()).map(|()| Outcome::passed(1))
}

/// A step that was run.
struct Done {
    name: &'static str,
    outcome: Outcome,
    took: Duration,
}

fn summary(done: &[Done], recorded: &[Skip], reviewed: &[Skip], took: Duration) -> ExitCode {
    say::progress("\n== summary");
    let mut total = Outcome::default();
    for step in done {
        let Outcome { passed, failed } = step.outcome;
        let seconds = step.took.as_secs_f32();
        say::progress(&format!(
            "{:<40} {seconds:>7.1} s  {passed:>4} passed  {failed:>3} failed",
            step.name
        ));
        total.add(step.outcome);
    }
    for skip in recorded {
        let review = reviewed.iter().find(|review| review.test == skip.test);
        total.failed += usize::from(review.is_none());
        let review = review.map_or("NOT IN THE REVIEWED LIST", |review| review.reason.as_str());
        say::progress(&format!("skipped {}: {} ({review})", skip.test, skip.reason));
    }
    say::progress(&format!("in all {} s", took.as_secs()));
    let last = format!(
        "{} passed, {} failed, {} skipped\n",
        total.passed,
        total.failed,
        recorded.len()
    );
    say::output(last.as_bytes());
    if total.failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
