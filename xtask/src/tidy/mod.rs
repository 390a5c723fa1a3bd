//! `cargo xtask tidy`: the rules of the house that no compiler checks.
//!
//! Every check is a plain function from sources to findings, so that its tests feed it bad samples. A finding names
//! file and line; any finding fails the verb. The figures of the budgets are printed also when all is well.

mod budget;
mod edges;
mod layout;
mod lints;
mod names;
mod places;
mod source;

use std::fmt;
use std::process::Command;

use anyhow::{Result, ensure};

use self::source::Source;
use crate::workspace::Workspace;
use crate::{files, process, say};

/// Something a rule forbids.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    /// Relative to the workspace.
    path: String,
    /// From 1; 0 where the whole file is meant.
    line: usize,
    what: String,
}

impl Finding {
    fn new(source: &Source, line: usize, what: impl Into<String>) -> Self {
        Self {
            path: source.path.clone(),
            line,
            what: what.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}: {}", self.path, self.line, self.what)
    }
}

type Check = fn(&[Source]) -> Vec<Finding>;

const CHECKS: [Check; 11] = [
    edges::between_modules,
    edges::to_crates,
    edges::out_of_pure_modules,
    budget::lines,
    budget::figures,
    layout::opening_comments,
    lints::inheritance,
    lints::exceptions,
    lints::unsafe_code,
    names::of_types,
    places::named,
];

/// Checks all files of the workspace.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let sources = read(workspace)?;
    let mut findings: Vec<_> = CHECKS.iter().flat_map(|check| check(&sources)).collect();
    findings.sort();
    for finding in &findings {
        say::progress(&finding.to_string());
    }
    for figure in budget::measure(&sources) {
        say::progress(&format!("tidy: {figure}"));
    }
    ensure!(
        findings.is_empty(),
        "{} findings in {} files",
        findings.len(),
        sources.len()
    );
    say::progress(&format!("tidy: {} files, nothing found", sources.len()));
    Ok(())
}

/// The text files that git tracks or would track.
fn read(workspace: &Workspace) -> Result<Vec<Source>> {
    let mut command = Command::new("git");
    command.current_dir(&workspace.root).args([
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ]);
    let mut sources = Vec::new();
    for path in process::output(&mut command)?.split_terminator('\0') {
        let full = workspace.root.join(path);
        // A file deleted but not yet committed is listed as well.
        if !full.is_file() {
            continue;
        }
        if let Ok(text) = String::from_utf8(files::read(&full)?) {
            sources.push(Source::new(path, &text));
        }
    }
    Ok(sources)
}
