//! The sinks against the programs they talk to: a real Alertmanager that is restarted, and a real Prometheus that scrapes
//! and alerts.
//!
//! Invariant: the records go in through `Sinks::emit`, as in the agent; what arrived is read with the programs' own tools.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use layerwatch::config;
use layerwatch::model::{Record, RecordKind};
use layerwatch::sinks::{Alertmanager, AlertmanagerOptions, Sinks, Web, WebState};
use layerwatch::telemetry::{Condition, Health, Hook, Metrics, Readiness, Tier};
use layerwatch_tests::{Process, free_port, get, output, root, run, skip, tool, wait_until};
use serde_json::Value;

const DEADLINE: Duration = Duration::from_mins(1);

/// The tools, or a recorded skip.
fn have(test: &str, programs: &[&str]) -> Result<bool> {
    for program in programs {
        if tool(program).is_none() {
            skip(test, &format!("{program} is not installed"))?;
            return Ok(false);
        }
    }
    Ok(true)
}

/// The golden alert, as if it happened now.
fn alert() -> Result<Record> {
    let file = std::fs::File::open(root().join("tests/fixtures/records/sensitive-layer-read.json"))?;
    let mut record: Record = serde_json::from_reader(file)?;
    if let RecordKind::Alert(alert) = &mut record.body {
        alert.time = jiff::Timestamp::now();
    }
    Ok(record)
}

/// A metric's value as the agent prints it.
fn value(metrics: &Metrics, series: &str) -> Option<u64> {
    let text = metrics.encode().ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))?;
    line.parse().ok()
}

fn start_alertmanager(directory: &Path, port: u16) -> Result<Process> {
    let config = root().join("deploy/alertmanager/alertmanager.yml");
    let mut command = Command::new("prometheus-alertmanager");
    command
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.path={}", directory.join("am").display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .arg("--cluster.listen-address=");
    let mut process = Process::start(&mut command, &directory.join("am.log"))?;
    process.wait_until("Alertmanager is ready", DEADLINE, || is_ready(port))?;
    Ok(process)
}

fn is_ready(port: u16) -> Option<()> {
    get(port, "/-/ready")
        .ok()
        .filter(|answer| answer.status == 200)
        .map(|_| ())
}

/// What `amtool alert query` shows.
fn alerts(port: u16, matchers: &[&str]) -> Result<Vec<Value>> {
    let mut amtool = Command::new("amtool");
    amtool.arg(format!("--alertmanager.url=http://127.0.0.1:{port}"));
    amtool.args(["alert", "query", "-o", "json"]).args(matchers);
    let shown = output(&mut amtool)?;
    Ok(serde_json::from_slice(&shown.stdout)?)
}

fn pushing(port: u16, state: &Path, metrics: &Arc<Metrics>) -> Result<Sinks> {
    let delivery = config::Alertmanager {
        urls: vec![format!("http://127.0.0.1:{port}").parse()?],
        timeout: Duration::from_secs(10),
        resend: Duration::from_secs(1),
        hold: Duration::from_mins(15),
        queue: 100,
        ca_file: None,
        client_certificate: None,
        authentication: None,
        external_labels: [].into(),
    };
    let state_directory = Some(state.to_owned());
    let node = "node-1".to_owned();
    let options = AlertmanagerOptions {
        delivery,
        node,
        state_directory,
    };
    let mut sinks = Sinks::new(Arc::clone(metrics));
    let alertmanager = Alertmanager::new(options, Arc::new(jiff::Timestamp::now), Arc::new(|| 0.5))?;
    sinks.add_alertmanager(alertmanager)?;
    Ok(sinks)
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder
        .worker_threads(2)
        .enable_all()
        .build()
        .context("start a runtime")
}

