//! What must not be an alert: counted, and visible with `--verbose`.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use layerwatch_tests::scene::{Agent, KEY, Scene, cat_as};
use layerwatch_tests::{output, wait_until};
use rustix::mount::{MountFlags, UnmountFlags};
use serde_json::Value;

use super::{ENGINES, ready};

const USER: u32 = 1000;
const DEADLINE: Duration = Duration::from_secs(30);

/// A scene with the image built into the watched store itself, its key visible, and an agent that tells all.
fn scene() -> Result<(Scene, Agent)> {
    let scene = Scene::new()?;
    scene.store.build(&scene.tree()?, "localhost/shop/api:1", false)?;
    let agent = Agent::start(&scene, "agent", &["--verbose"])?;
    agent.wait_for_metric("layerwatch_findings{severity=\"critical\"}", 1.0)?;
    Ok((scene, agent))
}

/// The accesses to the key that are recorded with one of these sanctions, of this program if one is named, once there
/// is one.
fn sanctioned(agent: &Agent, sanctions: &[&str], comm: Option<&str>) -> Result<Vec<Value>> {
    let found = wait_until(
        &format!("an access with a sanction of {sanctions:?}"),
        DEADLINE,
        || {
            let lines = agent.of_kind("access").ok()?.into_iter();
            let with = lines.filter(|line| {
                line["sanction"].as_str().is_some_and(|s| sanctions.contains(&s))
                    && line["access"]["path_in_layer"] == KEY
                    && comm.is_none_or(|comm| line["process"]["comm"] == comm)
            });
            Some(with.collect::<Vec<_>>()).filter(|found| !found.is_empty())
        },
    );
    found.with_context(|| format!("{:#?}", agent.lines()))
}

#[test]
fn root_on_the_host_is_recorded_and_not_alerted() -> Result<()> {
    if !ready("root read", &ENGINES)? {
        return Ok(());
    }
    let (scene, agent) = scene()?;
    let key = scene.store.find(KEY)?.remove(0);
    ensure!(output(Command::new("cat").arg(&key))?.status.success());
    let recorded = sanctioned(&agent, &["host-root"], Some("cat"))?;
    assert_eq!(recorded.len(), 1, "{recorded:?}");
    assert_eq!(recorded[0]["subject"]["uid"], 0);
    assert_eq!(agent.of_kind("alert")?, Vec::<Value>::new());
    Ok(())
}

#[test]
fn an_ordinary_file_is_recorded_and_not_alerted() -> Result<()> {
    if !ready("ordinary read", &ENGINES)? {
        return Ok(());
    }
    let (scene, agent) = scene()?;
    scene.store.misconfigure()?;
    let motd = scene.store.find("etc/motd")?.remove(0);
    assert_eq!(cat_as(USER, &motd)?, "welcome\n");
    let recorded = agent.wait_for("access", 1)?;
    let ordinary: Vec<_> = recorded
        .iter()
        .filter(|line| line["subject"]["uid"] == USER)
        .collect();
    assert_eq!(ordinary.len(), 1, "{recorded:?}");
    assert_eq!(ordinary[0]["alert"], "LayerContentRead");
    assert_eq!(ordinary[0]["access"]["path_in_layer"], "etc/motd");
    assert_eq!(ordinary[0]["finding"], Value::Null);
    assert_eq!(agent.of_kind("alert")?, Vec::<Value>::new());
    Ok(())
}

#[test]
fn an_engine_that_unpacks_and_commits_is_not_alerted() -> Result<()> {
    if !ready(
        "engine at work",
        &[&ENGINES[..], &["docker-registry", "skopeo"]].concat(),
    )? {
        return Ok(());
    }
    let mut scene = Scene::new()?;
    let name = scene.publish("shop/api:2")?;
    let agent = Agent::start(&scene, "agent", &["--verbose"])?;
    scene.pull(&name)?;
    agent.wait_for_metric("layerwatch_findings{severity=\"critical\"}", 1.0)?;
    // Podman reads every layer to export the image, the key included.
    let archive = scene.path().join("image.tar");
    let archive = archive.to_str().context("the path is text")?;
    scene.store.run("podman", &["save", "-q", "-o", archive, &name])?;
    let recorded = sanctioned(&agent, &["engine-at-work"], None)?;
    assert!(
        recorded.iter().all(|line| line["subject"]["uid"] == 0),
        "{recorded:?}"
    );
    assert_eq!(agent.of_kind("alert")?, Vec::<Value>::new());
    Ok(())
}

