//! What comes into containerd's store is reported once, as what it is, and what goes is noticed.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use layerwatch_tests::scene::{Agent, Containerd, Release};
use layerwatch_tests::wait_until;
use serde_json::{Value, json};

use super::super::image_of;
use super::{published, releases, store_id};

/// How long after the engine's own answer a record may come.
const SOON: Duration = Duration::from_secs(2);

/// The record with this number, which comes soon and alone.
fn record(agent: &Agent, count: usize, answered: Instant) -> Result<Value> {
    let mut records = agent.wait_for("pull", count)?;
    let late = answered.elapsed();
    assert!(late < SOON, "the record came {late:?} after the answer");
    assert_eq!(records.len(), count, "{records:#?}");
    Ok(records.remove(count - 1))
}

fn wait_for_images(agent: &Agent, driver: &str, count: f64) -> Result<()> {
    let series = format!("layerwatch_images{{driver=\"{driver}\"}}");
    let settled = || agent.metric(&series).filter(|value| (value - count).abs() < 0.5);
    wait_until("the number of images", Duration::from_secs(30), settled).map(drop)
}

/// What containerd itself says of an image: the digest that its name stands for, the manifest's configuration and layers.
fn inspected(containerd: &Containerd, namespace: &str, name: &str) -> Result<Value> {
    let rows = containerd.list(&["--namespace", namespace, "images", "ls"], &[0, 2])?;
    let row = rows.iter().find(|row| row[0] == name).context("the image")?;
    let content = |digest: &str| -> Result<Value> {
        let shown = containerd.ctr(&["--namespace", namespace, "content", "get", digest])?;
        Ok(serde_json::from_str(&shown)?)
    };
    let config = content(&row[1])?["config"]["digest"].clone();
    let config = config.as_str().context("a configuration")?;
    Ok(json!({
        "id": config.trim_start_matches("sha256:"),
        "digest": row[1],
        "layers": content(config)?["rootfs"]["diff_ids"],
    }))
}

#[test]
fn pull_tag_and_import_are_one_record_each() -> Result<()> {
    releases("containerd pull records")?
        .into_iter()
        .try_for_each(records)
}

fn records(release: Release) -> Result<()> {
    let (scene, name) = published()?;
    let containerd = Containerd::start_with_btrfs(&scene, release)?;
    let agent = Agent::start_on_root(&scene, &containerd.root(), &[])?;
    let archive = scene.path().join("image.tar");
    let archive = archive.to_str().context("the path is text")?;

    containerd.pull("default", "overlayfs", &name)?;
    let pulled = record(&agent, 1, Instant::now())?;
    assert_eq!(image_of(&pulled), inspected(&containerd, "default", &name)?);
    assert_eq!(
        json!([
            pulled["arrival"],
            pulled["new_layers"],
            pulled["names"],
            pulled["store"]
        ]),
        json!(["pulled", 2, [name], store_id(&containerd, "default", "overlayfs")])
    );
    assert_eq!(
        json!([pulled["process"]["comm"], pulled["subject"]]),
        json!(["containerd", {"uid": 0, "user": "root", "loginuid": null}])
    );

    containerd.ctr(&["images", "tag", &name, "docker.io/own/alias:1"])?;
    let tagged = record(&agent, 2, Instant::now())?;
    assert_eq!(
        json!([tagged["arrival"], tagged["new_layers"], tagged["names"]]),
        json!(["tagged", 0, [name, "docker.io/own/alias:1"]])
    );

    // The same image from an archive, when it is gone.
    containerd.ctr(&["images", "export", archive, "docker.io/own/alias:1"])?;
    containerd.ctr(&["images", "rm", "--sync", &name, "docker.io/own/alias:1"])?;
    wait_for_images(&agent, "overlayfs", 0.0)?;
    containerd.ctr(&["images", "import", archive])?;
    let loaded = record(&agent, 3, Instant::now())?;
    assert_eq!(
        json!([loaded["arrival"], loaded["new_layers"], loaded["names"]]),
        json!(["loaded", 2, ["docker.io/own/alias:1"]])
    );

    // Another namespace has nothing yet, and what is there already is no arrival.
    for (count, namespace, snapshotter) in [(4, "built", "btrfs"), (5, "k8s.io", "native")] {
        containerd.pull(namespace, snapshotter, &name)?;
        let other = record(&agent, count, Instant::now())?;
        assert_eq!(
            json!([other["arrival"], other["new_layers"], other["store"]]),
            json!(["pulled", 2, store_id(&containerd, namespace, snapshotter)])
        );
    }
    containerd.pull("k8s.io", "native", &name)?;
    containerd.ctr(&[
        "--namespace",
        "k8s.io",
        "images",
        "tag",
        &name,
        "docker.io/last:1",
    ])?;
    let last = record(&agent, 6, Instant::now())?;
    assert_eq!(last["arrival"], "tagged");
    Ok(())
}
