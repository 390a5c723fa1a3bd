//! `layerwatch scan`: secrets in directories, archives and layouts, in images of the stores, or in all that is cached.
//!
//! `gather` and `stores` scan, `row` is one finding, `report` all of it in each format, `sarif` one of them, `baseline` what was
//! accepted before. Invariant: an interrupted or failed scan prints what it found so far, says so, and does not end
//! like a clean one.

mod baseline;
mod gather;
mod report;
mod row;
mod sarif;
mod stores;

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use super::context::{Context, block_on};
use super::exit::Done;
use crate::model::Severity;
use baseline::Baseline;
use report::{Report, ScanFormat};
pub(super) use row::FindingRow;

/// Flags of `scan`.
#[derive(Debug, Args)]
pub(super) struct ScanArguments {
    /// Directories, OCI layouts, docker and OCI archives, layer blobs, other files, or names or ids of cached images
    #[arg(required_unless_present = "all", value_name = "TARGET")]
    targets: Vec<String>,
    /// Every layer and image of every store
    #[arg(long, conflicts_with = "targets")]
    all: bool,
    /// Exit with 3 if something at or above this severity is found
    #[arg(long, value_name = "SEVERITY", value_parser = severity)]
    fail_on: Option<Severity>,
    /// A file with rules of your own; may be given several times
    #[arg(long, value_name = "FILE")]
    rules: Vec<PathBuf>,
    /// Findings that were accepted before; they count for nothing
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// Accept all that is found: write it to the file of --baseline
    #[arg(long, requires = "baseline")]
    write_baseline: bool,
    /// No progress bar
    #[arg(long, short)]
    quiet: bool,
    /// How to print; the JSON keys are a contract, the table is not
    #[arg(
        short = 'o',
        long = "output",
        value_name = "FORMAT",
        value_enum,
        default_value_t
    )]
    format: ScanFormat,
}

fn severity(text: &str) -> Result<Severity, String> {
    Severity::ALL
        .into_iter()
        .find(|severity| severity.as_str() == text)
        .ok_or_else(|| "one of info, low, medium, high, critical".to_owned())
}

/// Scans, prints the findings, worst first.
pub(super) fn scan(context: &Context, arguments: &ScanArguments) -> Result<Done> {
    let context = &super::rules::with_own(context, &arguments.rules)?;
    let gathered = block_on(gather::gather(context, arguments))?;
    let mut report = Report::of(gathered);
    if let Some(file) = &arguments.baseline {
        let key = gather::key(context)?;
        if arguments.write_baseline {
            Baseline::of(&key, &report.findings).write(file)?;
        }
        let baseline = Baseline::read(file, &key)?;
        for row in &mut report.findings {
            row.accepted = baseline.accepts(row);
        }
    }
    report.print(arguments.format)?;
    let open = report.findings.iter().filter(|row| !row.accepted);
    let worst = open.map(|row| row.finding.severity).max();
    let failed = arguments
        .fail_on
        .is_some_and(|limit| worst.is_some_and(|worst| worst >= limit));
    Ok(match (failed, report.complete) {
        (true, _) => Done::Found,
        (false, true) => Done::Clean,
        (false, false) => Done::Incomplete,
    })
}
