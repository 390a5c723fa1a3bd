//! The scanners that are asked, and what with; all work offline. The bench of the scanner's speed fetches them.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::bench::scan::rivals as fetched;
use crate::say;
use crate::workspace::Workspace;

/// How long a scanner may take, in seconds.
const DEADLINE: &str = "300";

/// One scanner.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rival {
    pub(super) name: &'static str,
    /// What it is called with; `{}` is the folder.
    arguments: &'static [&'static str],
    /// What this bench adds to it.
    more: &'static [&'static str],
    /// The status with which it ends if it found something.
    found: i32,
    /// Where in what it says of a finding the file stands (RFC 6901).
    file: &'static str,
}

/// All, each told to verify nothing online and to print what it finds.
pub(super) const RIVALS: [Rival; 3] = [
    Rival {
        name: "kingfisher",
        arguments: &fetched::KINGFISHER_ARGUMENTS,
        more: &["--no-dedup"],
        found: 200,
        file: "/finding/path",
    },
    Rival {
        name: "gitleaks",
        arguments: &fetched::GITLEAKS_ARGUMENTS,
        more: &[],
        found: 0,
        file: "/File",
    },
    Rival {
        name: "trufflehog",
        arguments: &fetched::TRUFFLEHOG_ARGUMENTS,
        // It tries passwords on each encrypted key, for minutes; the other files do not wait for these.
        more: &["--concurrency", "64"],
        found: 0,
        file: "/SourceMetadata/Data/Filesystem/file",
    },
];

/// The files of the corpus in which it finds something.
pub(super) fn ask(workspace: &Workspace, corpus: &Path, rival: Rival) -> Result<Vec<String>> {
    // Shared with the bench of the scanner's speed.
    let folder = workspace.target.join("bench/scan");
    let program = match rival.name {
        "kingfisher" => fetched::kingfisher(&folder)?,
        debian => fetched::debian(&folder, debian)?,
    };
    let mut command = Command::new("timeout");
    command.args(["--signal=KILL", DEADLINE]).arg(&program);
    for argument in rival.arguments.iter().chain(rival.more) {
        let argument = if *argument == "{}" {
            corpus.as_os_str()
        } else {
            OsStr::new(argument)
        };
        command.arg(argument);
    }
    let output = command
        .output()
        .with_context(|| format!("cannot start {}", program.display()))?;
    match output.status.code() {
        Some(code) if code == rival.found => {}
        // `timeout` ends by its own signal.
        None | Some(137) => say::progress(&format!(
            "bench: {} was ended after {DEADLINE} seconds; what it had said counts",
            rival.name
        )),
        Some(code) => anyhow::bail!(
            "it ended with {code}: {}",
            String::from_utf8_lossy(&output.stderr)
        ),
    }
    files(&output.stdout, rival.file)
}

/// The text at `pointer` in each object of some JSON, which comes in lines or as one array; other lines have none.
fn files(json: &[u8], pointer: &str) -> Result<Vec<String>> {
    let mut files = Vec::new();
    for value in serde_json::Deserializer::from_slice(json).into_iter::<Value>() {
        let value = match value {
            // It was ended in the middle of a line.
            Err(error) if error.is_eof() => break,
            value => value.context("it printed no JSON")?,
        };
        let objects = value
            .as_array()
            .map_or(std::slice::from_ref(&value), Vec::as_slice);
        let named = objects
            .iter()
            .filter_map(|object| object.pointer(pointer)?.as_str());
        files.extend(named.map(str::to_owned));
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_from_lines_and_arrays() {
        for (json, pointer) in [
            (
                "{\"audit\": {\"path\": \"c\"}}\n{\"finding\": {\"path\": \"a\"}}\n",
                "/finding/path",
            ),
            ("[{\"File\": \"a\"}, {\"Other\": 1}]", "/File"),
        ] {
            assert_eq!(files(json.as_bytes(), pointer).unwrap(), ["a"], "{json}");
        }
        assert!(files(b"what", "/File").is_err());
    }
}
