//! The agent says which tier it came to and why it took no better one: in its log, in a metric, and by `doctor`.
//!
//! On Linux 5.10 an LSM program attaches and never fires; there the reason must be that the canary was not seen.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use layerwatch::kernel::{self, Canary, Rejection};
use layerwatch_tests::scene::Agent;
use layerwatch_tests::{output, wait_until};
use serde_json::Value;

use crate::agent::{Store, watching};
use crate::fixture::{USER, cat_as, detached, directory, preference};

/// What `doctor` says in the checks of this name.
pub(crate) fn doctor(directory: &Path, port: u16, name: &str) -> Result<Vec<String>> {
    let forced = preference().forced.map(|tier| tier.as_str().to_lowercase());
    Ok(doctor_of(directory, port, forced.as_deref())?
        .into_iter()
        .filter_map(|(of, detail)| (of == name).then_some(detail))
        .collect())
}

/// All that `doctor` says, by the checks' names, with these tiers.
fn doctor_of(directory: &Path, port: u16, tiers: Option<&str>) -> Result<Vec<(String, String)>> {
    let mut command = Command::new(Agent::binary()?);
    let state = format!("state_directory={}", directory.display());
    let listen = format!("web.listen=127.0.0.1:{port}");
    command.args(["doctor", "-o", "json", "--set", &state, "--set", &listen]);
    if let Some(tiers) = tiers {
        command.args(["--tier", tiers]);
    }
    let said = output(&mut command)?.stdout;
    let said: Value = serde_json::from_slice(&said).context("doctor's JSON")?;
    let checks = said["checks"].as_array().context("no checks")?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Ok(checks
        .iter()
        .map(|check| (text(&check["name"]), text(&check["detail"])))
        .collect())
}

/// A tier that is excluded is not used, and `doctor` says so, unless a better one is used before it is come to.
fn excluded(directory: &Path, port: u16, tier: &str) -> Result<()> {
    let said = doctor_of(directory, port, Some(&format!("!{}", tier.to_lowercase())))?;
    let reason = format!("{tier}: excluded by the configuration");
    let used = said.iter().find(|(name, _)| name == "tier");
    let used = used.map_or("none", |(_, detail)| detail.as_str());
    ensure!(!used.starts_with(tier), "doctor without tier {tier}: {used}");
    let is_better = used.get(..1).is_some_and(|letter| letter < tier);
    ensure!(
        is_better || said.iter().any(|(_, detail)| detail.contains(&reason)),
        "doctor without tier {tier}: {said:?}"
    );
    Ok(())
}

#[test]
fn the_agent_says_which_tier_it_came_to_and_why() -> Result<()> {
    let directory = directory()?;
    let canary = Canary::create(directory.path())?;
    let (tracer, choice) = kernel::start(&preference(), &canary)?;
    drop(tracer);
    let lands = std::env::var("LAYERWATCH_TEST_LANDS").ok();
    if lands.as_deref() == Some("B") && preference().forced.is_none() {
        let reasons: Vec<_> = choice.rejections.iter().map(|one| one.reason.as_str()).collect();
        assert_eq!(reasons, ["attached, but the canary was not seen within 3 s"]);
    }

    let store = Store::write(&directory.path().join("store"))?;
    let agent = watching(&store, directory.path(), &["run"])?;
    let tier = choice.tier.as_str();
    let metric = format!("layerwatch_tier_info{{tier=\"{tier}\"}}");
    assert_eq!(agent.metric(&metric), Some(1.0), "{metric}");
    let log = agent.log();
    let line = format!("kernel programs attached tier={tier:?}");
    ensure!(log.contains(&line), "the log has no {line:?}: {log}");
    for Rejection { tier, reason } in &choice.rejections {
        let line = format!("tier not used tier={tier} reason={reason:?}");
        ensure!(log.contains(&line), "the log has no {line:?}: {log}");
    }
    let used = doctor(directory.path(), agent.port, "tier")?;
    ensure!(
        used.len() == 1 && used[0].starts_with(&format!("{tier} (")),
        "doctor: {used:?}"
    );
    let reasons = choice
        .rejections
        .iter()
        .map(|one| format!("{}: {}", one.tier, one.reason));
    assert_eq!(
        doctor(directory.path(), agent.port, "tier not used")?,
        reasons.collect::<Vec<_>>()
    );

    let cost = doctor(directory.path(), agent.port, "cost")?;
    ensure!(
        cost.len() == 1 && cost[0].contains(" ns per system call without"),
        "doctor: {cost:?}"
    );
    excluded(directory.path(), agent.port, tier)?;

    // And it works: what it came to is seen to fire.
    fires(&agent, &store)?;
    drop(agent);
    // The last resort is there on every kernel: no verifier refuses it.
    let last = directory.path().join("last");
    let agent = watching(&store, &last, &["run", "--tier", "d"])?;
    let metric = "layerwatch_tier_info{tier=\"D\"}";
    assert_eq!(agent.metric(metric), Some(1.0), "{metric}");
    fires(&agent, &store)
}

/// A read of a key becomes an alert.
fn fires(agent: &Agent, store: &Store) -> Result<()> {
    cat_as(USER, &store.diff(&store.lower).join("etc/direct.key"))?;
    let deadline = Duration::from_secs(if detached() { 3 } else { 60 });
    let alerts = || agent.of_kind("alert").ok().filter(|alerts| !alerts.is_empty());
    wait_until("an alert", deadline, alerts)
        .map(drop)
        .with_context(|| agent.log())
}