/// Runs `cat /etc/secret.key` in a container of Buildah's chroot isolation as a user.
fn in_container(scene: &Scene, user: &str) -> Result<String> {
    let container = scene
        .store
        .run("buildah", &["from", "--pull-never", "localhost/shop/api:1"])?;
    let busybox = "/bin/busybox";
    scene
        .store
        .run("buildah", &["copy", "-q", &container, busybox, "/bin/cat"])?;
    let read = [
        "run",
        "--isolation",
        "chroot",
        "--user",
        user,
        &container,
        "--",
        "/bin/cat",
        "/etc/secret.key",
    ];
    let shown = scene.store.run("buildah", &read)?;
    scene.store.run("buildah", &["rm", &container])?;
    Ok(shown)
}

#[test]
fn a_container_that_reads_its_own_files_is_not_alerted() -> Result<()> {
    if !ready("container reads its own", &ENGINES)? {
        return Ok(());
    }
    // Root in a container without a user namespace is root of the host, and a child of the engine: whichever of the
    // proofs is at hand when the process may be gone already.
    let root: &[&str] = &["engine-at-work", "host-root", "own-root-file-system"];
    for (user, sanctions) in [("0", root), ("1000:1000", &["own-root-file-system"])] {
        let (scene, agent) = scene()?;
        let shown = in_container(&scene, user)?;
        assert!(shown.contains("PRIVATE KEY"), "{shown}");
        let uid: u32 = user
            .split(':')
            .next()
            .and_then(|uid| uid.parse().ok())
            .context("uid")?;
        let recorded = sanctioned(&agent, sanctions, Some("cat"))?;
        let through: Vec<_> = recorded
            .iter()
            .filter(|line| line["subject"]["uid"] == uid)
            .collect();
        assert_eq!(through.len(), 1, "{user}: {recorded:?}");
        assert_eq!(through[0]["access"]["via"], "overlay");
        assert_eq!(agent.of_kind("alert")?, Vec::<Value>::new(), "{user}");
    }
    Ok(())
}

#[test]
fn a_host_user_in_a_mounted_overlay_is_alerted_with_their_own_uid() -> Result<()> {
    if !ready("overlay read", &ENGINES)? {
        return Ok(());
    }
    let (scene, agent) = scene()?;
    let key = scene.store.find(KEY)?.remove(0);
    let layer = key.ancestors().nth(2).context("the layer's directory")?;
    let merged = scene.path().join("merged");
    let empty = scene.path().join("empty");
    for directory in [&merged, &empty] {
        std::fs::create_dir(directory)?;
    }
    mount_overlay(&[layer, &empty], &merged)?;
    let shown = cat_as(USER, &merged.join(KEY));
    rustix::mount::unmount(&merged, UnmountFlags::DETACH)?;
    assert!(shown?.contains("PRIVATE KEY"));
    let alert = agent.wait_for("alert", 1)?.remove(0);
    assert_eq!(
        (&alert["subject"]["uid"], &alert["access"]["via"]),
        (&USER.into(), &"overlay".into())
    );
    assert_eq!(alert["access"]["path_in_layer"], KEY);
    assert_eq!(agent.of_kind("alert")?.len(), 1);
    Ok(())
}

fn mount_overlay(lower: &[&Path], target: &Path) -> Result<()> {
    let lower: Vec<_> = lower.iter().map(|path| path.display().to_string()).collect();
    let options = std::ffi::CString::new(format!("lowerdir={}", lower.join(":")))?;
    rustix::mount::mount(
        "overlay",
        target,
        "overlay",
        MountFlags::empty(),
        options.as_c_str(),
    )
    .context("mount an overlay")
}
