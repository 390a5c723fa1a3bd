//! A store of Docker's driver zfs on a real pool, for machines whose kernel has ZFS: the records are devicemapper's, since
//! Docker's own are the same for each driver.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use layerwatch_tests::scene::Agent;
use layerwatch_tests::{output, skip};
use serde_json::{Value, json};

use super::zpool::Zpool;
use super::{CONTAINER, IMAGE, LAYER, lay, said, wait_for_findings};
use crate::agent::{key, started_on};
use crate::fixture::{USER, cat_as, detached, directory};

/// What the driver calls the image's layers.
const BASE: &str = "98cbd616f7516055d5bfc51b14124a826079793d17e649d3390cd87e3b99981f";
const TOP: &str = "d10ebfce72a4e2cd79a7044504ccd067e5f82d03455b12a4b71420e0c793b037";

/// Datasets of the image's two layers and the container's, none of them mounted.
fn build(data_root: &Path) -> Result<Zpool> {
    let mut pool = Zpool::new(&data_root.with_file_name("pool.img"), data_root)?;
    lay(data_root, "zfs")?;
    pool.create(BASE, None)?;
    let at = pool.mount(BASE)?;
    fs::create_dir(at.join("etc"))?;
    fs::write(at.join("etc/secret.key"), key(0))?;
    pool.unmount()?;
    pool.create(TOP, Some(BASE))?;
    pool.create(CONTAINER, Some(TOP))?;
    Ok(pool)
}

/// The names of the datasets, and whether they are mounted, of all layers with one of these.
fn listed(data_root: &Path, layers: &[&str]) -> Result<Vec<Value>> {
    let mut command = Command::new(Agent::binary()?);
    command.args(["--set", &format!("stores.roots={}", data_root.display())]);
    let shown = output(command.args(["layers", "-o", "json"]))?;
    let shown: Value = serde_json::from_slice(&shown.stdout)
        .with_context(|| String::from_utf8_lossy(&shown.stderr).into_owned())?;
    let all = shown["layers"].as_array().context("a list")?;
    let devices = all.iter().map(|layer| layer["device"].clone());
    let of = |layer: &&str| {
        let mut devices = devices.clone();
        devices.find(|device| device["name"].as_str().is_some_and(|name| name.ends_with(*layer)))
    };
    Ok(layers.iter().filter_map(of).collect())
}

#[test]
fn a_layer_in_a_dataset_is_watched_while_it_is_mounted() -> Result<()> {
    if !detached() && !Path::new("/dev/zfs").exists() {
        return skip("zfs", "this kernel has no ZFS");
    }
    let directory = directory()?;
    let data_root: PathBuf = directory.path().join("docker");
    let mut pool = build(&data_root)?;
    let agent = started_on(&data_root, directory.path(), &["run"], &[])?;
    wait_for_findings(&agent, 0.0)?;
    // Of the two the image's base, which has the same inode numbers, is mounted too.
    let base = pool.mount(BASE)?;
    let mounted = pool.mount(CONTAINER)?;
    wait_for_findings(&agent, 1.0)?;
    let device = |layer: &str, is_mounted: bool| json!({"name": format!("{}/{layer}", pool.parent()), "is_mounted": is_mounted});
    assert_eq!(
        listed(&data_root, &[BASE, TOP, CONTAINER])?,
        [device(BASE, true), device(TOP, false), device(CONTAINER, true)]
    );

    // README says that a snapshot's files are not seen: they have numbers of their own.
    let snapshot = pool.snapshot(CONTAINER, &mounted)?;
    cat_as(USER, &snapshot.join("etc/secret.key"))?;
    cat_as(USER + 1, &mounted.join("etc/secret.key"))?;
    cat_as(USER + 2, &base.join("etc/secret.key"))?;
    let alerts = agent.wait_for("alert", 2)?;
    let alert = |uid: u32| json!(["SensitiveLayerRead", LAYER, "etc/secret.key", IMAGE, uid]);
    assert_eq!(
        alerts.iter().map(said).collect::<Vec<_>>(),
        [alert(USER + 1), alert(USER + 2)]
    );

    pool.unmount()?;
    wait_for_findings(&agent, 0.0)
}
