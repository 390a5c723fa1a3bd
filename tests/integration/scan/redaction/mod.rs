//! Nothing of a secret is anywhere but in the scanned files: not in the cache, logs at trace level, metrics, alerts or any
//! output, neither plain nor in base64 nor in hex. The same search finds each of them in the files.

mod receiver;
mod search;

use std::path::Path;

use anyhow::{Context, Result};
use layerwatch_tests::scene::{Agent, KEY, Scene, cat_as};
use layerwatch_tests::{get, output};

use super::{ENGINES, NAME, command, content, ready};
use receiver::Receiver;
use search::{clean, planted, traces};

const FORMATS: [&str; 3] = ["table", "json", "jsonl"];

#[test]
fn no_secret_leaves_the_scanner() -> Result<()> {
    if !ready("no secret leaves", &ENGINES)? {
        return Ok(());
    }
    let scene = Scene::new()?;
    let secrets = plant(&scene)?;
    let state = scene.path().join("state");
    std::fs::create_dir(&state)?;
    scans(&scene, &secrets)?;
    agent(&scene, &secrets)?;
    other_commands(&scene, &secrets)?;
    for directory in [&state, &scene.path().join("agent/state")] {
        clean_files(directory, &secrets)?;
    }
    Ok(())
}

/// Images with all of it in their files and one in a configuration; all of the secrets.
fn plant(scene: &Scene) -> Result<Vec<String>> {
    let tree = scene.tree()?;
    let mut secrets = Vec::new();
    for (path, content, secret) in planted() {
        let file = tree.join(path);
        std::fs::create_dir_all(file.parent().context("a folder")?)?;
        std::fs::write(&file, &content)?;
        assert!(
            !traces(content.as_bytes(), &secret).is_empty(),
            "the control: {path}"
        );
        secrets.push(secret);
    }
    let key = std::io::read_to_string(std::fs::File::open(tree.join(KEY))?)?;
    secrets.push(key.lines().nth(1).context("the key's body")?.to_owned());
    scene.store.build(&tree, NAME, true)?;
    secrets.push(image_with_variable(scene)?);
    Ok(secrets)
}

/// `scan` of each kind of target in each format.
fn scans(scene: &Scene, secrets: &[String]) -> Result<()> {
    let (archive, layout) = (at(scene, "image.tar"), at(scene, "layout"));
    for (format, place) in [("docker-archive", &archive), ("oci-dir", &layout)] {
        scene
            .store
            .run("podman", &["save", "-q", "--format", format, "-o", place, NAME])?;
    }
    for format in FORMATS.into_iter().chain(["sarif"]) {
        for target in ["--all", &archive, &layout, &at(scene, "tree")] {
            let baseline = scene.path().join("baseline");
            let mut command = command(
                scene,
                &["scan", target, "-o", format, "--write-baseline", "--baseline"],
            )?;
            let shown = output(traced(command.arg(&baseline)))?;
            assert_found(target, format, &String::from_utf8_lossy(&shown.stdout));
            clean(
                &format!("{target} as {format}"),
                &[shown.stdout, shown.stderr].concat(),
                secrets,
            );
            clean("the baseline", &content(&baseline)?, secrets);
        }
    }
    Ok(())
}

fn traced(command: &mut std::process::Command) -> &mut std::process::Command {
    command
        .env("LAYERWATCH_LOG_LEVEL", "trace")
        .env("RUST_LOG", "trace")
}

