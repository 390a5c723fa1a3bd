//! What Docker's BuildKit keeps of real builds: it is what Docker says, is scanned, found, and its reads are alerts.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use layerwatch_tests::run;
use layerwatch_tests::scene::{Agent, Docker, NEWER_DOCKER, Scene, cat_as};
use serde_json::{Value, json};

use super::super::ready;
use super::commands::{json_of, list};
use super::{Start, docker_ready, published};

const NOBODY: u32 = 65534;

/// The driver of a Docker that keeps its images in containerd.
const CONTAINERD: &str = "overlayfs";

/// A build whose image has none of the keys: they stand in the context, and in a stage that is not exported.
struct Build {
    context: PathBuf,
}

impl Build {
    fn new(scene: &Scene, base: &str) -> Result<Self> {
        let context = scene.path().join("context");
        std::fs::create_dir_all(&context)?;
        std::fs::write(context.join("motd"), "hello\n")?;
        std::fs::write(
            context.join("Dockerfile"),
            format!(
                "FROM {base} AS first\nCOPY . /srv\n\
                 FROM scratch\nCOPY --from=first /srv/motd /motd\n"
            ),
        )?;
        let build = Self { context };
        build.key("app.key")?;
        Ok(build)
    }

    /// A new key in the context, as readable as files of a checkout are.
    fn key(&self, name: &str) -> Result<()> {
        let file = self.context.join(name);
        run(Command::new("openssl")
            .args(["genpkey", "-algorithm", "ED25519", "-out"])
            .arg(&file))?;
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644))?;
        Ok(())
    }

    fn run(&self, docker: &Docker) -> Result<()> {
        let context = self.context.to_str().context("text")?;
        let build = ["build", "-q", "-t", "shop/built:1", context];
        docker.run_with(&[("DOCKER_BUILDKIT", "1")], &build).map(drop)
    }
}

/// What Docker lists of its builders' cache, but for what is a layer of an image or was pulled as one: id and kind. In containerd
/// an image has snapshots of its own.
fn theirs(docker: &Docker, driver: &str) -> Result<Vec<Value>> {
    let shown: Value =
        serde_json::from_str(&docker.run(&["system", "df", "--verbose", "--format", "{{json .}}"])?)?;
    let own = list(&shown, "BuildCache").into_iter();
    let is_pulled = |one: &Value| {
        one["Description"]
            .as_str()
            .is_some_and(|text| text.starts_with("pulled from "))
    };
    let is_own = |one: &Value| one["Shared"] == "false" || driver == CONTAINERD;
    let own = own.filter(|one| is_own(one) && !is_pulled(one));
    let mut rows: Vec<Value> = own.map(|one| json!([one["ID"], one["CacheType"]])).collect();
    rows.sort_by_key(Value::to_string);
    Ok(rows)
}

fn ours(layers: &Value) -> Vec<Value> {
    let kept = list(layers, "layers").into_iter();
    let kept = kept.filter(|layer| layer["state"] == "build-cache");
    let mut rows: Vec<Value> = kept
        .map(|layer| json!([layer["key"]["layer"], layer["build_cache"]["work"]]))
        .collect();
    rows.sort_by_key(Value::to_string);
    rows
}