#[test]
fn a_real_alertmanager_has_the_alert_and_has_it_again_after_its_restart() -> Result<()> {
    if !have("alertmanager push", &["prometheus-alertmanager", "amtool"])? {
        return Ok(());
    }
    let directory = tempfile::tempdir()?;
    let port = free_port()?;
    let mut server = start_alertmanager(directory.path(), port)?;
    let runtime = runtime()?;
    let _entered = runtime.enter();
    let metrics = Arc::new(Metrics::new()?);
    let sinks = pushing(port, directory.path(), &metrics)?;
    let record = alert()?;
    sinks.emit(&record);
    let arrived = |count| {
        wait_until("the alert arrives", DEADLINE, || {
            alerts(port, &["alertname=SensitiveLayerRead"])
                .ok()
                .filter(|alerts| alerts.len() == count)
        })
    };
    check_shown(&arrived(1)?[0], &record)?;

    // An Alertmanager forgets its alerts when it ends.
    server.stop()?;
    let failed = "layerwatch_alertmanager_failed_total{peer=\"0\"}";
    wait_until("a delivery fails", DEADLINE, || {
        value(&metrics, failed).filter(|count| *count > 0)
    })?;
    let mut server = start_alertmanager(directory.path(), port)?;
    check_shown(&arrived(1)?[0], &record)?;

    // A restarted agent does not: it has the alert from its state file.
    assert_eq!(runtime.block_on(sinks.shutdown(Duration::from_secs(10))), []);
    server.stop()?;
    let _server = start_alertmanager(directory.path(), port)?;
    let again = pushing(port, directory.path(), &metrics)?;
    check_shown(&arrived(1)?[0], &record)?;
    assert_eq!(runtime.block_on(again.shutdown(Duration::from_secs(10))), []);
    Ok(())
}

/// What Alertmanager has is what the record says.
fn check_shown(shown: &Value, record: &Record) -> Result<()> {
    let RecordKind::Alert(alert) = &record.body else {
        anyhow::bail!("not an alert")
    };
    let labels = serde_json::json!({
        "alertname": "SensitiveLayerRead",
        "alert_source": "agent",
        "severity": "critical",
        "instance": "node-1",
        "user": "nobody",
        "rule": "private-key-openssh",
        "category": "private-key",
        "image": "registry.example/shop/api",
        "image_digest": "abababababab",
        "layer": "c0c0c0c0c0c0",
    });
    assert_eq!(shown["labels"], labels);
    assert_eq!(shown["annotations"]["uid"], "65534");
    assert_eq!(shown["annotations"]["path_in_layer"], "root/.ssh/id_ed25519");
    assert_eq!(shown["annotations"]["shadowed"], "true");
    assert_eq!(shown["status"]["state"], "active");
    // Alertmanager keeps milliseconds.
    let time = |key: &str| {
        shown[key]
            .as_str()
            .context("a time")?
            .parse::<jiff::Timestamp>()
            .context("parse a time")
    };
    let late = |key: &str| Ok::<_, anyhow::Error>(time(key)?.duration_since(alert.time).as_secs_f64());
    assert!(late("startsAt")?.abs() < 0.01, "{shown}");
    assert!((899.9..930.0).contains(&late("endsAt")?), "{shown}");
    Ok(())
}

/// The agent's page on a free port.
fn serve(
    runtime: &tokio::runtime::Runtime,
    metrics: &Arc<Metrics>,
) -> Result<(u16, tokio::sync::watch::Sender<bool>)> {
    let readiness = Arc::new(Readiness::default());
    readiness.meet(Condition::KernelAttached);
    readiness.meet(Condition::KnowledgeBuilt);
    let health = Arc::new(Health::new(tokio::time::Instant::now()));
    let state = WebState {
        metrics: Arc::clone(metrics),
        readiness,
        health,
    };
    let web = runtime.block_on(Web::bind("127.0.0.1:0".parse()?))?;
    let port = web.address().port();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    runtime.spawn(web.serve(state, stopped));
    Ok((port, stop))
}

/// The shipped scrape configuration and rules, for these ports and at a pace for tests.
fn prometheus_files(directory: &Path, agent: u16, alertmanager: u16) -> Result<()> {
    let rules = "layerwatch.rules.yml";
    std::fs::copy(
        root().join("deploy/prometheus").join(rules),
        directory.join(rules),
    )?;
    let scrape = std::io::read_to_string(std::fs::File::open(root().join("deploy/prometheus/scrape.yml"))?)?;
    let scrape = scrape
        .replace("127.0.0.1:9880", &format!("127.0.0.1:{agent}"))
        .replace("127.0.0.1:9093", &format!("127.0.0.1:{alertmanager}"))
        .replace("_interval: 15s", "_interval: 1s")
        .replace("host-1.example", "node-1");
    std::fs::write(directory.join("prometheus.yml"), scrape)?;
    Ok(())
}

fn start_prometheus(directory: &Path, port: u16) -> Result<Process> {
    let mut command = Command::new("prometheus");
    command
        .arg(format!(
            "--config.file={}",
            directory.join("prometheus.yml").display()
        ))
        .arg(format!(
            "--storage.tsdb.path={}",
            directory.join("tsdb").display()
        ))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"));
    let mut process = Process::start(&mut command, &directory.join("prometheus.log"))?;
    process.wait_until("Prometheus is ready", DEADLINE, || is_ready(port))?;
    Ok(process)
}

