//! The scanners that are asked, and where they come from: Debian's unstable suite, and a wheel. All work offline.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::apt::{self, sources};
use crate::workspace::Workspace;
use crate::{files, process};

/// Where a scanner comes from.
#[derive(Debug, Clone, Copy)]
enum Origin {
    /// A package of the unstable suite, unpacked and not installed.
    Debian,
    /// A Python wheel of this name and version with a program in it.
    Wheel(&'static str),
}

/// One scanner.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rival {
    pub(super) name: &'static str,
    origin: Origin,
    /// What it is called with; `{}` is the folder.
    arguments: &'static [&'static str],
}

/// All, each told to verify nothing online and to print what it finds.
pub(super) const RIVALS: [Rival; 3] = [
    Rival {
        name: "kingfisher",
        origin: Origin::Wheel("kingfisher-bin==2.14.0"),
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
        origin: Origin::Debian,
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
        origin: Origin::Debian,
        arguments: &["filesystem", "{}", "--no-verification", "--no-update", "--json"],
    },
];

/// What it prints about the corpus.
pub(super) fn ask(workspace: &Workspace, folder: &Path, corpus: &Path, rival: Rival) -> Result<String> {
    let program = fetch(workspace, folder, rival)?;
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

fn fetch(workspace: &Workspace, folder: &Path, rival: Rival) -> Result<PathBuf> {
    let place = folder.join("programs").join(rival.name);
    let program = match rival.origin {
        Origin::Debian => place.join("usr/bin").join(rival.name),
        Origin::Wheel(_) => place.join("bin").join(rival.name),
    };
    if program.is_file() {
        return Ok(program);
    }
    match rival.origin {
        Origin::Debian => {
            let apt = sources::suites(&["sid"], &workspace.target.join("bench/sid"))?;
            apt.candidate(rival.name)?.context("the suite does not have it")?;
            for deb in apt.download(&[rival.name.to_owned()], &place.join("download"))? {
                apt::unpack(&deb, &place)?;
            }
        }
        Origin::Wheel(wheel) => {
            files::create_folder(&place)?;
            let make = ["-m", "venv", "--clear"];
            process::run_quietly(Command::new("python3").args(make).arg(&place))?;
            let arguments = ["install", "--quiet", "--disable-pip-version-check", wheel];
            process::run_quietly(Command::new(place.join("bin/pip")).args(arguments))?;
        }
    }
    anyhow::ensure!(
        program.is_file(),
        "what was fetched has no program {}",
        rival.name
    );
    Ok(program)
}
