//! What an agent that ends leaves in the kernel: whoever starts next finds every access in the ring, and a farewell leaves
//! nothing behind.
//!
//! Each test has a BPF file system of its own, so that pins of tests that run side by side stay apart.

mod between;
mod unit;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use layerwatch_tests::scene::Agent;
use layerwatch_tests::{output, text_of, wait_until};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::agent::Store;
use crate::fixture::{Mounted, USER, cat_as, detached, directory, emulated};

/// Findings that are read, each once: as many as a layer may report, and fewer where the processor is emulated.
fn reads() -> usize {
    if emulated() || detached() { 500 } else { 10_000 }
}
/// How long what was read may take to be told; without hooks nothing comes.
fn deadline() -> Duration {
    if detached() {
        Duration::from_secs(5)
    } else {
        Duration::from_mins(2)
    }
}

/// A store with many findings in its upper layer, and a BPF file system.
pub(crate) struct Host {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) store: Store,
    pub(crate) bpf: PathBuf,
    // Unmounted before the directory goes.
    _mounted: Mounted,
}

impl Host {
    pub(crate) fn new(findings: usize) -> Result<Self> {
        let directory = directory()?;
        let store = Store::write(&directory.path().join("store"))?;
        store.with_keys(findings)?;
        let bpf = directory.path().join("bpf");
        std::fs::create_dir(&bpf)?;
        let mounted = Mounted::file_system("bpf", &bpf)?;
        Ok(Self {
            directory,
            store,
            bpf,
            _mounted: mounted,
        })
    }

    /// An agent that keeps ring, maps and links; each has its own log and the same state.
    fn agent(&self) -> Result<Agent> {
        self.agent_by(&Agent::binary()?, &["run"])
    }

    /// The same, started by another program: the verb has the agent in it.
    pub(crate) fn agent_by(&self, program: &Path, verb: &[&str]) -> Result<Agent> {
        let pins = format!("watch.pin_directory={}", self.bpf.join("layerwatch").display());
        let mut switches = vec!["--set", "watch.outlive=true", "--set", &pins];
        if detached() {
            switches.push("--test-detach-open-hook");
        }
        let at = self.directory.path().join("agent");
        Agent::start_on(program, &self.store.root, &at, verb, &switches)
    }

    /// An agent that has told of a read: it sees what it should.
    fn working_agent(&self) -> Result<Agent> {
        let agent = self.agent()?;
        agent.wait_for_metric("layerwatch_findings{severity=\"critical\"}", 5.0)?;
        cat_as(USER, &self.store.diff(&self.store.lower).join("etc/direct.key"))?;
        wait_until("an alert", deadline(), || {
            agent.of_kind("alert").ok().filter(|alerts| !alerts.is_empty())
        })?;
        Ok(agent)
    }

    /// Starts reading every finding once, slowly enough to be interrupted.
    fn read_all(&self) -> Result<Child> {
        use std::os::unix::process::CommandExt;
        let script = format!(
            "find {} -name '*.key' | sort | xargs -n 50 cat > /dev/null",
            self.store.diff(&self.store.upper).join("keys").display()
        );
        let mut reader = Command::new("sh");
        reader.arg("-c").arg(script).uid(USER).gid(USER);
        reader.stdin(Stdio::null()).spawn().context("start the reader")
    }

    /// What is pinned, below the agent's directory.
    pub(crate) fn pinned(&self) -> Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        let mut todo = vec![self.bpf.clone()];
        while let Some(directory) = todo.pop() {
            for entry in std::fs::read_dir(&directory)? {
                let path = entry?.path();
                // The two files that every BPF file system has.
                if path.extension().is_some_and(|extension| extension == "debug") {
                    continue;
                }
                if path.is_dir() {
                    todo.push(path.clone());
                }
                found.push(path);
            }
        }
        Ok(found)
    }
}

fn signal(id: u32, signal: Signal) -> Result<()> {
    let id = i32::try_from(id).ok().and_then(Pid::from_raw);
    kill_process(id.context("a process id")?, signal).context("send a signal")
}