/// The releases that are there, and the drivers to try with each.
fn daemons(test: &str) -> Result<Vec<(Start, &'static str)>> {
    let mut there: Vec<(Start, &'static str)> = Vec::new();
    if docker_ready(test)? {
        there.extend([(Docker::start as Start, "overlay2"), (Docker::start, "vfs")]);
        if ready(&format!("{test}: newer"), &[NEWER_DOCKER])? {
            there.push((Docker::start_newer, "overlay2"));
            there.push((|scene, _| Docker::start_on_containerd(scene), CONTAINERD));
        }
    }
    Ok(there)
}

#[test]
fn what_a_build_keeps_is_what_docker_says() -> Result<()> {
    for (start, driver) in daemons("docker build cache")? {
        kept(start, driver)?;
    }
    Ok(())
}

fn kept(start: Start, driver: &'static str) -> Result<()> {
    let (scene, base) = published(true)?;
    let docker = start(&scene, driver)?;
    Build::new(&scene, &base)?.run(&docker)?;
    let layers = json_of(&scene, &docker, &["layers"])?;
    assert_eq!(ours(&layers), theirs(&docker, driver)?);
    let stores = json_of(&scene, &docker, &["stores"])?;
    assert_eq!(stores["stores"][0]["unlisted"], 0, "{stores:#}");
    assert_eq!(stores["problems"], json!([]));

    // The stage lies on the image that it began with, whose top is known by its chain id.
    let layers = list(&layers, "layers");
    let holder = |path: &str| -> Result<&Value> {
        let has = |layer: &&&Value| {
            let content = layer["content"].as_str().unwrap_or_default();
            Path::new(content).join(path).is_file()
        };
        layers.iter().find(has).copied().context(path.to_owned())
    };
    let stage = holder("srv/app.key")?;
    let top = layers
        .iter()
        .find(|layer| layer["key"]["layer"] == stage["parent"])
        .context("the layer below")?;
    assert_eq!(
        json!([
            stage["state"],
            stage["build_cache"]["work"],
            top["diff_id"].is_null()
        ]),
        json!(["build-cache", "regular", false])
    );

    let scanned = json_of(&scene, &docker, &["scan", "--all"])?;
    let mut found: Vec<Value> = list(&scanned, "findings")
        .into_iter()
        .filter(|one| one["path"].as_str().is_some_and(|path| path.ends_with("app.key")))
        .map(|one| json!([one["path"], one["rule"], one["images"]]))
        .collect();
    found.sort_by_key(Value::to_string);
    let expected = ["app.key", "srv/app.key"];
    assert_eq!(found, expected.map(|path| json!([path, "private-key-pem", []])));

    let file = Path::new(holder("app.key")?["content"].as_str().context("text")?).join("app.key");
    let explained = json_of(&scene, &docker, &["explain", file.to_str().context("text")?])?;
    assert_eq!(
        json!([
            explained["path_in_layer"],
            explained["layer"]["build_cache"]["work"],
            explained["images"],
            explained["findings"][0]["rule"]
        ]),
        json!(["app.key", "source.local", [], "private-key-pem"])
    );
    Ok(())
}

#[test]
fn a_read_of_a_builds_context_is_an_alert_and_a_context_that_changed_is_scanned_again() -> Result<()> {
    for (start, driver) in daemons("docker reads of a build cache")? {
        if driver != "vfs" {
            read(start, driver)?;
        }
    }
    Ok(())
}

fn read(start: Start, driver: &'static str) -> Result<()> {
    let (scene, base) = published(true)?;
    let docker = start(&scene, driver)?;
    let agent = Agent::start_on_docker(&scene, &docker, &[])?;
    let build = Build::new(&scene, &base)?;
    build.run(&docker)?;
    let critical = "layerwatch_findings{severity=\"critical\"}";
    // The base image's own, the context's and the stage's.
    agent.wait_for_metric(critical, 3.0)?;
    build.key("second.key")?;
    build.run(&docker)?;
    // The context has both now, and so has another stage.
    agent.wait_for_metric(critical, 6.0)?;
    docker.misconfigure()?;
    for (count, name) in [(1, "app.key"), (2, "second.key"), (3, "srv/second.key")] {
        let key = docker.find(name)?.remove(0);
        cat_as(NOBODY, &key)?;
        let alert = agent.wait_for("alert", count)?.remove(count - 1);
        assert_eq!(
            json!([
                alert["alert"],
                alert["subject"]["uid"],
                alert["layer"]["state"],
                alert["images"],
                alert["access"]["path_in_layer"]
            ]),
            json!(["SensitiveLayerRead", NOBODY, "build-cache", [], name])
        );
    }
    Ok(())
}
