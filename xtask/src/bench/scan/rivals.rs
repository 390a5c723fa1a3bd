//! The programs that are measured, and how each is called: offline, without validation, without updates.
//!
//! gitleaks and trufflehog are Debian's (sid, unpacked), kingfisher is the wheel that its makers publish, ripgrep is
//! Debian's. What cannot be had is named and left out.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::apt::{self, sources};
use crate::workspace::Workspace;
use crate::{files, process, say};

/// The names in the tables.
pub(super) const LAYERWATCH: &str = "layerwatch";
pub(super) const KINGFISHER: &str = "kingfisher";
pub(super) const GITLEAKS: &str = "gitleaks";
const TRUFFLEHOG: &str = "trufflehog";
/// What each is called with; the corpus is put in place of `{}`. No look-up in the network, no history.
pub(in crate::bench) const KINGFISHER_ARGUMENTS: [&str; 8] = [
    "scan",
    "{}",
    "--no-validate",
    "--no-update-check",
    "--git-history",
    "none",
    "--format",
    "jsonl",
];
pub(in crate::bench) const GITLEAKS_ARGUMENTS: [&str; 9] = [
    "dir",
    "{}",
    "--no-banner",
    "--exit-code",
    "0",
    "--report-format",
    "json",
    // Not the null device: as root it would replace that by a file.
    "--report-path",
    "-",
];
pub(in crate::bench) const TRUFFLEHOG_ARGUMENTS: [&str; 5] =
    ["filesystem", "{}", "--no-verification", "--no-update", "--json"];
const WHEEL: &str = "kingfisher-bin==2.14.0";
const RULES: &str = "monitor/src/scan/rules/builtin";

/// One program with its arguments; the corpus is put in place of `{}`.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) name: &'static str,
    line: Vec<OsString>,
    /// How it ends when all is well: some say so that they found something.
    pub(super) good: &'static [i32],
}

impl Program {
    fn new(name: &'static str, program: &Path, arguments: &[&str], good: &'static [i32]) -> Self {
        let arguments = arguments.iter().map(OsString::from);
        Self {
            name,
            good,
            line: std::iter::once(program.as_os_str().to_owned())
                .chain(arguments)
                .collect(),
        }
    }

    /// The command on one corpus.
    pub(super) fn command(&self, corpus: &Path) -> Command {
        let mut line = self.line.iter();
        let mut command = Command::new(line.next().cloned().unwrap_or_default());
        for argument in line {
            if argument == "{}" {
                command.arg(corpus);
            } else {
                command.arg(argument);
            }
        }
        command
    }
}

/// Layerwatch; its state lies in the bench's own folder.
pub(super) fn own(folder: &Path, agent: &Path) -> Result<Program> {
    let state = format!("state_directory={}", folder.join("state").display());
    files::create_folder(&folder.join("state"))?;
    let scan = ["--set", &state, "scan", "--quiet", "-o", "jsonl", "{}"];
    Ok(Program::new(LAYERWATCH, agent, &scan, &[0]))
}

/// All that can be had, Layerwatch first.
pub(super) fn all(workspace: &Workspace, folder: &Path, agent: &Path) -> Result<Vec<Program>> {
    let mut programs = vec![own(folder, agent)?];
    let had = |name: &str, found: Result<PathBuf>| match found {
        Ok(program) => Some(program),
        Err(error) => {
            say::progress(&format!("bench: {name} is left out: {error:#}"));
            None
        }
    };
    for (name, found, arguments, good) in [
        (
            KINGFISHER,
            kingfisher(folder),
            &KINGFISHER_ARGUMENTS[..],
            &[0, 200, 205][..],
        ),
        (GITLEAKS, debian(folder, GITLEAKS), &GITLEAKS_ARGUMENTS, &[0]),
        (
            TRUFFLEHOG,
            debian(folder, TRUFFLEHOG),
            &TRUFFLEHOG_ARGUMENTS,
            &[0],
        ),
    ] {
        if let Some(program) = had(name, found) {
            programs.push(Program::new(name, &program, arguments, good));
        }
    }
    let literals = folder.join("literals");
    files::write(&literals, literals_of(workspace)?.as_bytes())?;
    let literals = literals
        .to_str()
        .context("the target folder's name is no text")?
        .to_owned();
    if let Some(program) = had("ripgrep", ripgrep(folder)) {
        let arguments = [
            "-a",
            "-c",
            "-i",
            "-F",
            "--no-ignore",
            "--hidden",
            "-f",
            &literals,
            "{}",
        ];
        programs.push(Program::new(
            "ripgrep, same literals",
            &program,
            &arguments,
            &[0, 1],
        ));
    }
    let everything = "find \"$1\" -type f -print0 | xargs -0 cat";
    programs.push(Program::new(
        "cat",
        Path::new("/bin/sh"),
        &["-c", everything, "sh", "{}"],
        &[0],
    ));
    Ok(programs)
}

/// A program of sid, unpacked; sid's programs in Go need nothing of the system's.
pub(in crate::bench) fn debian(folder: &Path, package: &str) -> Result<PathBuf> {
    let place = folder.join("programs").join(package);
    let program = place.join("usr/bin").join(package);
    if !program.exists() {
        let apt = sources::suites(&["sid"], &folder.join("sid"))?;
        apt.candidate(package)?.context("sid does not have it")?;
        for deb in apt.download(&[package.to_owned()], &place.join("download"))? {
            apt::unpack(&deb, &place)?;
        }
    }
    process::output(Command::new(&program).arg("--version"))?;
    Ok(program)
}

fn ripgrep(folder: &Path) -> Result<PathBuf> {
    let place = folder.join("programs/ripgrep");
    let program = place.join("usr/bin/rg");
    if !program.exists() {
        for deb in apt::Apt::system().download(&["ripgrep".to_owned()], &place.join("download"))? {
            apt::unpack(&deb, &place)?;
        }
    }
    Ok(program)
}

pub(in crate::bench) fn kingfisher(folder: &Path) -> Result<PathBuf> {
    let place = folder.join("programs/kingfisher");
    let found = || {
        let bin = place.join("bin/kingfisher");
        bin.is_file().then_some(bin)
    };
    if let Some(program) = found() {
        return Ok(program);
    }
    process::run_quietly(
        Command::new("python3")
            .args(["-m", "venv", "--clear"])
            .arg(&place),
    )?;
    let pip = Command::new(place.join("bin/pip"))
        .args(["install", "--quiet", "--disable-pip-version-check", WHEEL])
        .status();
    if !pip.is_ok_and(|status| status.success()) {
        process::run_quietly(Command::new(place.join("bin/pip")).args([
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "kingfisher-bin",
        ]))?;
    }
    found().context("the wheel has no program")
}

/// The literals of all rules, one a line.
fn literals_of(workspace: &Workspace) -> Result<String> {
    let folder = workspace.root.join(RULES);
    let tables = std::fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let mut literals = BTreeSet::new();
    for entry in tables {
        let table: toml::Table = files::read_text(&entry?.path())?.parse()?;
        let rules = table.get("rule").and_then(toml::Value::as_array);
        let of_rules = rules.context("a table without rules")?.iter();
        let of_rules = of_rules
            .filter_map(|rule| rule.get("literals")?.as_array())
            .flatten();
        literals.extend(of_rules.filter_map(toml::Value::as_str).map(str::to_owned));
    }
    let lines: Vec<String> = literals
        .into_iter()
        .filter(|literal| !literal.contains('\n'))
        .collect();
    Ok(lines.join("\n") + "\n")
}
