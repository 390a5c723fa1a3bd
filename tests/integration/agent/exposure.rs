//! Exposure as a state: raised by the `chmod` that opens a store, told with what closes it, and over when that was done.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use layerwatch_tests::monitoring::Alertmanager;
use layerwatch_tests::scene::{Agent, Scene};
use layerwatch_tests::{run, wait_until};
use serde_json::{Value, json};

use super::{ENGINES, ready};

const NAME: &str = "localhost/shop/api:1";
const DEADLINE: Duration = Duration::from_mins(2);

/// The records of exposures that began, or that ended.
fn states(agent: &Agent, active: bool) -> Vec<Value> {
    let all = agent.of_kind("state").unwrap_or_default().into_iter();
    all.filter(|one| one["alert"] == "SensitiveLayerExposed" && one["active"] == active)
        .collect()
}

fn wait_for_state(agent: &Agent, active: bool) -> Result<Value> {
    let what = format!("an exposure with active: {active}");
    let found = wait_until(&what, DEADLINE, || states(agent, active).pop());
    found.with_context(|| agent.log())
}

#[test]
fn a_store_that_was_opened_is_an_alert_until_it_is_closed() -> Result<()> {
    let programs = ["prometheus-alertmanager", "amtool"];
    if !ready("exposure as a state", &[&ENGINES[..], &programs].concat())? {
        return Ok(());
    }
    let scene = Scene::new()?;
    scene.store.build(&scene.tree()?, NAME, true)?;
    let alertmanager = Alertmanager::start(scene.path())?;
    let peer = format!("alertmanager.urls=http://127.0.0.1:{}", alertmanager.port);
    let agent = Agent::start(
        &scene,
        "agent",
        &["--set", "alertmanager.enabled=true", "--set", &peer],
    )?;
    agent.wait_for_metric("layerwatch_findings{severity=\"critical\"}", 1.0)?;
    assert_eq!(
        states(&agent, true),
        Vec::<Value>::new(),
        "a store as its engine made it"
    );
    scene.store.misconfigure()?;
    let begun = wait_for_state(&agent, true)?;
    let root = scene.store.root().display().to_string();
    let mut exposed = begun["exposed"].clone();
    let modules = exposed["security_modules"].take();
    assert!(modules.is_array(), "{begun}");
    let expected = json!({
        "store": format!("overlay@{root}"),
        "engine": "containers-storage",
        "component": root,
        "exposed_to": [{"who": "world"}],
        "findings": 1,
        "severity": "critical",
        "images": [NAME],
        "cve": null,
        "cause": "Podman before 5.2 leaves it so when a container with user ids of its own starts (--uidmap, --userns=auto).",
        "remedy": format!("chmod 700 {root}"),
        "security_modules": null,
    });
    assert_eq!(exposed, expected);
    let told = || {
        let alerts = alertmanager.alerts(&["alertname=SensitiveLayerExposed"]).ok()?;
        Some(alerts).filter(|alerts| !alerts.is_empty())
    };
    let told = wait_until("Alertmanager has the exposure", DEADLINE, told).with_context(|| agent.log())?;
    assert_eq!(
        (
            told.len(),
            &told[0]["labels"]["component"],
            &told[0]["labels"]["severity"]
        ),
        (1, &json!(root), &json!("critical"))
    );
    run(Command::new("sh").args(["-c", expected["remedy"].as_str().context("a command")?]))?;
    let ended = wait_for_state(&agent, false)?;
    assert_eq!(ended["exposed"]["component"], json!(root));
    let gone = || {
        let alerts = alertmanager.alerts(&["alertname=SensitiveLayerExposed"]).ok()?;
        alerts.is_empty().then_some(())
    };
    wait_until("Alertmanager has it no more", DEADLINE, gone).with_context(|| agent.log())?;
    assert_eq!((states(&agent, true).len(), states(&agent, false).len()), (1, 1));
    assert_eq!(
        agent.of_kind("alert")?,
        Vec::<Value>::new(),
        "nobody read anything"
    );
    Ok(())
}
