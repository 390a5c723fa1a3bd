//! All that a scan found, in each format.
//!
//! Invariant: whether the scan came to its end stands in every format and on stderr; what was not scanned is counted.
//! Printed by `scan`.

use anyhow::Result;
use clap::ValueEnum;
use serde::Serialize;

use super::super::output::{Format, Item, Output, OutputArguments, note};
use super::FindingRow;
use super::gather::{Gathered, TargetRow};
use super::sarif;
use crate::catalog::Problem;
use crate::model::SCHEMA_VERSION;

/// How findings are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(super) enum ScanFormat {
    /// For people.
    #[default]
    Table,
    /// One JSON object.
    Json,
    /// One JSON object per line and finding, and one about the scan at the end.
    Jsonl,
    /// SARIF 2.1.0, for code hosts and audit programs.
    Sarif,
}

/// See the module.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) findings: Vec<FindingRow>,
    pub(super) targets: Vec<TargetRow>,
    pub(super) problems: Vec<Problem>,
    /// False when the scan was interrupted or something could not be scanned to its end.
    pub(super) complete: bool,
    pub(super) interrupted: bool,
}

/// What `jsonl` says at its end.
#[derive(Serialize)]
struct End<'a> {
    findings: usize,
    targets: &'a [TargetRow],
    complete: bool,
    interrupted: bool,
}

impl Report {
    /// The findings worst first, then by path.
    pub(super) fn of(gathered: Gathered) -> Self {
        let mut findings = gathered.findings;
        findings.sort_by(|a, b| {
            b.finding
                .severity
                .cmp(&a.finding.severity)
                .then_with(|| a.path.cmp(&b.path))
                .then_with(|| a.member.cmp(&b.member))
                .then_with(|| a.line.cmp(&b.line))
        });
        let complete = !gathered.interrupted
            && !gathered.failed
            && gathered.targets.iter().all(|target| target.complete);
        Self {
            findings,
            targets: gathered.targets,
            problems: gathered.problems,
            complete,
            interrupted: gathered.interrupted,
        }
    }

    /// Data to stdout, everything else to stderr.
    pub(super) fn print(&self, format: ScanFormat) -> Result<()> {
        let shape = match format {
            ScanFormat::Table => Format::Table,
            ScanFormat::Json | ScanFormat::Sarif => Format::Json,
            ScanFormat::Jsonl => Format::Jsonl,
        };
        let mut output = Output::new(OutputArguments { format: shape });
        match format {
            ScanFormat::Table => {
                let open = self.findings.iter().filter(|row| !row.accepted);
                output.table(FindingRow::COLUMNS, open.flat_map(Item::rows).collect())?;
            }
            ScanFormat::Json => output.single(FindingRow::LIST, self, |_| Ok(()))?,
            ScanFormat::Jsonl => {
                for row in &self.findings {
                    output.object(FindingRow::KIND, row)?;
                }
                for problem in &self.problems {
                    output.object("problem", problem)?;
                }
                output.object("scan", &self.end())?;
            }
            ScanFormat::Sarif => output.json_line(&sarif::log(self))?,
        }
        output.flush()?;
        self.tell();
        Ok(())
    }

    fn end(&self) -> End<'_> {
        End {
            findings: self.findings.len(),
            targets: &self.targets,
            complete: self.complete,
            interrupted: self.interrupted,
        }
    }

    fn tell(&self) {
        for target in &self.targets {
            for problem in &target.problems {
                note(&format!(
                    "layerwatch: warning: {}: {}",
                    problem.path,
                    problem.kind.as_str()
                ));
            }
            let listed = u64::try_from(target.problems.len()).unwrap_or(u64::MAX);
            if let Some(more) = target.problems_total.checked_sub(listed).filter(|more| *more > 0) {
                note(&format!("layerwatch: warning: {more} more like these"));
            }
        }
        let accepted = self.findings.iter().filter(|row| row.accepted).count();
        if accepted > 0 {
            note(&format!("layerwatch: {accepted} findings are in the baseline"));
        }
        if self.interrupted {
            note("layerwatch: interrupted: this is what was found so far");
        } else if !self.complete {
            note("layerwatch: not everything could be scanned: this is what was found");
        }
    }
}

/// The version of the JSON, for formats that have a place of their own for it.
pub(super) const VERSION: u32 = SCHEMA_VERSION;
