//! The whole way: a pull is reported, a read of a deleted key becomes an alert, Alertmanager and Prometheus have it.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use anyhow::{Context, Result};
use layerwatch_tests::monitoring::{Alertmanager, Prometheus};
use layerwatch_tests::scene::{Agent, KEY, Scene, cat_as};
use layerwatch_tests::wait_until;
use serde_json::{Value, json};

use super::{ENGINES, image_of, ready};

const NOBODY: u32 = 65534;
const DEADLINE: Duration = Duration::from_secs(30);

/// What Podman itself says of the image: id, digest and layers, base first, as diff ids.
fn inspected(scene: &Scene, name: &str) -> Result<Value> {
    let shown = scene.store.run("podman", &["inspect", name])?;
    let image: Value = serde_json::from_str(&shown)?;
    Ok(json!({
        "id": image[0]["Id"],
        "digest": image[0]["Digest"],
        "layers": image[0]["RootFS"]["Layers"],
    }))
}

#[test]
fn a_pull_is_reported_once_with_image_layers_process_and_user() -> Result<()> {
    if !ready("pull record", &[&ENGINES[..], &["docker-registry"]].concat())? {
        return Ok(());
    }
    let mut scene = Scene::new()?;
    let name = scene.publish("shop/api:2")?;
    let agent = Agent::start(&scene, "agent", &[])?;
    scene.pull(&name)?;
    let pull = agent.wait_for("pull", 1)?.remove(0);
    assert_eq!(image_of(&pull), inspected(&scene, &name)?);
    assert_eq!(pull["names"], json!([name]));
    assert_eq!(pull["new_layers"], 2);
    assert_eq!(
        pull["subject"],
        json!({"uid": 0, "user": "root", "loginuid": null})
    );
    assert_eq!(pull["process"]["comm"], "podman");
    assert_eq!(pull["trust"]["quality"], "unknown");

    // A second name is a second record, without new layers; a second pull of the same is none.
    scene.store.run("podman", &["tag", &name, "localhost/alias:1"])?;
    let pulls = agent.wait_for("pull", 2)?;
    assert_eq!(
        (&pulls[1]["new_layers"], &pulls[1]["image"]["id"]),
        (&json!(0), &pull["image"]["id"])
    );
    scene.pull(&name)?;
    agent.wait_for_metric("layerwatch_pulls_total{engine=\"containers-storage\"}", 2.0)?;
    let pulls = agent.of_kind("pull")?;
    assert_eq!(pulls.len(), 2, "{pulls:#?}");
    Ok(())
}

#[test]
fn a_read_of_a_deleted_key_is_an_alert_everywhere() -> Result<()> {
    let programs = [
        "docker-registry",
        "prometheus",
        "promtool",
        "prometheus-alertmanager",
        "amtool",
    ];
    if !ready("read of a deleted key", &[&ENGINES[..], &programs].concat())? {
        return Ok(());
    }
    let mut scene = Scene::new()?;
    let name = scene.publish("shop/api:2")?;
    let alertmanager = Alertmanager::start(scene.path())?;
    let peer = format!("alertmanager.urls=http://127.0.0.1:{}", alertmanager.port);
    let agent = Agent::start(
        &scene,
        "agent",
        &["--set", "alertmanager.enabled=true", "--set", &peer],
    )?;
    let prometheus = Prometheus::start(scene.path(), agent.port, alertmanager.port, "node-1")?;
    scene.pull(&name)?;
    agent.wait_for("pull", 1)?;
    agent.wait_for_metric("layerwatch_findings{severity=\"critical\"}", 1.0)?;
    scene.store.misconfigure()?;
    agent.wait_for_metric("layerwatch_exposed_findings{severity=\"critical\"}", 1.0)?;
    let key = scene.store.find(KEY)?.remove(0);
    let counter = "sum(layerwatch_sensitive_reads_total)";
    let scraped = |at_least: f64| {
        wait_until("Prometheus has the counter", DEADLINE, || {
            prometheus
                .query(counter)?
                .parse::<f64>()
                .ok()
                .filter(|value| *value >= at_least)
        })
    };
    scraped(0.0)?;
    cat_as(NOBODY, &key)?;

    let alert = agent.wait_for("alert", 1)?.remove(0);
    check_alert(&scene, &name, &alert)?;
    let shown = wait_until("Alertmanager has the alert", DEADLINE, || {
        alertmanager
            .alerts(&["alertname=SensitiveLayerRead"])
            .ok()
            .filter(|alerts| !alerts.is_empty())
    })
    .with_context(|| agent.log())?;
    assert_eq!(shown.len(), 1);
    let labels = &shown[0]["labels"];
    assert_eq!(
        (&labels["instance"], &labels["severity"]),
        (&json!("node-1"), &json!("critical"))
    );
    assert_eq!(scraped(1.0)?.to_string(), "1");
    assert_eq!(agent.of_kind("alert")?.len(), 1);
    Ok(())
}

