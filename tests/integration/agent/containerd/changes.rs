//! A database that is written while it is read, and one that is damaged.

use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;
use layerwatch_tests::run;
use layerwatch_tests::scene::Containerd;
use serde_json::{Value, json};

use super::{containerd_ready, json_of, json_of_roots, list, scene};

/// Readings while the daemon commits.
const READINGS: usize = 12;

#[test]
fn a_store_that_changes_all_the_time_is_read_whole() -> Result<()> {
    if !containerd_ready("containerd changes")? {
        return Ok(());
    }
    let (scene, containerd, name) = scene()?;
    containerd.pull("default", "overlayfs", &name)?;
    let stop = AtomicBool::new(false);
    let (commits, readings) = std::thread::scope(|scope| {
        let writer = scope.spawn(|| commit_until(&containerd, &name, &stop));
        let read = || -> Result<Vec<Value>> {
            (0..READINGS)
                .map(|_| json_of(&scene, &containerd, &["images"]))
                .collect()
        };
        let readings = read();
        stop.store(true, Ordering::Relaxed);
        (writer.join(), readings)
    });
    let commits = commits.map_err(|_dead| anyhow::anyhow!("the writer died"))??;
    assert!(commits > READINGS, "{commits} commits");
    for reading in readings? {
        assert_eq!(reading["problems"], json!([]));
        // One row for each name; the others come and go.
        let rows = list(&reading, "images");
        assert!(rows.iter().any(|row| row["name"] == name), "{reading:#}");
        assert!(rows.iter().all(|row| row["layers"] == rows[0]["layers"]));
    }
    Ok(())
}

/// Gives the image names and takes them away; how often.
fn commit_until(containerd: &Containerd, name: &str, stop: &AtomicBool) -> Result<usize> {
    let mut commits = 0;
    while !stop.load(Ordering::Relaxed) {
        let alias = format!("z.example/alias:{commits}");
        containerd.ctr(&["images", "tag", name, &alias])?;
        containerd.ctr(&["images", "rm", &alias])?;
        commits += 2;
    }
    Ok(commits)
}

#[test]
fn a_damaged_database_is_named_and_the_other_root_stays() -> Result<()> {
    if !containerd_ready("containerd damage")? {
        return Ok(());
    }
    let (scene, containerd, name) = scene()?;
    containerd.pull("default", "overlayfs", &name)?;
    let copy = scene.path().join("copy");
    run(Command::new("cp").arg("-a").arg(containerd.root()).arg(&copy))?;
    let database = copy.join("io.containerd.metadata.v1.bolt/meta.db");
    let length = std::fs::metadata(&database)?.len();
    // Cut behind the headers, cut away, and longer than any.
    for (size, kind) in [(3 * 4096, "malformed"), (0, "malformed"), (2 << 30, "malformed")] {
        let file = std::fs::File::options().write(true).open(&database)?;
        file.set_len(size)?;
        let shown = json_of_roots(&scene, &[&copy, &containerd.root()], &["images"])?;
        let images = list(&shown, "images");
        assert_eq!(images.len(), 1, "{size}: {shown:#}");
        assert_eq!(images[0]["names"][0], name, "{size}");
        let problem = &shown["problems"][0];
        assert_eq!(
            (&problem["kind"], &problem["file"]),
            (&json!(kind), &json!(database)),
            "{size} of {length}"
        );
    }
    Ok(())
}
