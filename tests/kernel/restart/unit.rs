//! What outlives the agent where it is installed: with the rights of the systemd unit, and the directory that it makes.

use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use layerwatch_tests::scene::Agent;
use layerwatch_tests::{run, tool, wait_until};
use rustix::process::{Resource, Rlimit, setrlimit};
use serde_json::Value;

use super::{Host, deadline};
use crate::fixture::{USER, cat_as};

const UNIT: &str = include_str!("../../../deploy/systemd/layerwatch.service");
/// The service's user, who is nobody else.
const SERVICE: u32 = 990;

/// The values that the unit gives a directive.
fn directive(name: &str) -> Vec<&'static str> {
    let lines = UNIT
        .lines()
        .filter_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    lines.collect()
}

/// Makes the directory for the pins by the unit's own command.
fn prepare(bpf: &Path) -> Result<()> {
    std::fs::set_permissions(bpf, std::fs::Permissions::from_mode(0o700))?;
    let commands = directive("ExecStartPre");
    let command = commands
        .iter()
        .find_map(|command| command.strip_prefix("-+/usr/bin/"));
    let pins = bpf.join("layerwatch").display().to_string();
    let words = command.context("the unit makes no directory")?.split_whitespace();
    let words: Vec<String> = words
        .map(|word| match word {
            "layerwatch" => SERVICE.to_string(),
            "/sys/fs/bpf/layerwatch" => pins.clone(),
            other => other.to_owned(),
        })
        .collect();
    let (program, arguments) = words.split_first().context("an empty command")?;
    run(Command::new(program).args(arguments)).map(drop)
}

/// The agent with the unit's user and capabilities.
fn as_the_unit(host: &Host) -> Result<Agent> {
    let names = directive("CapabilityBoundingSet").concat();
    assert_eq!(directive("AmbientCapabilities"), [names.as_str()]);
    let names = names
        .split_whitespace()
        .map(|name| name.trim_start_matches("CAP_").to_lowercase());
    let set: String = names.fold("-all".to_owned(), |set, name| format!("{set},+{name}"));
    let sets = ["inh-caps", "ambient-caps", "bounding-set"].map(|kind| format!("--{kind}={set}"));
    let (user, group) = (format!("--reuid={SERVICE}"), format!("--regid={SERVICE}"));
    let agent = Agent::binary()?.display().to_string();
    let mut verb = vec![user.as_str(), &group, "--clear-groups", "--no-new-privs"];
    verb.extend(sets.iter().map(String::as_str));
    verb.extend([agent.as_str(), "run"]);
    host.agent_by(&tool("setpriv").context("no setpriv")?, &verb)
}

/// Waits until the agent has told of a finding in the lower layer.
fn told_of(agent: &Agent, name: &str) -> Result<()> {
    let path = format!("etc/{name}.key");
    let is_told = |lines: &Vec<Value>| {
        lines
            .iter()
            .any(|line| line["access"]["path_in_layer"] == path.as_str())
    };
    let told = || agent.of_kind("alert").ok().filter(is_told);
    wait_until(&format!("an alert about {path}"), deadline(), told).with_context(|| agent.log())?;
    Ok(())
}

#[test]
fn the_services_agent_keeps_what_it_needs_in_the_kernel() -> Result<()> {
    // Kernels before 5.11 count maps as locked memory; the unit's comment says so. Elsewhere it may fail and is not needed.
    let unlimited = Rlimit {
        current: None,
        maximum: None,
    };
    let raised = setrlimit(Resource::Memlock, unlimited);
    let host = Host::new(1)?;
    prepare(&host.bpf).with_context(|| format!("memory limit raised: {raised:?}"))?;
    let home = host.directory.path().join("agent");
    std::fs::create_dir(&home)?;
    chown(&home, Some(SERVICE), Some(SERVICE))?;
    let lower = host.store.diff(&host.store.lower).join("etc");

    let mut agent = as_the_unit(&host)?;
    agent.wait_for_metric("layerwatch_findings{severity=\"critical\"}", 5.0)?;
    cat_as(USER, &lower.join("direct.key"))?;
    told_of(&agent, "direct")?;
    agent.stop()?;
    drop(agent);
    ensure!(!host.pinned()?.is_empty(), "nothing is pinned");
    cat_as(USER, &lower.join("bind.key"))?;
    let agent = as_the_unit(&host)?;
    told_of(&agent, "bind")
}
