//! The real agent on a scene's store, with its lines at hand.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use super::{Docker, Scene};
use crate::{Answer, Process, free_port, get, program, wait_until};

/// How long the agent may take for anything; long, for a machine with an emulated processor that has other work.
const DEADLINE: Duration = Duration::from_mins(2);

/// How long a line may take to come; with the hooks detached none can, and the tests are to fail soon.
fn lines_deadline() -> Duration {
    if std::env::var_os("LAYERWATCH_TEST_DETACHED").is_some() {
        Duration::from_secs(5)
    } else {
        DEADLINE
    }
}

/// A running agent.
#[derive(Debug)]
pub struct Agent {
    process: Process,
    /// The port of its metrics.
    pub port: u16,
    lines: PathBuf,
}

impl Agent {
    /// Where the agent's executable is: `LAYERWATCH_BIN`, else beside or above the running test binary.
    pub fn binary() -> Result<PathBuf> {
        if let Some(path) = std::env::var_os("LAYERWATCH_BIN") {
            return Ok(path.into());
        }
        program("layerwatch")
    }

    /// Starts it on the scene's store, in the scene's directory `name`, and waits until it is ready.
    pub fn start(scene: &Scene, name: &str, arguments: &[&str]) -> Result<Self> {
        Self::start_on(
            &Self::binary()?,
            &scene.store.root(),
            &scene.path().join(name),
            &["run"],
            arguments,
        )
    }

    /// The same on a Docker's data root.
    pub fn start_on_docker(scene: &Scene, docker: &Docker, arguments: &[&str]) -> Result<Self> {
        Self::start_on_root(scene, &docker.root(), arguments)
    }

    /// The same on an engine's root.
    pub fn start_on_root(scene: &Scene, root: &Path, arguments: &[&str]) -> Result<Self> {
        let directory = scene.path().join("agent");
        Self::start_on(&Self::binary()?, root, &directory, &["run"], arguments)
    }

    /// The same for any store, directory and verb.
    pub fn start_on(
        binary: &Path,
        store: &Path,
        directory: &Path,
        verb: &[&str],
        arguments: &[&str],
    ) -> Result<Self> {
        std::fs::create_dir_all(directory)?;
        let port = free_port()?;
        let lines = directory.join("lines.jsonl");
        let mut command = Command::new(binary);
        command.args(verb);
        for setting in [
            format!("stores.roots={}", store.display()),
            format!("state_directory={}", directory.join("state").display()),
            format!("web.listen=127.0.0.1:{port}"),
            format!("sinks.log.path={}", lines.display()),
            "node_name=node-1".to_owned(),
            // Other tests run meanwhile: a machine that is never idle.
            "scan.priority=low".to_owned(),
            // What outlives the agent would outlive the test.
            "watch.outlive=false".to_owned(),
        ] {
            command.args(["--set", &setting]);
        }
        let mut process = Process::start(command.args(arguments), &directory.join("agent.log"))?;
        process.wait_until("the agent is ready", DEADLINE, || {
            get(port, "/-/ready")
                .ok()
                .filter(|answer| answer.status == 200)
                .map(|_| ())
        })?;
        Ok(Self { process, port, lines })
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Every whole line that it wrote so far.
    pub fn lines(&self) -> Result<Vec<Value>> {
        let mut text = String::new();
        match std::fs::File::open(&self.lines) {
            Ok(mut file) => file.read_to_string(&mut text)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole
            .lines()
            .map(|line| serde_json::from_str(line).with_context(|| format!("parse the line {line}")))
            .collect()
    }

    /// Those of one kind (`alert`, `access`, `pull`, `state`).
    pub fn of_kind(&self, kind: &str) -> Result<Vec<Value>> {
        Ok(self
            .lines()?
            .into_iter()
            .filter(|line| line.get("kind").is_some_and(|k| k == kind))
            .collect())
    }

    /// Waits until `count` lines of a kind are there; all of that kind.
    pub fn wait_for(&self, kind: &str, count: usize) -> Result<Vec<Value>> {
        wait_until(&format!("{count} {kind} lines"), lines_deadline(), || {
            self.of_kind(kind).ok().filter(|lines| lines.len() >= count)
        })
        .with_context(|| self.process.log())
    }

    /// A metric's value as the agent serves it.
    pub fn metric(&self, series: &str) -> Option<f64> {
        let body = self.metrics().ok()?.body;
        let line = body
            .lines()
            .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))?;
        line.parse().ok()
    }

    /// Waits until a metric has at least this value.
    pub fn wait_for_metric(&self, series: &str, at_least: f64) -> Result<f64> {
        wait_until(&format!("{series} at {at_least}"), DEADLINE, || {
            self.metric(series).filter(|value| *value >= at_least)
        })
        .with_context(|| self.process.log())
    }

    /// `/metrics`.
    pub fn metrics(&self) -> Result<Answer> {
        get(self.port, "/metrics")
    }

    /// Its own log.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Waits until it has ended by itself.
    pub fn ended(&mut self) -> Result<()> {
        self.process.ended()
    }

    /// Asks it to end, and waits.
    pub fn stop(&mut self) -> Result<()> {
        self.process.stop()
    }
}
