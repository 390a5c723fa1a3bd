//! What the agent holds once it runs, and that it ends as it should.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use layerwatch_tests::scene::{Agent, KEY, Scene, cat_as};
use layerwatch_tests::{output, run, wait_until};

use super::{ENGINES, ready};

/// `CAP_DAC_READ_SEARCH`, `CAP_SYS_PTRACE` and `CAP_BPF` (include/uapi/linux/capability.h).
const DAC_READ_SEARCH: u64 = 1 << 2;
const SYS_PTRACE: u64 = 1 << 19;
const BPF: u64 = 1 << 39;

fn status(pid: u32, field: &str) -> Result<String> {
    let text = std::io::read_to_string(std::fs::File::open(
        Path::new("/proc").join(pid.to_string()).join("status"),
    )?)?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    Ok(line.context("field of /proc/PID/status")?.trim().to_owned())
}

fn capabilities(pid: u32) -> Result<u64> {
    Ok(u64::from_str_radix(&status(pid, "CapEff")?, 16)?)
}

#[test]
fn a_running_agent_holds_what_watching_needs_and_its_scanner_less() -> Result<()> {
    if !ready("privileges", &[&ENGINES[..], &["pgrep"]].concat())? {
        return Ok(());
    }
    let scene = Scene::new()?;
    scene.store.build(&scene.tree()?, "localhost/shop/api:1", true)?;
    let agent = Agent::start(&scene, "agent", &[])?;
    agent.wait_for_metric("layerwatch_findings{severity=\"critical\"}", 1.0)?;
    // CAP_BPF stays only where the kernel refuses map updates without it; this kernel is newer than that.
    assert_eq!(capabilities(agent.id())? & !BPF, DAC_READ_SEARCH | SYS_PTRACE);
    assert_eq!(status(agent.id(), "NoNewPrivs")?, "1");
    let children = run(Command::new("pgrep").args(["-P", &agent.id().to_string()]))?;
    let worker: u32 = children.trim().parse().context("one scan worker")?;
    assert_eq!(capabilities(worker)?, DAC_READ_SEARCH);
    assert_eq!(status(worker, "NoNewPrivs")?, "1");
    let mut descriptors: Vec<_> = std::fs::read_dir(format!("/proc/{worker}/fd"))?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<Result<_>>()?;
    descriptors.sort();
    assert_eq!(descriptors, ["0", "1", "2"]);
    Ok(())
}

#[test]
fn the_metrics_of_a_running_agent_are_clean_and_its_books_balance() -> Result<()> {
    if !ready(
        "metrics of a running agent",
        &[&ENGINES[..], &["promtool", "sh", "curl"]].concat(),
    )? {
        return Ok(());
    }
    let scene = Scene::new()?;
    scene.store.build(&scene.tree()?, "localhost/shop/api:1", true)?;
    let agent = Agent::start(&scene, "agent", &[])?;
    agent.wait_for_metric("layerwatch_findings{severity=\"critical\"}", 1.0)?;
    scene.store.misconfigure()?;
    cat_as(1000, &scene.store.find(KEY)?.remove(0))?;
    agent.wait_for("alert", 1)?;
    agent.wait_for_metric(
        "layerwatch_stage_events_total{outcome=\"forwarded\",stage=\"decide\"}",
        1.0,
    )?;
    let check = format!(
        "curl -s http://127.0.0.1:{}/metrics | promtool check metrics",
        agent.port
    );
    let checked = output(Command::new("sh").args(["-c", &check]))?;
    assert!(
        checked.status.success() && checked.stdout.is_empty() && checked.stderr.is_empty(),
        "{checked:?}"
    );
    for stage in ["decode", "enrich", "correlate", "decide"] {
        let count = |outcome: &str| {
            agent.metric(&format!(
                "layerwatch_stage_events_total{{outcome=\"{outcome}\",stage=\"{stage}\"}}"
            ))
        };
        let balanced = wait_until("the books balance", std::time::Duration::from_secs(10), || {
            let out = count("forwarded")? + count("filtered")? + count("dropped").unwrap_or(0.0);
            let parked = if stage == "correlate" {
                agent.metric("layerwatch_parked_accesses")?
            } else {
                0.0
            };
            (count("received")?.to_string() == (out + parked).to_string()).then_some(())
        });
        balanced.with_context(|| format!("{stage}: {:?}", agent.metrics().map(|m| m.body)))?;
    }
    Ok(())
}

#[test]
fn an_agent_ends_when_asked_and_starts_again_after_a_kill() -> Result<()> {
    if !ready("end and start", &ENGINES)? {
        return Ok(());
    }
    let scene = Scene::new()?;
    scene.store.build(&scene.tree()?, "localhost/shop/api:1", true)?;
    let agent = Agent::start(&scene, "agent", &[])?;
    let pid = rustix::process::Pid::from_raw(i32::try_from(agent.id())?).context("pid")?;
    rustix::process::kill_process(pid, rustix::process::Signal::KILL)?;
    drop(agent);
    let mut agent = Agent::start(&scene, "agent", &[])?;
    agent.wait_for_metric("layerwatch_findings{severity=\"critical\"}", 1.0)?;
    scene.store.misconfigure()?;
    cat_as(1000, &scene.store.find(KEY)?.remove(0))?;
    agent.wait_for("alert", 1)?;
    agent.stop()?;
    let log = agent.log();
    assert!(!log.contains("ERROR") && !log.contains("undelivered"), "{log}");
    assert!(
        !log.contains('\u{1b}'),
        "colours in a log that is no terminal: {log}"
    );
    Ok(())
}
