//! Readers that end before anybody can look at them are named all the same, with their ancestors, live and in a replay.
//!
//! The agent is held (SIGSTOP) while they live, so that nothing but their own events can name them.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use layerwatch_tests::scene::Agent;
use layerwatch_tests::{output, tool};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::agent::{Store, watching};
use crate::fixture::{USER, cat_as, directory};

/// An agent that stands still until this is dropped.
struct Held(Pid);

impl Held {
    fn hold(agent: &Agent) -> Result<Self> {
        let id = i32::try_from(agent.id()).ok().and_then(Pid::from_raw);
        let id = id.context("a process id")?;
        kill_process(id, Signal::STOP)?;
        Ok(Self(id))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let gone_on = kill_process(self.0, Signal::CONT);
        assert!(gone_on.is_ok() || std::thread::panicking(), "{gone_on:?}");
    }
}

/// The file that the kernel runs for a program on the search path.
fn program(name: &str) -> Result<PathBuf> {
    let found = tool(name).with_context(|| format!("no {name} here"))?;
    Ok(std::fs::canonicalize(found)?)
}

/// Reads `path` as the user by a `cat` whose parent, a shell, ends too.
fn read_and_end(path: &Path) -> Result<()> {
    // Two commands, or the shell would become the `cat`.
    let script = format!("cat {} && true", path.display());
    let read = output(Command::new("sh").arg("-c").arg(script).uid(USER).gid(USER))?;
    ensure!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    Ok(())
}

/// What an alert says of who, the two nearest ancestors included.
fn who(alert: &Value) -> Value {
    let process = &alert["process"];
    json!({
        "uid": alert["subject"]["uid"],
        "comm": process["comm"],
        "exe": process["exe"],
        "cmdline": process["cmdline"],
        "ancestors": [process["ancestors"][0], process["ancestors"][1]],
    })
}

#[test]
fn a_reader_that_ended_at_once_is_named_with_its_ancestors() -> Result<()> {
    let directory = directory()?;
    let store = Store::write(&directory.path().join("store"))?;
    let recording = directory.path().join("recording");
    let verb = ["record", recording.to_str().context("the path is text")?];
    let mut agent = watching(&store, directory.path(), &verb)?;
    let key = store.diff(&store.lower).join("etc/direct.key");
    let held = Held::hold(&agent)?;
    read_and_end(&key)?;
    drop(held);

    let live = agent.wait_for("alert", 1)?;
    let expected = json!({
        "uid": USER,
        "comm": "cat",
        "exe": program("cat")?,
        "cmdline": format!("cat {}", key.display()),
        "ancestors": [program("sh")?, std::env::current_exe()?],
    });
    assert_eq!(live.iter().map(who).collect::<Vec<_>>(), [expected]);

    agent.stop()?;
    let replayed = output(Command::new(Agent::binary()?).arg("replay").arg(&recording))?;
    let lines = String::from_utf8(replayed.stdout)?;
    let lines = lines.lines().map(serde_json::from_str::<Value>);
    let alerts: Vec<Value> = lines
        .filter(|line| line.as_ref().map_or(true, |line| line["kind"] == "alert"))
        .collect::<Result<_, _>>()?;
    assert_eq!(alerts, live);
    Ok(())
}

#[test]
fn each_process_is_one_record_and_no_thread_is_one() -> Result<()> {
    let directory = directory()?;
    let store = Store::write(&directory.path().join("store"))?;
    let agent = watching(&store, directory.path(), &["run"])?;
    let counted = |outcome: &str| {
        let series = format!("layerwatch_kernel_events_total{{hook=\"process\",outcome=\"{outcome}\"}}");
        agent.metric(&series).context("the series")
    };
    assert_eq!(
        agent.metric("layerwatch_probe_attached{hook=\"process\"}"),
        Some(1.0)
    );
    let ignored = counted("ignored")?;
    std::thread::scope(|scope| (0..50).for_each(|_| drop(scope.spawn(|| ()))));
    // A thread begins and ends; other tests have threads too.
    let series = "layerwatch_kernel_events_total{hook=\"process\",outcome=\"ignored\"}";
    agent.wait_for_metric(series, ignored + 99.0)?;
    let emitted = counted("emitted")?;
    for _ in 0..50 {
        output(&mut Command::new("true"))?;
    }
    // Fork, exec and exit.
    let series = "layerwatch_kernel_events_total{hook=\"process\",outcome=\"emitted\"}";
    agent.wait_for_metric(series, emitted + 150.0)?;
    assert!(counted("ring-full")? < 1.0);
    // All this beside the accesses, and not instead of them.
    cat_as(USER, &store.diff(&store.lower).join("etc/direct.key"))?;
    agent.wait_for("alert", 1)?;
    Ok(())
}