fn check_alert(scene: &Scene, name: &str, alert: &Value) -> Result<()> {
    let image = inspected(scene, name)?;
    assert_eq!(alert["alert"], "SensitiveLayerRead");
    assert_eq!(alert["severity"], "critical");
    assert_eq!(
        alert["subject"],
        json!({"uid": NOBODY, "user": "nobody", "loginuid": null})
    );
    assert_eq!(alert["process"]["comm"], "cat");
    assert_eq!(alert["access"]["operation"], "open");
    assert_eq!(alert["access"]["via"], "direct");
    assert_eq!(
        (&alert["access"]["path_in_layer"], &alert["access"]["allowed"]),
        (&json!(KEY), &json!(true))
    );
    assert_eq!(alert["layer"]["diff_id"], image["layers"][0]);
    assert_eq!(alert["layer"]["engine"], "containers-storage");
    assert_eq!(
        alert["images"],
        json!([{"name": name, "id": image["id"], "digest": image["digest"]}])
    );
    assert_eq!(alert["finding"]["rule"], "private-key-pem");
    assert_eq!(alert["finding"]["shadowed"], true);
    assert_eq!(alert["exposure"]["readers"], json!([{"who": "world"}]));
    assert_eq!(alert["exposure"]["uncertain"], json!([]));
    assert_eq!(alert["sanction"], Value::Null);
    assert_eq!(alert["count"], 1);
    assert!(alert["trust"]["provenance"].is_string(), "{alert}");
    Ok(())
}

#[test]
fn a_layer_that_is_read_before_its_scan_is_judged_after_it() -> Result<()> {
    if !ready(
        "read before the scan",
        &[&ENGINES[..], &["docker-registry"]].concat(),
    )? {
        return Ok(());
    }
    let mut scene = Scene::new()?;
    let name = scene.publish("shop/api:2")?;
    // A store that is watched already; into an empty one, the first layer may come before the watch.
    let other = scene.path().join("other");
    std::fs::create_dir_all(other.join("etc"))?;
    scene.store.build(&other, "localhost/other:1", false)?;
    let agent = Agent::start(&scene, "agent", &[])?;
    // The reader opens the key as soon as Podman has written it: before the layer is committed, let alone scanned.
    let store = scene.store.clone();
    let reader = std::thread::spawn(move || {
        wait_until("the key can be read", DEADLINE, || {
            store.misconfigure().ok()?;
            let key = store.find(KEY).ok()?.pop()?;
            cat_as(NOBODY, &key).ok()
        })
    });
    scene.pull(&name)?;
    reader.join().ok().context("the reader")??;
    let alert = agent.wait_for("alert", 1)?.remove(0);
    assert_eq!(alert["subject"]["uid"], NOBODY);
    assert_eq!(alert["access"]["path_in_layer"], KEY);
    assert_eq!(alert["finding"]["rule"], "private-key-pem");
    Ok(())
}

#[test]
fn a_read_of_an_image_configuration_with_a_token_is_an_alert() -> Result<()> {
    if !ready("read of an image configuration", &ENGINES)? {
        return Ok(());
    }
    let scene = Scene::new()?;
    let name = "localhost/config:1";
    let container = scene.store.run("buildah", &["from", "scratch"])?;
    // In two parts, so that no scanner of source code takes it for a leak.
    let secret = "qRFAG9X5B54gZS8Vuj1rsCqLrZqhxM4ciDcm";
    let token = ["GITHUB_TOKEN=ghp_", secret].concat();
    scene
        .store
        .run("buildah", &["config", "--env", &token, &container])?;
    scene.store.run("buildah", &["commit", "-q", &container, name])?;
    let agent = Agent::start(&scene, "agent", &[])?;
    let id = inspected(&scene, name)?["id"]
        .as_str()
        .context("an id")?
        .to_owned();
    let images = scene.store.root().join("overlay-images");
    for directory in [scene.store.root(), images.clone(), images.join(&id)] {
        std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o711))?;
    }
    let files = std::fs::read_dir(images.join(&id))?.collect::<Result<Vec<_>, _>>()?;
    let config = files
        .iter()
        .map(std::fs::DirEntry::path)
        .find(|path| {
            layerwatch::bounded::read_text(path, 1 << 20).is_ok_and(|text| text.contains("GITHUB_TOKEN"))
        })
        .context("the configuration")?;
    std::fs::set_permissions(&config, std::fs::Permissions::from_mode(0o644))?;
    agent.wait_for_metric("layerwatch_exposed_findings{severity=\"critical\"}", 1.0)?;
    cat_as(NOBODY, &config)?;
    let alert = agent.wait_for("alert", 1)?.remove(0);
    assert_eq!(
        json!({
            "alert": alert["alert"],
            "uid": alert["subject"]["uid"],
            "layer": alert["layer"],
            "image": alert["images"][0]["id"],
            "rule": alert["finding"]["rule"],
            "readers": alert["exposure"]["readers"],
        }),
        json!({
            "alert": "SensitiveLayerRead",
            "uid": NOBODY,
            "layer": null,
            "image": id,
            "rule": "github-token",
            "readers": [{"who": "world"}],
        })
    );
    assert!(!alert.to_string().contains(secret), "the token is in the alert");
    Ok(())
}
