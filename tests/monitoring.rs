//! A real Alertmanager and a real Prometheus on loopback, with the configuration that the project ships.
//!
//! Invariant: both end with their value; what they know is read with their own tools, amtool and promtool.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::{Process, free_port, get, output, root, run};

const DEADLINE: Duration = Duration::from_mins(1);

/// A running Alertmanager.
#[derive(Debug)]
pub struct Alertmanager {
    process: Process,
    /// The port it listens on.
    pub port: u16,
}

impl Alertmanager {
    /// Starts one with its state below `directory`.
    pub fn start(directory: &Path) -> Result<Self> {
        Self::start_on(directory, free_port()?)
    }

    /// The same on a given port: what a restart needs.
    pub fn start_on(directory: &Path, port: u16) -> Result<Self> {
        let config = root().join("deploy/alertmanager/alertmanager.yml");
        let mut command = Command::new("prometheus-alertmanager");
        command
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.path={}", directory.join("am").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg("--cluster.listen-address=");
        let mut process = Process::start(&mut command, &directory.join("am.log"))?;
        process.wait_until("Alertmanager is ready", DEADLINE, || is_ready(port))?;
        Ok(Self { process, port })
    }

    /// What `amtool alert query` shows for these matchers.
    pub fn alerts(&self, matchers: &[&str]) -> Result<Vec<Value>> {
        let mut amtool = Command::new("amtool");
        amtool.arg(format!("--alertmanager.url=http://127.0.0.1:{}", self.port));
        amtool.args(["alert", "query", "-o", "json"]).args(matchers);
        Ok(serde_json::from_slice(&output(&mut amtool)?.stdout)?)
    }

    /// Ends it.
    pub fn stop(&mut self) -> Result<()> {
        self.process.stop()
    }
}

/// A running Prometheus.
#[derive(Debug)]
pub struct Prometheus {
    /// Held for its end.
    _process: Process,
    port: u16,
}

impl Prometheus {
    /// Starts one that scrapes the agent on `agent` as `node` each second and alerts to `alertmanager`.
    pub fn start(directory: &Path, agent: u16, alertmanager: u16, node: &str) -> Result<Self> {
        let shipped = root().join("deploy/prometheus");
        let rules = "layerwatch.rules.yml";
        std::fs::copy(shipped.join(rules), directory.join(rules)).context("copy the rules")?;
        let scrape = std::io::read_to_string(std::fs::File::open(shipped.join("scrape.yml"))?)?;
        let scrape = scrape
            .replace("127.0.0.1:9880", &format!("127.0.0.1:{agent}"))
            .replace("127.0.0.1:9093", &format!("127.0.0.1:{alertmanager}"))
            .replace("_interval: 15s", "_interval: 1s")
            .replace("host-1.example", node);
        let config = directory.join("prometheus.yml");
        std::fs::write(&config, scrape)?;
        let port = free_port()?;
        let mut command = Command::new("prometheus");
        command
            .arg(format!("--config.file={}", config.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                directory.join("tsdb").display()
            ))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"));
        let mut process = Process::start(&mut command, &directory.join("prometheus.log"))?;
        process.wait_until("Prometheus is ready", DEADLINE, || is_ready(port))?;
        Ok(Self {
            _process: process,
            port,
        })
    }

    /// The value of an instant query with one result.
    pub fn query(&self, expression: &str) -> Option<String> {
        let server = format!("http://127.0.0.1:{}", self.port);
        let mut promtool = Command::new("promtool");
        let shown = run(promtool.args(["query", "-o", "json", "instant", &server, expression])).ok()?;
        let results: Value = serde_json::from_str(&shown).ok()?;
        Some(results.get(0)?.get("value")?.get(1)?.as_str()?.to_owned())
    }
}

fn is_ready(port: u16) -> Option<()> {
    get(port, "/-/ready")
        .ok()
        .filter(|answer| answer.status == 200)
        .map(|_| ())
}
