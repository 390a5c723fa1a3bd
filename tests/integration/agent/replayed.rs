//! A recording gives the same alerts again, without a kernel and without privileges.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use layerwatch_tests::output;
use layerwatch_tests::scene::{Agent, KEY, Scene, cat_as};
use serde_json::Value;

use super::{ENGINES, ready};

fn alerts(lines: &[u8]) -> Result<Vec<Value>> {
    let lines = String::from_utf8_lossy(lines);
    let parsed = lines
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<Vec<Value>, _>>()?;
    Ok(parsed
        .into_iter()
        .filter(|line| line["kind"] == "alert")
        .collect())
}

#[test]
fn a_replay_gives_the_same_alerts_without_privileges() -> Result<()> {
    if !ready("replay", &[&ENGINES[..], &["setpriv"]].concat())? {
        return Ok(());
    }
    let scene = Scene::new()?;
    scene.store.build(&scene.tree()?, "localhost/shop/api:1", true)?;
    let recording = scene.path().join("recording");
    let verb = ["record", recording.to_str().context("the path is text")?];
    let binary = Agent::binary()?;
    let mut agent = Agent::start_on(
        &binary,
        &scene.store.root(),
        &scene.path().join("agent"),
        &verb,
        &[],
    )?;
    agent.wait_for_metric("layerwatch_findings{severity=\"critical\"}", 1.0)?;
    scene.store.misconfigure()?;
    let key = scene.store.find(KEY)?.remove(0);
    for uid in [1000, 1001] {
        cat_as(uid, &key)?;
    }
    let live = agent.wait_for("alert", 2)?;
    agent.stop()?;

    // The recording is the owner's alone; another user gets a copy, and a program that they may run.
    let (copy, program) = (scene.path().join("copy"), scene.path().join("layerwatch"));
    std::fs::copy(&recording, &copy)?;
    std::fs::copy(&binary, &program)?;
    std::fs::set_permissions(&copy, std::fs::Permissions::from_mode(0o644))?;
    let as_nobody = |file: &std::path::Path| {
        let user = [
            "--reuid",
            "65534",
            "--regid",
            "65534",
            "--clear-groups",
            "--no-new-privs",
        ];
        output(
            Command::new("setpriv")
                .args(user)
                .arg(&program)
                .arg("replay")
                .arg(file),
        )
    };
    let replayed = as_nobody(&copy)?;
    ensure!(
        replayed.status.success(),
        "{}",
        String::from_utf8_lossy(&replayed.stderr)
    );
    assert_eq!(alerts(&replayed.stdout)?, live);

    // Cut in the middle: what was whole comes out, then a clear error.
    let whole = std::fs::metadata(&copy)?.len();
    std::fs::OpenOptions::new()
        .write(true)
        .open(&copy)?
        .set_len(whole - whole / 10)?;
    let cut = as_nobody(&copy)?;
    let said = String::from_utf8_lossy(&cut.stderr).into_owned();
    assert_eq!(cut.status.code(), Some(1), "{said}");
    assert!(said.contains("line "), "{said}");
    alerts(&cut.stdout)?;
    Ok(())
}