/// Ids and files of the alerts about the many findings.
fn told(lines: &[Value]) -> (BTreeSet<String>, BTreeSet<String>) {
    let about_keys = lines.iter().filter(|line| {
        line["access"]["path_in_layer"]
            .as_str()
            .is_some_and(|path| path.starts_with("keys/"))
    });
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    about_keys
        .map(|line| (text(&line["id"]), text(&line["access"]["path_in_layer"])))
        .unzip()
}

#[test]
fn an_agent_that_is_killed_loses_no_read() -> Result<()> {
    let reads = reads();
    let host = Host::new(reads)?;
    let agent = host.agent()?;
    let with_the_four = u32::try_from(reads + 4)?;
    agent.wait_for_metric("layerwatch_findings{severity=\"critical\"}", with_the_four.into())?;
    let mut reader = host.read_all()?;
    wait_until("a part of the alerts", deadline(), || {
        agent.lines().ok().filter(|lines| lines.len() > reads / 10)
    })?;
    signal(agent.id(), Signal::KILL)?;
    let before = told(&agent.lines()?).0.len();
    ensure!(before < reads, "everything was told before the agent was killed");
    drop(agent);
    ensure!(reader.wait()?.success(), "the reader failed");

    let agent = host.agent()?;
    let (ids, files) = wait_until("all alerts", deadline(), || {
        let (ids, files) = told(&agent.lines().ok()?);
        (files.len() >= reads).then_some((ids, files))
    })
    .with_context(|| agent.log())?;
    assert_eq!((ids.len(), files.len()), (reads, reads));
    assert_eq!(
        agent.metric("layerwatch_kernel_events_total{hook=\"open\",outcome=\"ring-full\"}"),
        Some(0.0)
    );
    Ok(())
}

#[test]
fn what_happens_while_no_agent_runs_is_told_by_the_next() -> Result<()> {
    let host = Host::new(10)?;
    let mut agent = host.agent()?;
    agent.wait_for_metric("layerwatch_findings{severity=\"critical\"}", 14.0)?;
    agent.stop()?;
    let told_before = told(&agent.lines()?).0.len();
    assert_eq!(told_before, 0);
    ensure!(host.read_all()?.wait()?.success(), "the reader failed");
    drop(agent);
    let agent = host.agent()?;
    let files = wait_until("what happened in between", deadline(), || {
        let (_, files) = told(&agent.lines().ok()?);
        (files.len() >= 10).then_some(files)
    })
    .with_context(|| agent.log())?;
    assert_eq!(files.len(), 10);
    // It loads no program, and holds those that it took over, for their figures.
    ensure!(
        programs_held_by(&agent)? > 0,
        "the next agent holds no program: {}",
        agent.log()
    );
    Ok(())
}

/// How many BPF programs an agent has open.
fn programs_held_by(agent: &Agent) -> Result<usize> {
    let mut count = 0;
    for entry in std::fs::read_dir(format!("/proc/{}/fdinfo", agent.id()))? {
        count += usize::from(text_of(&entry?.path()).contains("prog_jited:"));
    }
    Ok(count)
}

#[test]
fn a_farewell_leaves_nothing_behind() -> Result<()> {
    let host = Host::new(1)?;
    let mut agent = host.working_agent()?;
    ensure!(
        !host.pinned()?.is_empty(),
        "nothing is pinned while the agent runs"
    );
    agent.stop()?;
    ensure!(
        !host.pinned()?.is_empty(),
        "nothing is pinned after the agent ended"
    );
    let state = host.directory.path().join("agent/state");
    let pins = format!("watch.pin_directory={}", host.bpf.join("layerwatch").display());
    let state_key = format!("state_directory={}", state.display());
    let uninstalled =
        output(Command::new(Agent::binary()?).args(["uninstall", "--set", &pins, "--set", &state_key]))?;
    ensure!(
        uninstalled.status.success(),
        "{}",
        String::from_utf8_lossy(&uninstalled.stderr)
    );
    assert_eq!(host.pinned()?, Vec::<PathBuf>::new());
    assert!(!Path::new(&state).exists(), "the state is still there");
    Ok(())
}

#[test]
fn an_interrupted_agent_takes_its_programs_along() -> Result<()> {
    let host = Host::new(1)?;
    let mut agent = host.working_agent()?;
    signal(agent.id(), Signal::INT)?;
    agent.ended()?;
    assert_eq!(host.pinned()?, Vec::<PathBuf>::new());
    Ok(())
}
