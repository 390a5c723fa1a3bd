//! What lies under a store, on a real loop device: who opens the device or the image file is reported, root is not.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use layerwatch_tests::scene::{Agent, KEY, Scene};
use layerwatch_tests::{output, run};
use rustix::fs::{CWD, FileType, Mode};
use rustix::mount::UnmountFlags;
use serde_json::{Value, json};

use super::{ENGINES, ready};

const NOBODY: u32 = 65534;

/// A file system in an image file, mounted where the scene's store is to be.
struct Disk {
    image: PathBuf,
    mounted: PathBuf,
}

impl Disk {
    fn under(scene: &Scene) -> Result<Self> {
        let disk = Self {
            image: scene.path().join("disk.img"),
            mounted: scene.store.root(),
        };
        let file = std::fs::File::create(&disk.image)?;
        file.set_len(256 << 20)?;
        run(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&disk.image))?;
        run(Command::new("mount")
            .args(["-o", "loop"])
            .arg(&disk.image)
            .arg(&disk.mounted))?;
        Ok(disk)
    }

    /// A node of the block device that the file system is on, for a group as udev makes them: the machine's own nodes
    /// have what modes they have.
    fn node(&self, scene: &Scene, group: u32) -> Result<PathBuf> {
        let node = scene.path().join("node");
        let device = std::fs::metadata(&self.mounted)?.dev();
        let mode = Mode::from_raw_mode(0o640);
        rustix::fs::mknodat(CWD, &node, FileType::BlockDevice, mode, device).context("mknod")?;
        std::fs::set_permissions(&node, std::fs::Permissions::from_mode(0o640))?;
        std::os::unix::fs::chown(&node, None, Some(group))?;
        Ok(node)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // The engine leaves its own directory mounted on itself.
        while rustix::mount::unmount(self.mounted.join("overlay"), UnmountFlags::DETACH).is_ok() {}
        let unmounted = rustix::mount::unmount(&self.mounted, UnmountFlags::DETACH);
        assert!(unmounted.is_ok() || std::thread::panicking(), "{unmounted:?}");
    }
}

/// Reads the first bytes as a user of a group.
fn read_as(uid: u32, gid: u32, path: &Path) -> Result<()> {
    let mut head = Command::new("head");
    let read = output(head.args(["-c", "512"]).arg(path).uid(uid).gid(gid))?;
    ensure!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    Ok(())
}

/// With the last name only: the path is the one in the file system, which may be mounted elsewhere too.
fn said(alert: &Value) -> Value {
    let path = alert["access"]["path"].as_str().unwrap_or_default();
    json!({
        "alert": alert["alert"],
        "severity": alert["severity"],
        "uid": alert["subject"]["uid"],
        "operation": alert["access"]["operation"],
        "name": path.rsplit('/').next(),
        "count": alert["count"],
    })
}

#[test]
fn the_device_and_the_image_file_under_a_store_are_watched() -> Result<()> {
    if !ready(
        "devices under a store",
        &[&ENGINES[..], &["mkfs.ext4", "mount"]].concat(),
    )? {
        return Ok(());
    }
    let scene = Scene::new()?;
    let disk = Disk::under(&scene)?;
    scene.store.build(&scene.tree()?, "localhost/disk:1", true)?;
    let agent = Agent::start(&scene, "agent", &[])?;
    agent.wait_for_metric("layerwatch_findings{severity=\"critical\"}", 1.0)?;

    let group = 6;
    let device = disk.node(&scene, group)?;
    // As root nothing is said; as a user whom the device's group admits, and of a file that is open to all, it is.
    read_as(0, 0, &device)?;
    read_as(NOBODY, group, &device)?;
    std::fs::set_permissions(&disk.image, std::fs::Permissions::from_mode(0o644))?;
    read_as(NOBODY, NOBODY, &disk.image)?;
    // Behind them: the key itself, whose alert shows that nothing else is to come.
    scene.store.misconfigure()?;
    let key = scene.store.find(KEY)?.pop().context("the key")?;
    layerwatch_tests::scene::cat_as(NOBODY, &key)?;

    let alerts = agent.wait_for("alert", 3)?;
    let raw = |path: &Path| {
        json!({
            "alert": "RawDeviceRead",
            "severity": "high",
            "uid": NOBODY,
            "operation": "open-device",
            "name": path.file_name().map(|name| name.to_string_lossy()),
            "count": 1,
        })
    };
    assert_eq!(
        alerts.iter().take(2).map(said).collect::<Vec<_>>(),
        [raw(&device), raw(&disk.image)]
    );
    assert_eq!(
        (alerts.len(), &alerts[2]["alert"]),
        (3, &json!("SensitiveLayerRead"))
    );
    Ok(())
}
