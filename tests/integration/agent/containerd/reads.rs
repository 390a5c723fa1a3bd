//! Reads of files in containerd's snapshots and of its blobs: whose they are.

use anyhow::{Context, Result};
use layerwatch_tests::scene::{Agent, Containerd, KEY, Release, cat_as};
use serde_json::{Value, json};

use super::{containerd_ready, json_of, list, published, scene, store_id};

const NOBODY: u32 = 65534;

#[test]
fn a_read_of_a_deleted_key_is_an_alert_with_layer_and_image() -> Result<()> {
    if !containerd_ready("containerd read of a deleted key")? {
        return Ok(());
    }
    for (namespace, snapshotter) in [("default", "overlayfs"), ("k8s.io", "native"), ("built", "btrfs")] {
        let (scene, name) = published()?;
        let containerd = Containerd::start_with_btrfs(&scene, Release::OWN)?;
        let agent = Agent::start_on_root(&scene, &containerd.root(), &[])?;
        // Watched without a restart, as soon as it is there.
        containerd.pull(namespace, snapshotter, &name)?;
        agent.wait_for_metric("layerwatch_findings{severity=\"critical\"}", 1.0)?;
        containerd.misconfigure(snapshotter)?;
        cat_as(NOBODY, &containerd.find(snapshotter, KEY)?.remove(0))?;
        let alert = wait_for_read(&agent)?;
        let told = json!([
            alert["subject"]["uid"],
            alert["layer"]["engine"],
            alert["layer"]["store"],
            alert["images"][0]["name"],
            alert["access"]["path_in_layer"],
            alert["finding"]["shadowed"]
        ]);
        let store = store_id(&containerd, namespace, snapshotter);
        let expected = json!([NOBODY, "containerd", store, name, KEY, true]);
        assert_eq!(told, expected);
    }
    Ok(())
}

fn of_kind(alerts: &[Value], kind: &str) -> Option<Value> {
    alerts.iter().find(|alert| alert["alert"] == kind).cloned()
}

fn wait_for_read(agent: &Agent) -> Result<Value> {
    let read = || of_kind(&agent.of_kind("alert").ok()?, "SensitiveLayerRead");
    layerwatch_tests::wait_until("the read", std::time::Duration::from_secs(30), read)
}

/// Modes inside the image protect nothing in a blob.
#[test]
fn a_blob_that_everybody_can_read_is_exposed_and_its_read_an_alert() -> Result<()> {
    if !containerd_ready("containerd blob")? {
        return Ok(());
    }
    let (scene, containerd, name) = scene()?;
    containerd.pull("default", "overlayfs", &name)?;
    let layers = json_of(&scene, &containerd, &["layers"])?;
    let base = list(&layers, "layers")
        .into_iter()
        .find(|layer| layer["parent"].is_null())
        .context("a base")?;
    let blob = containerd.blob(base["blob_digest"].as_str().context("a digest")?);
    let agent = Agent::start_on_root(&scene, &containerd.root(), &[])?;
    agent.wait_for_metric("layerwatch_findings{severity=\"critical\"}", 1.0)?;
    // The snapshots stay closed; the root alone was open before the CVE's fix.
    containerd.open_root()?;
    let exposed = || of_kind(&agent.of_kind("state").ok()?, "SensitiveLayerExposed");
    let exposed = layerwatch_tests::wait_until("the exposure", std::time::Duration::from_secs(30), exposed)?;
    assert_eq!(
        exposed["exposed"]["store"],
        store_id(&containerd, "default", "overlayfs")
    );
    cat_as_bytes(&blob)?;
    let alert = wait_for_read(&agent)?;
    let told = json!([
        alert["subject"]["uid"],
        alert["layer"]["id"],
        alert["images"][0]["name"],
        alert["finding"]["rule"],
        alert["exposure"]["readers"]
    ]);
    let id = &base["key"]["layer"];
    let expected = json!([NOBODY, id, name, "private-key-pem", [{"who": "world"}]]);
    assert_eq!(told, expected);
    let explained = json_of(&scene, &containerd, &["explain", blob.to_str().context("text")?])?;
    assert_eq!(
        json!([
            explained["layer"]["key"]["layer"],
            explained["findings"][0]["path"]
        ]),
        json!([id, KEY])
    );
    Ok(())
}

/// A blob is no text.
fn cat_as_bytes(path: &std::path::Path) -> Result<()> {
    use std::os::unix::process::CommandExt;
    let mut command = std::process::Command::new("cat");
    let shown = layerwatch_tests::output(command.arg(path).uid(NOBODY).gid(NOBODY))?;
    anyhow::ensure!(shown.status.success() && !shown.stdout.is_empty(), "cat failed");
    Ok(())
}
