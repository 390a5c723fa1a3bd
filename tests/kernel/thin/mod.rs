//! A store of Docker's driver devicemapper on a real thin pool, its records as a real daemon wrote them; and one of the
//! driver zfs.
//!
//! The daemon itself is too large for a test machine's memory file system; `tests/fixtures/docker/devicemapper.json` was
//! recorded from one that ran in such a machine.

mod datasets;
mod pool;
mod zpool;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use layerwatch_tests::scene::Agent;
use layerwatch_tests::{output, skip, text_of, wait_until};
use serde_json::{Value, json};

use crate::agent::{key, started_on};
use crate::fixture::{USER, cat_as, detached, directory};
use pool::Pool;

const RECORDED: &str = include_str!("../../fixtures/docker/devicemapper.json");

const IMAGE: &str = "docker.io/dm/app:2";
/// The layer that the key came with.
const LAYER: &str = "80753183ee4e9871d1eca3003ea0c1279a2ce09b573a5462c02fef861f420ccf";
/// What the driver calls the container's device.
const CONTAINER: &str = "716cf918e8bb2ccd7e16cbfae9f370ede29b7cd9bd0955197dfc87e245dc13ac";
/// The group of disks.
const DISK: u32 = 6;

/// Lays the recorded records below a data root, as those of a driver.
fn lay(data_root: &Path, driver: &str) -> Result<()> {
    // A test machine has no copy of the sources.
    let recorded: Value = serde_json::from_str(RECORDED)?;
    let files: BTreeMap<String, String> = serde_json::from_value(recorded["files"].clone())?;
    for (name, text) in files {
        let path = data_root.join(name.replace("devicemapper", driver));
        fs::create_dir_all(path.parent().context("a parent")?)?;
        if name.rsplit('.').next() == Some("gz") {
            let mut packed =
                flate2::write::GzEncoder::new(fs::File::create(path)?, flate2::Compression::fast());
            packed.write_all(text.as_bytes())?;
            packed.finish()?;
        } else {
            fs::write(path, text)?;
        }
    }
    Ok(())
}

/// A pool with the image's two layers, neither of which is mounted, and the container's, which is.
fn build(data_root: &Path) -> Result<(Pool, PathBuf)> {
    lay(data_root, "devicemapper")?;
    fs::create_dir_all(data_root.join("devicemapper/mnt"))?;
    let home = data_root.join("devicemapper").metadata()?;
    let (major, minor) = (rustix::fs::major(home.dev()), rustix::fs::minor(home.dev()));
    let prefix = format!("docker-{major}:{minor}-{}", home.ino());
    let mut pool = Pool::new(data_root, &prefix)?;
    pool.tell("create_thin 2")?;
    let at = data_root.join("devicemapper/mnt/base");
    pool.mount(&format!("{prefix}-base"), 2, &at, true)?;
    let etc = at.join("rootfs/etc");
    fs::create_dir_all(&etc)?;
    fs::set_permissions(&at, fs::Permissions::from_mode(0o755))?;
    fs::write(etc.join("secret.key"), key(0))?;
    pool.unmount()?;
    pool.tell("create_snap 3 2")?;
    pool.tell("create_snap 7 3")?;
    let at = data_root.join("devicemapper/mnt").join(CONTAINER);
    pool.mount(&format!("{prefix}-{CONTAINER}"), 7, &at, false)?;
    Ok((pool, at.join("rootfs/etc/secret.key")))
}

fn head_as(group: u32, path: &Path) -> Result<()> {
    let mut head = Command::new("head");
    let done = output(head.args(["-c", "512"]).arg(path).uid(USER).gid(group))?;
    ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    Ok(())
}

fn said(alert: &Value) -> Value {
    json!([
        alert["alert"],
        alert["layer"]["id"],
        alert["access"]["path_in_layer"],
        alert["images"][0]["name"],
        alert["subject"]["uid"],
    ])
}

/// Whatever mounts and unmounts, the agent looks every fifteen seconds.
const DEADLINE: Duration = Duration::from_mins(1);

fn wait_for_findings(agent: &Agent, count: f64) -> Result<()> {
    wait_until("the findings", DEADLINE, || {
        let found = agent.metric("layerwatch_findings{severity=\"critical\"}")?;
        ((found - count).abs() < 0.5).then_some(())
    })
    .with_context(|| agent.log())
}

#[test]
fn a_layer_on_a_thin_device_is_watched_while_it_is_mounted_and_so_is_the_pool() -> Result<()> {
    let misc = text_of(Path::new("/proc/misc"));
    if !detached() && !misc.contains("device-mapper") {
        return skip("devicemapper", "this kernel has no device mapper");
    }
    let directory = directory()?;
    let data_root = directory.path().join("docker");
    let (mut pool, secret) = build(&data_root)?;
    let agent = started_on(&data_root, directory.path(), &["run"], &[])?;
    wait_for_findings(&agent, 1.0)?;

    cat_as(USER, &secret)?;
    let file = data_root.join("devicemapper/devicemapper/data");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644))?;
    head_as(USER, &file)?;
    std::os::unix::fs::chown(pool.node(), None, Some(DISK))?;
    fs::set_permissions(pool.node(), fs::Permissions::from_mode(0o640))?;
    head_as(DISK, &pool.node())?;
    let alerts = agent.wait_for("alert", 3)?;
    let raw = json!(["RawDeviceRead", null, null, null, USER]);
    assert_eq!(
        alerts.iter().map(said).collect::<Vec<_>>(),
        [
            json!(["SensitiveLayerRead", LAYER, "etc/secret.key", IMAGE, USER]),
            raw.clone(),
            raw
        ]
    );

    // Its numbers may be another file system's by the next look.
    pool.unmount()?;
    wait_for_findings(&agent, 0.0)
}
