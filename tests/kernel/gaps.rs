//! What the kernel side lacks is said, and never taken for good: a map without room, a field that cannot be read.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use layerwatch_tests::scene::Agent;
use layerwatch_tests::wait_until;
use serde_json::json;

use crate::agent::{Store, started};
use crate::fixture::{USER, cat_as, detached, directory};
use crate::tiers::doctor;

/// How long a line may take; without hooks nothing comes.
fn deadline() -> Duration {
    Duration::from_secs(if detached() { 3 } else { 120 })
}

/// Waits until the agent has said so often that there is a gap, or none any more; whether there is, each time.
fn gaps(agent: &Agent, count: usize) -> Result<Vec<bool>> {
    let said = || -> Option<Vec<bool>> {
        let states = agent.of_kind("state").ok()?;
        let gaps = states.iter().filter(|state| state["alert"] == "CoverageGap");
        let said: Vec<bool> = gaps.map(|state| state["active"] == true).collect();
        (said.len() >= count).then_some(said)
    };
    wait_until("a word about the gap", deadline(), said).with_context(|| agent.log())
}

#[test]
fn a_full_map_is_a_gap_until_there_is_room_again() -> Result<()> {
    let directory = directory()?;
    let store = Store::write(&directory.path().join("store"))?;
    let keys = store.with_keys(3)?;
    // The canary and four of the seven findings.
    let agent = started(
        &store,
        directory.path(),
        &["run"],
        &["--test-findings-capacity", "5"],
    )?;
    let unwatched = |count: f64| {
        let is_so = || (agent.metric("layerwatch_unwatched_inodes") == Some(count)).then_some(());
        wait_until(&format!("{count} findings are unwatched"), deadline(), is_so).with_context(|| agent.log())
    };
    unwatched(3.0)?;
    assert_eq!(gaps(&agent, 1)?, [true]);
    let alerts = "layerwatch_alerts_total{alert=\"CoverageGap\",severity=\"medium\"}";
    assert_eq!(agent.metric(alerts), Some(1.0));

    let said = doctor(directory.path(), agent.port, "running agent")?;
    ensure!(
        said.len() == 1 && said[0].starts_with("3 files or directories"),
        "doctor: {said:?}"
    );

    // The lower layer goes, and with it the four findings in it.
    let layer = json!([{"id": store.upper, "diff-digest": format!("sha256:{}", store.upper)}]);
    let index = store.root.join("overlay-layers");
    fs::write(index.join(".new"), layer.to_string())?;
    fs::rename(index.join(".new"), index.join("layers.json"))?;
    unwatched(0.0)?;
    assert_eq!(gaps(&agent, 2)?, [true, false]);
    for file in &keys {
        cat_as(USER, file)?;
    }
    let alerts = || {
        agent
            .of_kind("alert")
            .ok()
            .filter(|alerts| alerts.len() >= keys.len())
    };
    let alerts = wait_until("an alert of each finding", deadline(), alerts)?;
    let read: Vec<_> = alerts
        .iter()
        .map(|alert| alert["access"]["path_in_layer"].clone())
        .collect();
    assert_eq!(read, ["keys/00000.key", "keys/00001.key", "keys/00002.key"]);
    Ok(())
}

/// Root reads a finding: how many alerts come of it, and how many sanctioned accesses.
fn check(switches: &[&str], expected: (usize, f64)) -> Result<()> {
    let directory = directory()?;
    let store = Store::write(&directory.path().join("store"))?;
    let agent = started(&store, directory.path(), &["run"], switches)?;
    agent.wait_for_metric("layerwatch_findings{severity=\"critical\"}", 4.0)?;
    cat_as(0, &store.diff(&store.lower).join("etc/direct.key"))?;
    let came = || -> Option<(usize, f64)> {
        let alerts = agent.of_kind("alert").ok()?;
        let sanctioned = agent.metric("layerwatch_sanctioned_total{sanction=\"host-root\"}")?;
        (!alerts.is_empty() || sanctioned > 0.0).then_some((alerts.len(), sanctioned))
    };
    let came = wait_until("what came of root's read", deadline(), came).with_context(|| agent.log())?;
    assert_eq!(came, expected, "{switches:?}");
    Ok(())
}

#[test]
fn a_field_that_cannot_be_read_makes_nobody_root() -> Result<()> {
    check(&[], (0, 1.0))?;
    // A user id is no address: the user namespace cannot be read, and its level and owner are 0, as the host's are.
    check(&["--test-misread", "cred.user_ns", "cred.uid"], (1, 0.0))
}
