//! How `scan` ends: its exit status by what was found, asked for, given and refused.

use std::path::Path;

use anyhow::{Context, Result};
use layerwatch_tests::scene::Scene;

use super::{layerwatch, ready};

/// What stands in the scene's folder; a scan of `T` finds a high finding, one of `none` nothing.
fn scene() -> Result<Scene> {
    let scene = Scene::new()?;
    let at = |name: &str| scene.path().join(name);
    for folder in ["state", "T", "none"] {
        std::fs::create_dir(at(folder))?;
    }
    std::fs::write(at("T/.pgpass"), "db:5432:shop:shopper:kV9-made-up-1\n")?;
    std::fs::write(at("table.toml"), "rule = 1\n")?;
    std::fs::write(at("bytes.toml"), b"\xff\xfe")?;
    std::fs::write(at("other.json"), "{}")?;
    std::fs::write(
        at("later.json"),
        r#"{"schema_version": 9, "kind": "baseline", "key": "k", "accepted": []}"#,
    )?;
    layerwatch_tests::run(std::process::Command::new("mkfifo").arg(at("pipe")))?;
    Ok(scene)
}

/// Names in the scene's folder are written with a slash before them.
fn placed(scene: &Path, argument: &str) -> String {
    match argument.strip_prefix('/') {
        Some(name) if !argument.starts_with("/dev/") => scene.join(name).display().to_string(),
        _ => argument.to_owned(),
    }
}

/// Arguments, the status, and what stderr says.
const ROWS: [(&[&str], i32, &str); 22] = [
    (&["/T"], 0, ""),
    (&["/none", "--fail-on", "info"], 0, ""),
    (&["/T", "--fail-on", "critical"], 0, ""),
    (&["/T", "--fail-on", "high"], 3, ""),
    (&["/T", "--fail-on", "info"], 3, ""),
    (&["/none", "/T", "--fail-on", "high"], 3, ""),
    (&["/T", "--fail-on", "worst"], 2, "one of info, low"),
    (
        &["/T", "-o", "xml"],
        2,
        "possible values: table, json, jsonl, sarif",
    ),
    (&["/T", "--write-baseline"], 2, "--baseline <FILE>"),
    (&[], 2, "TARGET"),
    (&["nothing-of-that-name"], 1, "is called nothing-of-that-name"),
    (&["/pipe"], 1, "neither a file nor a directory"),
    (&["/T", "--rules", "/table.toml"], 4, "expected a sequence"),
    (&["/T", "--rules", "/bytes.toml"], 1, "is not UTF-8"),
    (&["/T", "--rules", "/pipe"], 1, "not a regular file"),
    (&["/T", "--rules", "/none"], 1, "not a regular file"),
    (&["/T", "--rules", "/dev/zero"], 1, "not a regular file"),
    (&["/T", "--baseline", "/none.json"], 1, "No such file"),
    (&["/T", "--baseline", "/other.json"], 1, "is no baseline"),
    (&["/T", "--baseline", "/later.json"], 1, "another version"),
    (&["/T", "--baseline", "/pipe"], 1, "not a regular file"),
    (
        &["/T", "--baseline", "/none/x/y", "--write-baseline"],
        1,
        "write ",
    ),
];

#[test]
fn a_scan_ends_with_the_status_of_what_it_met() -> Result<()> {
    if !ready("exit statuses", &["mkfifo"])? {
        return Ok(());
    }
    let scene = scene()?;
    for (arguments, status, said) in ROWS {
        let placed: Vec<String> = arguments
            .iter()
            .map(|argument| placed(scene.path(), argument))
            .collect();
        let all: Vec<&str> = ["scan"]
            .into_iter()
            .chain(placed.iter().map(String::as_str))
            .collect();
        let shown = layerwatch(&scene, &all)?;
        let stderr = String::from_utf8(shown.stderr).context("stderr is text")?;
        assert_eq!(shown.status.code(), Some(status), "{arguments:?}: {stderr}");
        assert!(stderr.contains(said), "{arguments:?}: {stderr}");
        // Whoever reads the data of a scan that failed reads nothing of it.
        assert_eq!(
            shown.stdout.is_empty(),
            matches!(status, 1 | 2 | 4),
            "{arguments:?}"
        );
    }
    Ok(())
}
