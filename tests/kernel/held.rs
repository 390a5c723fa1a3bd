//! Files that are open when the agent starts: listed once for each process that holds them, judged as its reads.

use std::fs::{File, OpenOptions};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use layerwatch_tests::scene::Agent;
use layerwatch_tests::{Process, output};
use serde_json::{Value, json};

use crate::agent::{Store, watching};
use crate::fixture::{USER, cat_as, directory};

/// A process of `uid` that holds a file as its standard input.
fn holder(directory: &Path, uid: u32, name: &str, file: File) -> Result<Process> {
    let mut command = Command::new("sleep");
    command.arg("600").uid(uid).gid(uid);
    Process::start_with(&mut command, Stdio::from(file), &directory.join(name))
}

fn said(alert: &Value) -> Value {
    json!({
        "alert": alert["alert"],
        "operation": alert["access"]["operation"],
        "path": alert["access"]["path_in_layer"],
        "uid": alert["subject"]["uid"],
        "pid": alert["process"]["pid"],
        "cmdline": alert["process"]["cmdline"],
        "count": alert["count"],
    })
}

#[test]
fn files_open_before_the_start_are_listed_once() -> Result<()> {
    let directory = directory()?;
    let store = Store::write(&directory.path().join("store"))?;
    let etc = store.diff(&store.lower).join("etc");
    let (direct, bind) = (etc.join("direct.key"), etc.join("bind.key"));
    let start = |uid, name: &str, file| holder(directory.path(), uid, name, file);
    let first = start(USER, "first", File::open(&direct)?)?;
    let second = start(USER, "second", File::open(&direct)?)?;
    // Not to be listed: one who can only write, and the host's root.
    let _writer = start(USER, "writer", OpenOptions::new().append(true).open(&bind)?)?;
    let _root = start(0, "root", File::open(&bind)?)?;

    let recording = directory.path().join("recording");
    let verb = ["record", recording.to_str().context("the path is text")?];
    let mut agent = watching(&store, directory.path(), &verb)?;
    agent.wait_for("alert", 2)?;
    // Held already, and opened again: that is another read, and the only alert that the open hook gives.
    cat_as(USER, &direct)?;
    let alerts = agent.wait_for("alert", 3)?;

    let line = |operation: &str, pid: Value, cmdline: &str| {
        json!({
            "alert": "SensitiveLayerRead",
            "operation": operation,
            "path": "etc/direct.key",
            "uid": USER,
            "pid": pid,
            "cmdline": cmdline,
            "count": 1,
        })
    };
    let listed = |holder: &Process| line("open-before-start", holder.id().into(), "sleep 600");
    let read = line(
        "open",
        alerts[2]["process"]["pid"].clone(),
        &format!("cat {}", direct.display()),
    );
    let mut given: Vec<Value> = alerts.iter().map(said).collect();
    let mut expected = vec![listed(&first), listed(&second), read];
    for lines in [&mut given, &mut expected] {
        lines.sort_by_key(|line| line["pid"].as_u64());
    }
    assert_eq!(given, expected);

    agent.stop()?;
    let told = agent.of_kind("alert")?;
    let replayed = output(Command::new(Agent::binary()?).arg("replay").arg(&recording))?;
    let again = String::from_utf8(replayed.stdout)?;
    let again = again.lines().map(serde_json::from_str::<Value>);
    let again = again.collect::<Result<Vec<_>, _>>()?;
    let again: Vec<Value> = again.into_iter().filter(|line| line["kind"] == "alert").collect();
    assert_eq!(again, told);
    Ok(())
}