/// All that an agent says, writes, serves and sends while a secret is read, and what it recorded.
fn agent(scene: &Scene, secrets: &[String]) -> Result<()> {
    let receiver = Receiver::start()?;
    let recording = scene.path().join("recording");
    let recorded = recording.to_str().context("text")?;
    let mut agent = Agent::start_on(
        &Agent::binary()?,
        &scene.store.root(),
        &scene.path().join("agent"),
        &["record", recorded],
        &[
            "--set",
            "log.level=trace",
            "--verbose",
            "--set",
            "alertmanager.enabled=true",
            "--set",
            &format!("alertmanager.urls={}", receiver.url()),
        ],
    )?;
    agent.wait_for_metric("layerwatch_findings{severity=\"critical\"}", 1.0)?;
    scene.store.misconfigure()?;
    agent.wait_for_metric("layerwatch_exposed_findings{severity=\"critical\"}", 1.0)?;
    cat_as(65534, &scene.store.find(KEY)?.remove(0))?;
    agent.wait_for("alert", 1)?;
    let sent = receiver.wait_for("SensitiveLayerRead")?;
    clean("what was sent to Alertmanager", &sent, secrets);
    let records = serde_json::to_vec(&agent.lines()?)?;
    clean("the alerts and other records", &records, secrets);
    for page in ["/", "/metrics", "/-/healthy", "/-/ready"] {
        clean(page, get(agent.port, page)?.body.as_bytes(), secrets);
    }
    agent.stop()?;
    clean("the agent's log", agent.log().as_bytes(), secrets);
    clean("the recording", &content(&recording)?, secrets);
    Ok(())
}

/// What else prints of findings, in each format, and what an agent recorded.
fn other_commands(scene: &Scene, secrets: &[String]) -> Result<()> {
    let file = scene.store.find(KEY)?.remove(0).display().to_string();
    let recording = at(scene, "recording");
    for arguments in [
        &["stores"][..],
        &["images"],
        &["layers"],
        &["exposure"],
        &["explain", &file],
        &["find", ".pgpass"],
        &["rules"],
    ] {
        for format in FORMATS {
            let shown = output(traced(&mut command(
                scene,
                &[arguments, &["-o", format]].concat(),
            )?))?;
            let text = [shown.stdout, shown.stderr].concat();
            clean(&format!("{arguments:?} as {format}"), &text, secrets);
        }
    }
    let shown = output(&mut command(scene, &["replay", &recording])?)?;
    clean("replay", &[shown.stdout, shown.stderr].concat(), secrets);
    Ok(())
}

fn at(scene: &Scene, name: &str) -> String {
    scene.path().join(name).display().to_string()
}

/// One more image, whose configuration has a secret; it is given back.
fn image_with_variable(scene: &Scene) -> Result<String> {
    let secret = "Gw6-made-up-variable-2t".to_owned();
    let container = scene.store.run("buildah", &["from", "--pull-never", NAME])?;
    let variable = format!("DB_PASSWORD={secret}");
    scene
        .store
        .run("buildah", &["config", "--env", &variable, &container])?;
    scene
        .store
        .run("buildah", &["commit", "-q", &container, "localhost/shop/env:1"])?;
    scene.store.run("buildah", &["rm", &container])?;
    Ok(secret)
}

/// The control: what is planted is found, by each rule that is for it; the table cuts names.
fn assert_found(target: &str, format: &str, shown: &str) {
    let in_files = [
        "pgpass",
        "github-token",
        "netrc",
        "git-credentials",
        "shadow-hash",
        "database-url",
        "password-assignment",
        "kubernetes-secret-data",
        "docker-config-auth",
        "wireguard-private-key",
    ];
    let in_images = if target == "--all" {
        &["image-config-secret"][..]
    } else {
        &[]
    };
    for rule in in_files.iter().chain(in_images).filter(|_| format != "table") {
        assert!(shown.contains(rule), "the control: {target} {format}: {rule}");
    }
}

/// Each file of a state directory; the cache is one of them.
fn clean_files(directory: &Path, secrets: &[String]) -> Result<()> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        names.push(entry.file_name().into_string().unwrap_or_default());
        if entry.file_type()?.is_file() && entry.metadata()?.len() > 0 {
            clean(
                &entry.path().display().to_string(),
                &content(entry.path())?,
                secrets,
            );
        }
    }
    assert!(names.iter().any(|name| name == "scans.redb"), "{names:?}");
    Ok(())
}
