//! Reads of files in Docker's layers: whose they are, and which of them are fine.

use anyhow::{Context, Result};
use layerwatch_tests::scene::{Agent, Docker, KEY, REMAPPED, Scene, cat_as};
use layerwatch_tests::wait_until;
use serde_json::{Value, json};

use super::{Start, docker_ready, watched, watched_with};

const NOBODY: u32 = 65534;
const DEADLINE: std::time::Duration = std::time::Duration::from_secs(30);

#[test]
fn a_read_of_a_deleted_key_is_an_alert_with_dockers_layer_and_image() -> Result<()> {
    if !docker_ready("docker read of a deleted key")? {
        return Ok(());
    }
    let (_scene, docker, name, agent) = watched(true, &[])?;
    docker.misconfigure()?;
    judged_after(&agent, jiff::Timestamp::now())?;
    cat_as(NOBODY, &docker.find(KEY)?.remove(0))?;
    let alert = agent.wait_for("alert", 1)?.remove(0);
    let image: Value = serde_json::from_str(&docker.run(&["image", "inspect", &name])?)?;
    let image = &image[0];
    let chain = image["RootFS"]["Layers"][0]
        .as_str()
        .and_then(|id| id.strip_prefix("sha256:"));
    let store = format!("overlay2@{}", docker.root().display());
    let expected = json!({
        "alert": "SensitiveLayerRead",
        "severity": "critical",
        "uid": NOBODY,
        "layer": {"engine": "docker", "store": store, "id": chain, "diff_id": image["RootFS"]["Layers"][0], "state": "image"},
        "image": image["Id"],
        "name": name,
        "path_in_layer": KEY,
        "shadowed": true,
        "readers": [{"who": "world"}],
        "remedy": format!("chmod 710 {}", docker.root().display()),
        "provenance": "weak-path",
    });
    let found = json!({
        "alert": alert["alert"],
        "severity": alert["severity"],
        "uid": alert["subject"]["uid"],
        "layer": alert["layer"],
        "image": format!("sha256:{}", alert["images"][0]["id"].as_str().context("an id")?),
        "name": alert["images"][0]["name"],
        "path_in_layer": alert["access"]["path_in_layer"],
        "shadowed": alert["finding"]["shadowed"],
        "readers": alert["exposure"]["readers"],
        "remedy": alert["exposure"]["remedy"],
        "provenance": alert["trust"]["provenance"],
    });
    assert_eq!(found, expected);
    assert_eq!(agent.of_kind("alert")?.len(), 1);
    Ok(())
}

/// Waits until the agent has judged exposure after a moment.
fn judged_after(agent: &Agent, moment: jiff::Timestamp) -> Result<()> {
    let built = "layerwatch_knowledge_last_success_timestamp_seconds";
    let second = i32::try_from(moment.as_second() + 1)?;
    agent.wait_for_metric(built, f64::from(second)).map(drop)
}

/// The accesses to the key that were recorded for a program.
fn recorded(agent: &Agent, comm: &str) -> Result<Vec<Value>> {
    let lines = agent.of_kind("access")?.into_iter();
    let of_key =
        lines.filter(|line| line["access"]["path_in_layer"] == KEY && line["process"]["comm"] == comm);
    Ok(of_key.collect())
}

/// Who root of a container is on the host, with a daemon as it comes and with one that remaps.
const ROOTS: [(u32, Start); 2] = [(0, Docker::start), (REMAPPED, Docker::start_remapped)];

#[test]
fn a_container_that_reads_its_own_files_is_counted_and_not_alerted() -> Result<()> {
    if !docker_ready("docker container reads its own")? {
        return Ok(());
    }
    // Counted in all cases, and told with `--verbose`.
    let cases = [
        (&[][..], ROOTS[0]),
        (&["--verbose"], ROOTS[0]),
        (&["--verbose"], ROOTS[1]),
    ];
    for (verbose, (root, start)) in cases {
        let (_scene, docker, name, agent) = watched_with(false, verbose, start)?;
        for user in ["0", "1000"] {
            let read = ["/bin/cat", "/etc/secret.key"];
            let shown = docker.run_in(&["--user", user], &name, &read)?;
            assert!(shown.contains("PRIVATE KEY"), "{shown}");
        }
        let own = "layerwatch_sanctioned_total{sanction=\"own-root-file-system\"}";
        let counted = || agent.metric(own).filter(|count| *count >= 2.0);
        wait_until("both reads are counted", DEADLINE, counted)
            .with_context(|| format!("{:#?}", agent.lines()))?;
        let told = recorded(&agent, "cat")?;
        let told = told.iter().map(|line| {
            json!({"uid": line["subject"]["uid"], "sanction": line["sanction"], "via": line["access"]["via"]})
        });
        let own = |uid| json!({"uid": uid, "sanction": "own-root-file-system", "via": "overlay"});
        let expected = if verbose.is_empty() {
            vec![]
        } else {
            vec![own(root), own(root + 1000)]
        };
        assert_eq!(told.collect::<Vec<_>>(), expected);
        assert_eq!(agent.of_kind("alert")?, Vec::<Value>::new());
    }
    Ok(())
}

