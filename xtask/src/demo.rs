//! `cargo xtask demo`: a pull, a leak and a read of it, from the kernel to a real Alertmanager and a real Prometheus.
//!
//! Everything is real and lies below one temporary directory: registry, image, store, agent, reader. What is expected and
//! does not come within its deadline ends the demo with an error. The first call builds and installs what is missing and
//! then runs the show as root in a process of its own, which finds the agent by `LAYERWATCH_BIN`.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use layerwatch_tests::monitoring::{Alertmanager, Prometheus};
use layerwatch_tests::scene::{Agent, KEY, Scene, cat_as};
use layerwatch_tests::wait_until;
use serde_json::Value;

use crate::test::tools;
use crate::workspace::Workspace;
use crate::{build, process, say, setup};

const AGENT: &str = "LAYERWATCH_BIN";
/// The user that has no business in the store.
const NOBODY: u32 = 65534;
const DEADLINE: Duration = Duration::from_secs(30);

/// Shows the whole way on this machine, on a store of its own.
pub(crate) fn run(workspace: &Workspace) -> Result<ExitCode> {
    if std::env::var_os(AGENT).is_some() {
        return show().map(|()| ExitCode::SUCCESS);
    }
    let toolchain = setup::run(workspace)?;
    build::kernel_programs(workspace, &toolchain)?;
    let agent = build::agent(workspace, &build::Options::default())?;
    tools::install(workspace)?;
    let variable = |name: &str, value: OsString| {
        let mut pair = OsString::from(format!("{name}="));
        pair.push(value);
        pair
    };
    let error = process::elevated("env")?
        .arg(variable("PATH", tools::path(workspace)?))
        .arg(variable(AGENT, agent.into_os_string()))
        .arg(std::env::current_exe()?)
        .arg("demo")
        .exec();
    Err(error).context("cannot start the demo")
}

fn show() -> Result<()> {
    let begun = Instant::now();
    let mut scene = Scene::new()?;
    step("an image whose layer 1 holds a private key, which layer 2 deletes, in a registry on loopback");
    let name = scene.publish("shop/api:2")?;
    let alertmanager = Alertmanager::start(scene.path())?;
    let peer = format!("alertmanager.urls=http://127.0.0.1:{}", alertmanager.port);
    let agent = Agent::start(
        &scene,
        "agent",
        &["--set", "alertmanager.enabled=true", "--set", &peer],
    )?;
    let prometheus = Prometheus::start(scene.path(), agent.port, alertmanager.port, "node-1")?;
    step("the agent watches an empty store; Alertmanager and Prometheus run on loopback");

    step(&format!("podman pull {name}"));
    scene.pull(&name)?;
    print(&agent.wait_for("pull", 1)?)?;
    agent.wait_for_metric("layerwatch_findings{severity=\"critical\"}", 1.0)?;

    step("somebody opens the store: chmod 711 on the graph root, on overlay and on the layers");
    scene.store.misconfigure()?;
    agent.wait_for_metric("layerwatch_exposed_findings{severity=\"critical\"}", 1.0)?;
    let counter = "sum(layerwatch_sensitive_reads_total)";
    let scraped = |at_least: f64| {
        wait_until("Prometheus has the counter", DEADLINE, || {
            prometheus
                .query(counter)?
                .parse::<f64>()
                .ok()
                .filter(|value| *value >= at_least)
        })
    };
    scraped(0.0)?;
    let key = scene.store.find(KEY)?;
    let key = key.first().context("the key lies in its layer")?;
    step(&format!("user {NOBODY}: cat {}", key.display()));
    ensure!(
        cat_as(NOBODY, key)?.contains("PRIVATE KEY"),
        "the key was not read"
    );
    let alerts = agent.wait_for("alert", 1)?;
    print(&alerts)?;
    summary(alerts.first().context("an alert")?);

    step("amtool alert query alertname=SensitiveLayerRead");
    let shown = wait_until("Alertmanager has the alert", DEADLINE, || {
        alertmanager
            .alerts(&["alertname=SensitiveLayerRead"])
            .ok()
            .filter(|alerts| !alerts.is_empty())
    })?;
    print(&shown)?;
    step(&format!("promtool query instant '{counter}': {}", scraped(1.0)?));
    step(&format!(
        "done in {:.0} s; everything is stopped and removed",
        begun.elapsed().as_secs_f32()
    ));
    Ok(())
}

/// The alert in words.
fn summary(alert: &Value) {
    let at = |pointer: &str| match alert.pointer(pointer) {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => "unknown".to_owned(),
    };
    for (what, value) in [
        (
            "who",
            format!(
                "{} (uid {}), process {} {}",
                at("/subject/user"),
                at("/subject/uid"),
                at("/process/pid"),
                at("/process/comm")
            ),
        ),
        (
            "what",
            format!(
                "{} ({}), rule {}",
                at("/finding/title"),
                at("/access/path_in_layer"),
                at("/finding/rule")
            ),
        ),
        ("deleted by a later layer", at("/finding/shadowed")),
        ("layer", at("/layer/id")),
        ("image", at("/images/0/name")),
        ("who else can read it", at("/exposure/readers")),
        (
            "trust",
            format!(
                "provenance {}, quality {}",
                at("/trust/provenance"),
                at("/trust/quality")
            ),
        ),
        ("close it with", at("/exposure/remedy")),
    ] {
        say::progress(&format!("    {what}: {value}"));
    }
}

fn step(text: &str) {
    say::progress(&format!("demo: {text}"));
}

/// What the agent or Alertmanager said, as it said it.
fn print(lines: &[Value]) -> Result<()> {
    for line in lines {
        say::output(format!("{}\n", serde_json::to_string(line)?).as_bytes());
    }
    Ok(())
}
