//! A second scan opens no file of a layer, after one more image only the new layer's are opened, what was finished before
//! an interruption is not opened again, and a command takes what a running agent has: shown by strace.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use layerwatch_tests::scene::{Agent, Scene};
use layerwatch_tests::{output, wait_until};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::{ENGINES, NAME, command, content, ready, scene};

/// A scan of all stores under strace, with the log of what it opens.
fn traced(scene: &Scene, state: &Path, name: &str) -> Result<(Command, PathBuf)> {
    let log = scene.path().join(format!("{name}.strace"));
    let state = format!("state_directory={}", state.display());
    let scan = command(scene, &["--set", &state, "scan", "--all", "-q", "-o", "json"])?;
    let mut strace = Command::new("strace");
    strace
        .args([
            "-f",
            "-y",
            "-qq",
            "-s",
            "256",
            "-e",
            "trace=open,openat,openat2",
            "-o",
        ])
        .arg(&log)
        .arg(scan.get_program())
        .args(scan.get_args());
    Ok((strace, log))
}

/// The layers of which something was opened, by the directory's name, as they were met.
fn layers_in(scene: &Scene, log: &Path) -> Result<Vec<String>> {
    let text = String::from_utf8_lossy(&content(log)?).into_owned();
    let graph = scene.store.root().join("overlay").display().to_string();
    let successful = text.lines().filter(|line| !line.contains(" = -1 "));
    let mut layers = Vec::new();
    for line in successful {
        // A descriptor is shown with its path, so that names relative to a directory are seen too.
        let under = line.rsplit_once(&format!("{graph}/")).map(|(_, under)| under);
        let layer = under.and_then(|under| under.split_once('/'));
        if let Some((layer, rest)) = layer
            && rest.starts_with("diff")
            && !layers.iter().any(|known| known == layer)
        {
            layers.push(layer.to_owned());
        }
    }
    Ok(layers)
}

/// The layers of which a scan opened something, and what it printed.
fn opened_with(scene: &Scene, state: &Path, name: &str) -> Result<(BTreeSet<String>, Vec<u8>)> {
    let (mut strace, log) = traced(scene, state, name)?;
    let done = output(&mut strace)?;
    ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    Ok((layers_in(scene, &log)?.into_iter().collect(), done.stdout))
}

fn opened(scene: &Scene, name: &str) -> Result<(BTreeSet<String>, Vec<u8>)> {
    opened_with(scene, &scene.path().join("state"), name)
}

#[test]
fn what_was_scanned_is_not_opened_again() -> Result<()> {
    if !ready("no file is opened twice", &[&ENGINES[..], &["strace"]].concat())? {
        return Ok(());
    }
    let scene = scene()?;
    let (first, found) = opened(&scene, "first")?;
    assert_eq!(
        first.len(),
        2,
        "the control: both layers are opened by the first scan: {first:?}"
    );
    let (second, again) = opened(&scene, "second")?;
    assert_eq!(second, BTreeSet::new(), "the second scan opens nothing");
    assert_eq!(String::from_utf8_lossy(&again), String::from_utf8_lossy(&found));
    // One more image on the same base: its own layer is opened and no other.
    let base = scene.store.run("buildah", &["from", "--pull-never", NAME])?;
    let tree = scene.path().join("more");
    std::fs::create_dir_all(&tree)?;
    std::fs::write(tree.join("more.txt"), "more\n")?;
    let tree = tree.to_str().context("text")?.to_owned();
    scene.store.run("buildah", &["copy", "-q", &base, &tree, "/"])?;
    scene
        .store
        .run("buildah", &["commit", "-q", &base, "localhost/shop/api:2"])?;
    scene.store.run("buildah", &["rm", &base])?;
    let (third, _) = opened(&scene, "third")?;
    assert_eq!(third.len(), 1, "{third:?}");
    assert!(third.is_disjoint(&first), "{third:?}");
    // A cache that is damaged is said and made anew; a scan then reads again.
    std::fs::write(scene.path().join("state/scans.redb"), b"nonsense".repeat(1000))?;
    let (fourth, again) = opened(&scene, "fourth")?;
    assert!(fourth.is_superset(&first), "{fourth:?}");
    assert!(!again.is_empty());
    Ok(())
}

#[test]
fn what_was_finished_before_an_interruption_is_not_opened_again() -> Result<()> {
    if !ready(
        "an interrupted scan goes on",
        &[&ENGINES[..], &["strace"]].concat(),
    )? {
        return Ok(());
    }
    let scene = scene()?;
    // Each takes a while: full of what is nearly a secret.
    let slow = "db.password = ${SHOP_DATABASE_PASSWORD}\n".repeat(30_000);
    for number in 0..3 {
        let tree = scene.path().join(format!("slow-{number}"));
        std::fs::create_dir_all(tree.join("etc"))?;
        std::fs::write(tree.join("slow.properties"), format!("{number}\n{slow}"))?;
        let name = format!("localhost/shop/slow:{number}");
        scene.store.build(&tree, &name, false)?;
    }
    let (mut strace, log) = traced(&scene, &scene.path().join("state"), "interrupted")?;
    let child = strace.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let id = child.id();
    let scan = wait_until(
        "the second of the slow layers is met",
        Duration::from_mins(2),
        || {
            let text = String::from_utf8_lossy(&content(&log).ok()?).into_owned();
            let children = format!("/proc/{id}/task/{id}/children");
            let scan = layerwatch::bounded::read_text(Path::new(&children), 4096).ok()?;
            let met = text
                .lines()
                .filter(|line| line.contains("slow.properties"))
                .count();
            (met >= 2).then(|| scan.trim().parse::<i32>().ok()).flatten()
        },
    )?;
    kill_process(Pid::from_raw(scan).context("the scan")?, Signal::INT)?;
    let done = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    let shown: Value = serde_json::from_slice(&done.stdout).with_context(|| said.clone())?;
    assert_eq!(shown["interrupted"], json!(true), "{said}");
    // One layer after the other: all but the last that was met were finished.
    let met = layers_in(&scene, &log)?;
    let (_, finished) = met.split_last().context("it met some")?;
    let finished: BTreeSet<String> = finished.iter().cloned().collect();
    let (again, _) = opened(&scene, "resumed")?;
    assert!(
        !finished.is_empty() && again.is_disjoint(&finished),
        "{met:?}, then {again:?}"
    );
    // The base and its change, and two for each of the slow ones.
    let all: BTreeSet<String> = finished.union(&again).cloned().collect();
    assert_eq!((all.len(), again.is_empty()), (8, false), "{all:?}");
    Ok(())
}

#[test]
fn what_a_running_agent_scanned_is_not_opened_by_a_command() -> Result<()> {
    if !ready("a running agent's stores", &[&ENGINES[..], &["strace"]].concat())? {
        return Ok(());
    }
    let scene = scene()?;
    let agent = Agent::start(&scene, "agent", &[])?;
    // Ready is earlier: when the layers are known.
    let left = "layerwatch_unscanned_layers";
    let none = || agent.metric(left).filter(|left| *left < 0.5);
    wait_until("all is scanned", Duration::from_mins(1), none)?;
    let state = scene.path().join("agent/state");
    let (layers, shown) = opened_with(&scene, &state, "beside")?;
    let shown: Value = serde_json::from_slice(&shown)?;
    assert_eq!(
        (layers, shown["findings"].as_array().map(Vec::len)),
        (BTreeSet::new(), Some(1))
    );
    // The control: with a state of its own it opens them.
    assert_eq!(opened(&scene, "alone")?.0.len(), 2);
    Ok(())
}