#[test]
fn a_container_that_reaches_into_the_store_is_alerted() -> Result<()> {
    if !docker_ready("docker container reaches out")? {
        return Ok(());
    }
    for (root, start) in ROOTS {
        let (_scene, docker, name, agent) = watched_with(false, &[], start)?;
        reaches_out(&docker, &name, &agent, root)?;
    }
    Ok(())
}

/// A container whose root is `root` reads a key in a layer through a mount of the store.
fn reaches_out(docker: &Docker, name: &str, agent: &Agent, root: u32) -> Result<()> {
    let key = docker.find(KEY)?.remove(0);
    let below = key.strip_prefix(docker.root())?.display().to_string();
    let mount = format!("{}:/host:ro", docker.root().display());
    // The shell itself opens the file and stays, so that its container can be told.
    let script = format!("while read line; do echo \"$line\"; done < /host/{below}; exec /bin/cat");
    let container = docker.run(&[
        "run",
        "--detach",
        "--interactive",
        "--network",
        "none",
        "--ulimit",
        "nofile=1024:1024",
        "--volume",
        &mount,
        name,
        "/bin/sh",
        "-c",
        &script,
    ])?;
    let alert = agent.wait_for("alert", 1)?.remove(0);
    docker.run(&["rm", "--force", &container])?;
    assert_eq!(
        (&alert["alert"], &alert["subject"]["uid"], &alert["access"]["via"]),
        (&json!("ForeignContainerRead"), &json!(root), &json!("direct"))
    );
    assert_eq!(
        (&alert["container"]["id"], &alert["container"]["runtime"]),
        (&json!(container), &json!("docker"))
    );
    assert_eq!(
        (&alert["layer"]["engine"], &alert["images"][0]["name"]),
        (&json!("docker"), &json!(name))
    );
    assert_eq!(agent.of_kind("alert")?.len(), 1);
    Ok(())
}

#[test]
fn what_the_daemon_reads_for_a_user_is_the_users() -> Result<()> {
    if !docker_ready("docker reads for a user")? {
        return Ok(());
    }
    let (scene, docker, name, agent) = watched(true, &[])?;
    asks(&scene, &docker, &name, &agent).context("on the host")?;
    drop(agent);
    // The pod is given no socket, and sees by the host's first process who connects.
    let agent = Agent::start_in_a_pod(&scene, &docker.root())?;
    agent.wait_for_metric("layerwatch_findings{severity=\"critical\"}", 1.0)?;
    asks(&scene, &docker, &name, &agent).context("in a pod")
}

/// Root's own export is nothing; a user's is theirs.
fn asks(scene: &Scene, docker: &Docker, name: &str, agent: &Agent) -> Result<()> {
    // The daemon is known as an engine, and its socket as one, from the agent's look at the processes on.
    judged_after(agent, jiff::Timestamp::now())?;
    let export = scene.path().join("export.tar").display().to_string();
    docker.run(&["image", "save", "--output", &export, name])?;
    docker.run_as(NOBODY, &["version"])?;
    let asked = "layerwatch_engine_connects_total";
    agent.wait_for_metric(asked, 1.0)?;
    assert_eq!(agent.of_kind("alert")?, Vec::<Value>::new());
    let saved = docker.run_as(NOBODY, &["image", "save", name])?;
    assert!(saved.len() > 1024, "the export has {} bytes", saved.len());
    let alert = agent.wait_for("alert", 1)?.remove(0);
    let found = json!({
        "alert": alert["alert"],
        "severity": alert["severity"],
        "uid": alert["subject"]["uid"],
        "comm": alert["process"]["comm"],
        "path_in_layer": alert["access"]["path_in_layer"],
        "name": alert["images"][0]["name"],
        "sanction": alert["sanction"],
    });
    let expected = json!({
        "alert": "CacheApiAccess",
        "severity": "critical",
        "uid": NOBODY,
        "comm": "docker",
        "path_in_layer": KEY,
        "name": name,
        "sanction": null,
    });
    assert_eq!(found, expected, "{alert:#}");
    assert_eq!(agent.of_kind("alert")?.len(), 1);
    Ok(())
}
