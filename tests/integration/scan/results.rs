//! What a scan hands out: SARIF, a baseline, an exit status, and what was found before Ctrl-C.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result};
use layerwatch_tests::scene::KEY;
use layerwatch_tests::wait_until;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::{ENGINES, command, layerwatch, ready, scene};

#[test]
fn findings_go_out_as_sarif_and_into_a_baseline() -> Result<()> {
    if !ready("sarif and baseline", &ENGINES)? {
        return Ok(());
    }
    let scene = scene()?;
    let tree = scene.path().join("tree").display().to_string();
    let baseline = scene.path().join("baseline.json").display().to_string();
    let shown = layerwatch(&scene, &["scan", &tree, "-o", "sarif"])?;
    let sarif: Value = serde_json::from_slice(&shown.stdout)?;
    let run = &sarif["runs"][0];
    let result = &run["results"][0];
    assert_eq!(
        (
            &sarif["version"],
            &run["tool"]["driver"]["name"],
            &run["invocations"][0]["executionSuccessful"]
        ),
        (&json!("2.1.0"), &json!("layerwatch"), &json!(true))
    );
    assert_eq!(
        (
            &result["ruleId"],
            &result["level"],
            &result["locations"][0]["physicalLocation"]
        ),
        (
            &json!("private-key-pem"),
            &json!("error"),
            &json!({"artifactLocation": {"uri": KEY}, "region": {"startLine": 1}})
        )
    );
    let index = result["ruleIndex"].as_u64().context("an index")?;
    let rule = &run["tool"]["driver"]["rules"][usize::try_from(index)?];
    assert_eq!(rule["id"], "private-key-pem");
    let audit = ["scan", &tree, "--fail-on", "high", "-o", "jsonl"];
    let status =
        |arguments: &[&str]| -> Result<Option<i32>> { Ok(layerwatch(&scene, arguments)?.status.code()) };
    assert_eq!(status(&audit)?, Some(3));
    assert_eq!(
        status(&[&audit[..], &["--baseline", &baseline, "--write-baseline"]].concat())?,
        Some(0)
    );
    let accepted = layerwatch(&scene, &[&audit[..], &["--baseline", &baseline]].concat())?;
    assert_eq!(accepted.status.code(), Some(0));
    let text = String::from_utf8_lossy(&accepted.stdout).into_owned();
    let first: Value = serde_json::from_str(text.lines().next().context("a line")?)?;
    assert_eq!(first["accepted"], true);
    // Another secret at the same place is not accepted, and another host's baseline is refused.
    scene.tree()?;
    assert_eq!(
        status(&[&audit[..], &["--baseline", &baseline]].concat())?,
        Some(3)
    );
    std::fs::remove_file(scene.path().join("state/fingerprint.key"))?;
    let foreign = layerwatch(&scene, &[&audit[..], &["--baseline", &baseline]].concat())?;
    assert_eq!(foreign.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&foreign.stderr).contains("another host's key"));
    Ok(())
}

#[test]
fn what_was_found_before_an_interruption_is_printed_and_marked() -> Result<()> {
    if !ready("interruption", &ENGINES)? {
        return Ok(());
    }
    let scene = scene()?;
    let tree = scene.path().join("tree");
    // Enough that the worker is met while it reads; stopped there, it does not end before the interruption.
    let big = std::fs::File::create(tree.join("zz-big"))?;
    std::io::copy(
        &mut std::io::Read::take(std::io::repeat(b'x'), 200_000_000),
        &mut std::io::BufWriter::with_capacity(1 << 20, big),
    )?;
    let mut scan = command(&scene, &["scan", tree.to_str().context("text")?, "-o", "json"])?;
    let child = scan.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let id = child.id();
    let children = format!("/proc/{id}/task/{id}/children");
    let text = |path: &str| layerwatch::bounded::read_text(Path::new(path), 4096).ok();
    let worker = wait_until("the worker reads", Duration::from_mins(1), || {
        let worker: i32 = text(&children)?.trim().parse().ok()?;
        let counts = text(&format!("/proc/{worker}/io"))?;
        let read: u64 = counts
            .lines()
            .find_map(|line| line.strip_prefix("rchar: "))?
            .parse()
            .ok()?;
        (read > 4_000_000).then_some(worker)
    })?;
    let signal = |id: i32, signal: Signal| -> Result<()> {
        let process = Pid::from_raw(id).context("a process")?;
        Ok(kill_process(process, signal)?)
    };
    signal(worker, Signal::STOP)?;
    signal(i32::try_from(id)?, Signal::INT)?;
    let done = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    let shown: Value = serde_json::from_slice(&done.stdout).with_context(|| said.clone())?;
    assert_eq!(
        (&shown["complete"], &shown["interrupted"], done.status.code()),
        (&json!(false), &json!(true), Some(1)),
        "{said}"
    );
    assert!(
        said.contains("interrupted: this is what was found so far"),
        "{said}"
    );
    // The walk may meet the big file first.
    for finding in shown["findings"].as_array().into_iter().flatten() {
        assert_eq!(finding["path"], KEY);
    }
    Ok(())
}
