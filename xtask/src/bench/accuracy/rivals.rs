//! The scanners that are asked, and what with; all work offline. The bench of the scanner's speed fetches them.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::bench::scan::rivals as fetched;
use crate::workspace::Workspace;

/// One scanner.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rival {
    pub(super) name: &'static str,
    /// What it is called with; `{}` is the folder.
    arguments: &'static [&'static str],
}

/// All, each told to verify nothing online and to print what it finds.
pub(super) const RIVALS: [Rival; 3] = [
    Rival {
        name: "kingfisher",
        arguments: &[
            "scan",
            "{}",
            "--no-validate",
            "--no-update-check",
            "--git-history",
            "none",
            "--format",
            "jsonl",
        ],
    },
    Rival {
        name: "gitleaks",
        arguments: &[
            "dir",
            "{}",
            "--no-banner",
            "--exit-code",
            "0",
            "--report-format",
            "json",
            "--report-path",
            "-",
        ],
    },
    Rival {
        name: "trufflehog",
        arguments: &["filesystem", "{}", "--no-verification", "--no-update", "--json"],
    },
];

/// What it prints about the corpus.
pub(super) fn ask(workspace: &Workspace, corpus: &Path, rival: Rival) -> Result<String> {
    // Shared with the bench of the scanner's speed.
    let folder = workspace.target.join("bench/scan");
    let program = match rival.name {
        "kingfisher" => fetched::kingfisher(&folder)?,
        debian => fetched::debian(&folder, debian)?,
    };
    let mut command = Command::new(&program);
    for argument in rival.arguments {
        let argument = if *argument == "{}" {
            corpus.as_os_str()
        } else {
            OsStr::new(argument)
        };
        command.arg(argument);
    }
    // Scanners say by their status whether they found something.
    let output = command
        .output()
        .with_context(|| format!("cannot start {}", program.display()))?;
    let code = output.status.code().context("it was ended by a signal")?;
    anyhow::ensure!(
        code < 126 && !output.stdout.is_empty(),
        "it ended with {code} and said nothing"
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
