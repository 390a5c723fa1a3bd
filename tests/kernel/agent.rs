//! The agent itself on this kernel: four ways to a layer's files, four alerts, each with its layer and the reader's uid.
//!
//! The store is written here in the format of containers/storage, since a test machine has no engine; the integration tests
//! do the same on stores that real engines made.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use base64::Engine as _;
use layerwatch_tests::scene::Agent;
use serde_json::{Value, json};

use crate::fixture::{Mounted, USER, cat_as, directory};

const WAYS: [&str; 4] = ["direct", "bind", "link", "overlay"];

/// A private key of the right structure (RFC 8410: the DER prefix of an Ed25519 key, then 32 bytes).
pub(crate) fn key(number: usize) -> String {
    let mut der = b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20".to_vec();
    let seed = number.to_le_bytes();
    der.extend((0..32).map(|byte: u8| {
        byte.wrapping_mul(37)
            .wrapping_add(seed[usize::from(byte % 4)].wrapping_mul(11))
    }));
    let body = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n")
}

/// Two layers and an image; `etc/<way>.key` in the lower one.
pub(crate) struct Store {
    pub(crate) root: PathBuf,
    pub(crate) lower: String,
    pub(crate) upper: String,
}

impl Store {
    pub(crate) fn write(root: &Path) -> Result<Self> {
        let (lower, upper, image) = ("a".repeat(64), "b".repeat(64), "c".repeat(64));
        for directory in ["overlay-layers", "overlay-images", "overlay/l"] {
            fs::create_dir_all(root.join(directory))?;
        }
        for layer in [&lower, &upper] {
            fs::create_dir_all(root.join("overlay").join(layer).join("diff/etc"))?;
        }
        for (number, way) in (0..).zip(WAYS) {
            let file = root
                .join("overlay")
                .join(&lower)
                .join(format!("diff/etc/{way}.key"));
            fs::write(file, key(number))?;
        }
        let layer = |id: &str, parent: Option<&str>| {
            let digest = format!("sha256:{id}");
            json!({"id": id, "parent": parent, "diff-digest": digest, "created": "2026-01-01T00:00:00Z"})
        };
        let layers = json!([layer(&lower, None), layer(&upper, Some(&lower))]);
        let images = json!([{
            "id": image,
            "digest": format!("sha256:{image}"),
            "names": ["registry.example/shop/api:1"],
            "layer": upper,
            "created": "2026-01-01T00:00:00Z",
        }]);
        fs::write(root.join("overlay-layers/layers.json"), layers.to_string())?;
        fs::write(root.join("overlay-images/images.json"), images.to_string())?;
        Ok(Self {
            root: root.to_owned(),
            lower,
            upper,
        })
    }

    pub(crate) fn diff(&self, layer: &str) -> PathBuf {
        self.root.join("overlay").join(layer).join("diff")
    }

    /// Many findings in the upper layer; where they are.
    pub(crate) fn with_keys(&self, count: usize) -> Result<Vec<PathBuf>> {
        let keys = self.diff(&self.upper).join("keys");
        fs::create_dir(&keys)?;
        let write = |number: usize| {
            let file = keys.join(format!("{number:05}.key"));
            fs::write(&file, key(number))?;
            Ok(file)
        };
        (0..count).map(write).collect()
    }
}

/// The agent on the store, when it has found the four keys.
pub(crate) fn watching(store: &Store, directory: &Path, verb: &[&str]) -> Result<Agent> {
    let agent = started(store, directory, verb, &[])?;
    agent.wait_for_metric("layerwatch_findings{severity=\"critical\"}", 4.0)?;
    Ok(agent)
}

/// The agent on the store, with more arguments.
pub(crate) fn started(store: &Store, directory: &Path, verb: &[&str], more: &[&str]) -> Result<Agent> {
    started_on(&store.root, directory, verb, more)
}

/// The same on any store's root.
pub(crate) fn started_on(root: &Path, directory: &Path, verb: &[&str], more: &[&str]) -> Result<Agent> {
    let tier = std::env::var("LAYERWATCH_TEST_TIER").ok();
    let tier = tier.map(|tier| format!("watch.tier={}", tier.to_lowercase()));
    let mut switches = more.to_vec();
    if let Some(tier) = &tier {
        switches.extend(["--set", tier]);
    }
    if std::env::var_os("LAYERWATCH_TEST_DETACHED").is_some() {
        switches.push("--test-detach-open-hook");
    }
    let at = directory.join("agent");
    Agent::start_on(&Agent::binary()?, root, &at, verb, &switches)
}

/// What an alert must say, in the order of the ways.
fn said(alert: &Value) -> Value {
    json!({
        "alert": alert["alert"],
        "uid": alert["subject"]["uid"],
        "layer": alert["layer"]["id"],
        "path": alert["access"]["path_in_layer"],
        "via": alert["access"]["via"],
        "count": alert["count"],
    })
}

#[test]
fn four_ways_to_a_layer_are_four_alerts() -> Result<()> {
    let directory = directory()?;
    let store = Store::write(&directory.path().join("store"))?;
    let agent = watching(&store, directory.path(), &["run"])?;

    let lower = store.diff(&store.lower);
    let read = |path: &Path| cat_as(USER, path).map(|content| assert!(content.contains("PRIVATE KEY")));
    for name in ["bind", "merged"] {
        fs::create_dir(directory.path().join(name))?;
    }
    read(&lower.join("etc/direct.key"))?;
    let bound = Mounted::bind(&lower.join("etc"), &directory.path().join("bind"))?;
    read(&directory.path().join("bind/bind.key"))?;
    drop(bound);
    let link = directory.path().join("link.key");
    fs::hard_link(lower.join("etc/link.key"), &link)?;
    read(&link)?;
    let merged = directory.path().join("merged");
    let mounted = Mounted::lower_only(&[&store.diff(&store.upper), &lower], &merged)?;
    read(&merged.join("etc/overlay.key"))?;
    drop(mounted);

    let alerts = agent.wait_for("alert", WAYS.len())?;
    let expected = WAYS.map(|way| {
        let via = if way == "overlay" { "overlay" } else { "direct" };
        let path = format!("etc/{way}.key");
        json!({"alert": "SensitiveLayerRead", "uid": USER, "layer": store.lower, "path": path, "via": via, "count": 1})
    });
    assert_eq!(alerts.iter().map(said).collect::<Vec<_>>(), expected);
    // Everything that could come has come: the agent's own canary is behind them in the ring.
    agent.wait_for_metric(
        "layerwatch_stage_events_total{outcome=\"forwarded\",stage=\"decide\"}",
        4.0,
    )?;
    assert_eq!(agent.of_kind("alert").context("lines")?.len(), WAYS.len());
    Ok(())
}