/// The value of an instant query with one result.
fn query(port: u16, expression: &str) -> Option<String> {
    let server = format!("http://127.0.0.1:{port}");
    let mut promtool = Command::new("promtool");
    let shown = run(promtool.args(["query", "-o", "json", "instant", &server, expression])).ok()?;
    let results: Value = serde_json::from_str(&shown).ok()?;
    Some(results[0]["value"][1].as_str()?.to_owned())
}

#[test]
fn a_real_prometheus_scrapes_the_agent_and_its_rule_reaches_alertmanager() -> Result<()> {
    let programs = ["prometheus", "promtool", "prometheus-alertmanager", "amtool"];
    if !have("prometheus scrape", &programs)? {
        return Ok(());
    }
    let directory = tempfile::tempdir()?;
    let runtime = runtime()?;
    let _entered = runtime.enter();
    let metrics = Arc::new(Metrics::new()?);
    metrics.kernel_attached(Tier::B, &[Hook::Open]);
    let (agent, _stop) = serve(&runtime, &metrics)?;
    let (alertmanager, prometheus) = (free_port()?, free_port()?);
    let _alertmanager = start_alertmanager(directory.path(), alertmanager)?;
    prometheus_files(directory.path(), agent, alertmanager)?;
    let mut server = start_prometheus(directory.path(), prometheus)?;

    let reads = "layerwatch_sensitive_reads_total{severity=\"critical\",category=\"private-key\",instance=\"node-1\"}";
    let zero = server.wait_until("the first scrape", DEADLINE, || query(prometheus, reads))?;
    assert_eq!(zero, "0");
    assert_eq!(query(prometheus, "up{job=\"layerwatch\"}").as_deref(), Some("1"));
    let sinks = pushing(alertmanager, directory.path(), &metrics)?;
    sinks.emit(&alert()?);
    server.wait_until("the read is counted", DEADLINE, || {
        query(prometheus, reads).filter(|count| count == "1")
    })?;
    let by_rule = server.wait_until("the rule's alert", DEADLINE, || {
        let found = alerts(
            alertmanager,
            &["--inhibited", "alertname=LayerwatchSensitiveRead"],
        )
        .ok()?;
        found
            .into_iter()
            .find(|alert| alert["status"]["state"] == "suppressed")
    })?;
    assert_eq!(by_rule["labels"]["instance"], "node-1");
    assert_eq!(by_rule["labels"]["alert_source"], "metrics");
    // The agent's own alert says more and silences it.
    assert_eq!(
        by_rule["status"]["inhibitedBy"].as_array().map(Vec::len),
        Some(1),
        "{by_rule}"
    );
    assert_eq!(alerts(alertmanager, &["alertname=SensitiveLayerRead"])?.len(), 1);
    runtime.block_on(sinks.shutdown(Duration::from_secs(10)));
    Ok(())
}

#[test]
fn the_served_metrics_please_promtool() -> Result<()> {
    if !have("promtool metrics", &["promtool"])? {
        return Ok(());
    }
    let runtime = runtime()?;
    let metrics = Arc::new(Metrics::new()?);
    metrics.kernel_attached(Tier::B, &[Hook::Open, Hook::Rename]);
    metrics.peer(0)?;
    let (port, _stop) = serve(&runtime, &metrics)?;
    let answer = get(port, "/metrics")?;
    assert_eq!(
        answer.header("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
    assert_eq!(lint(&answer.body)?, (true, String::new()));
    // And it would say if something were wrong.
    let (clean, said) = lint(&answer.body.replace("layerwatch_pulls_total", "layerwatch_pulls"))?;
    assert!(!clean && said.contains("layerwatch_pulls"), "{said}");
    Ok(())
}

/// What `promtool check metrics` says.
fn lint(text: &str) -> Result<(bool, String)> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("metrics");
    std::fs::write(&file, text)?;
    let mut promtool = Command::new("promtool");
    let checked = promtool
        .args(["check", "metrics"])
        .stdin(std::fs::File::open(&file)?)
        .output()?;
    let said = [checked.stdout, checked.stderr].concat();
    Ok((
        checked.status.success(),
        String::from_utf8_lossy(&said).into_owned(),
    ))
}
