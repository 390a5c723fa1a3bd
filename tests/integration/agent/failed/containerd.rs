//! containerd writes blobs in its content store; what a client did not finish is cleared away when its lease ends, which of
//! one that was killed is a day later.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use layerwatch_tests::run;
use layerwatch_tests::scene::{Agent, CONTAINERD, Containerd, Fault, Release};
use serde_json::{Value, json};

use super::{ENGINES, Ground, failed, kill, length, list, ready, told};

/// As an unpack calls what it fills.
const UNPACKING: &str =
    "extract-1-abcd sha256:0000000000000000000000000000000000000000000000000000000000000000";

fn ingest(containerd: &Containerd) -> PathBuf {
    containerd.root().join("io.containerd.content.v1.content/ingest")
}

fn check(release: Release) -> Result<()> {
    let needed = [&ENGINES[..], &CONTAINERD, &release.programs()].concat();
    if !ready(&format!("failed pull of {}", release.programs()[0]), &needed)? {
        return Ok(());
    }
    let ground = Ground::new()?;
    let containerd = Containerd::start(&ground.scene, release)?;
    let agent = Agent::start_on_root(&ground.scene, &containerd.root(), &[])?;
    let pull = |name: &str| containerd.pull("default", "overlayfs", name);
    pull(&ground.small)?;
    pull(&ground.small)?;
    let mut expected = vec![json!(["pulled", "shop/small:1", 2, false])];
    assert_eq!(told(&agent, 1)?, expected);

    ensure!(pull(&ground.name(Fault::Cut)?).is_err(), "the pull succeeded");
    expected.push(failed());
    assert_eq!(told(&agent, 2)?, expected);
    ensure!(length(&ingest(&containerd)) == 0, "it is cleared away");

    // containerd asks for the rest where a connection is lost.
    pull(&ground.name(Fault::CutOnce)?)?;
    expected.push(json!(["pulled", "shop/cut:1", 2, true]));
    assert_eq!(told(&agent, 3)?, expected);
    containerd.ctr(&["images", "rm", "--sync", &last_image(&containerd)?])?;

    let stalling = ground.name(Fault::Stall)?;
    let client = containerd.client(&["images", "pull", "--plain-http", &stalling]);
    kill(client, &agent, || length(&ingest(&containerd)) > 1 << 20)?;
    expected.push(failed());
    assert_eq!(told(&agent, 4)?, expected);
    leave_unpacked(&containerd)?;
    is_shown_and_scanned(&containerd, &agent)?;
    assert_eq!(told(&agent, 4)?, expected, "each once");
    Ok(())
}

fn last_image(containerd: &Containerd) -> Result<String> {
    let names = containerd.ctr(&["images", "ls", "-q"])?;
    let last = names.lines().find(|name| name.ends_with("/shop/cut:1"));
    last.map(ToOwned::to_owned).context("the image")
}

/// A snapshot as an unpack that was interrupted leaves it, with a private key.
fn leave_unpacked(containerd: &Containerd) -> Result<()> {
    let snapshots = containerd.snapshots("overlayfs");
    let numbers = || -> Result<Vec<PathBuf>> {
        std::fs::read_dir(&snapshots)?
            .map(|entry| Ok(entry?.path()))
            .collect()
    };
    let before = numbers()?;
    containerd.ctr(&["snapshots", "prepare", UNPACKING])?;
    let new = numbers()?.into_iter().find(|one| !before.contains(one));
    let key = new.context("a snapshot")?.join("fs/secret.key");
    run(Command::new("openssl")
        .args(["genpkey", "-algorithm", "ED25519", "-out"])
        .arg(key))
    .map(drop)
}

/// What was left is counted, listed and scanned.
fn is_shown_and_scanned(containerd: &Containerd, agent: &Agent) -> Result<()> {
    // The blob's key and the snapshot's.
    agent.wait_for_metric("layerwatch_findings{severity=\"critical\"}", 2.0)?;
    let settings = [format!("stores.roots={}", containerd.root().display())];
    let stores = list(&settings, "stores")?;
    let left: Vec<(&Value, bool)> = stores
        .iter()
        .map(|store| &store["leftovers"])
        .map(|left| {
            (
                &left["count"],
                left["bytes"].as_u64().is_some_and(|bytes| bytes > 1 << 20),
            )
        })
        .collect();
    let ingested = std::fs::read_dir(ingest(containerd))?.count();
    assert_eq!(left, [(&json!(ingested + 1), true)]);
    let layers = list(&settings, "layers")?;
    let states = layers
        .iter()
        .map(|layer| layer["state"].as_str().unwrap_or_default());
    let left: Vec<&str> = states
        .filter(|state| ["leftover", "incomplete"].contains(state))
        .collect();
    let count = |state| left.iter().filter(|one| **one == state).count();
    assert_eq!((count("leftover"), count("incomplete")), (ingested, 1));
    Ok(())
}

#[test]
fn containerds_is_told() -> Result<()> {
    check(Release::ALL[0])
}

#[test]
fn a_newer_containerds_is_told() -> Result<()> {
    check(Release::ALL[1])
}
