//! A second scan opens no file of a layer, and after one more image only the new layer's are opened: shown by strace.

use std::collections::BTreeSet;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use layerwatch_tests::output;
use layerwatch_tests::scene::Scene;

use super::{ENGINES, command, content, ready, scene};

/// The layers of which something was opened, by the directory's name, and what was printed.
fn opened(scene: &Scene, name: &str) -> Result<(BTreeSet<String>, Vec<u8>)> {
    let log = scene.path().join(format!("{name}.strace"));
    let scan = command(scene, &["scan", "--all", "-q", "-o", "json"])?;
    let mut strace = Command::new("strace");
    strace
        .args([
            "-f",
            "-y",
            "-qq",
            "-s",
            "256",
            "-e",
            "trace=open,openat,openat2",
            "-o",
        ])
        .arg(&log)
        .arg(scan.get_program())
        .args(scan.get_args());
    let done = output(&mut strace)?;
    ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let text = String::from_utf8_lossy(&content(&log)?).into_owned();
    let graph = scene.store.root().join("overlay").display().to_string();
    let successful = text.lines().filter(|line| !line.contains(" = -1 "));
    let layers = successful.filter_map(|line| {
        // A descriptor is shown with its path, so that names relative to a directory are seen too.
        let (layer, rest) = line.rsplit_once(&format!("{graph}/"))?.1.split_once('/')?;
        rest.starts_with("diff").then(|| layer.to_owned())
    });
    Ok((layers.collect(), done.stdout))
}

#[test]
fn what_was_scanned_is_not_opened_again() -> Result<()> {
    if !ready("no file is opened twice", &[&ENGINES[..], &["strace"]].concat())? {
        return Ok(());
    }
    let scene = scene()?;
    let (first, found) = opened(&scene, "first")?;
    assert_eq!(
        first.len(),
        2,
        "the control: both layers are opened by the first scan: {first:?}"
    );
    let (second, again) = opened(&scene, "second")?;
    assert_eq!(second, BTreeSet::new(), "the second scan opens nothing");
    assert_eq!(String::from_utf8_lossy(&again), String::from_utf8_lossy(&found));
    // One more image on the same base: its own layer is opened and no other.
    let base = scene
        .store
        .run("buildah", &["from", "--pull-never", super::NAME])?;
    let tree = scene.path().join("more");
    std::fs::create_dir_all(&tree)?;
    std::fs::write(tree.join("more.txt"), "more\n")?;
    let tree = tree.to_str().context("text")?.to_owned();
    scene.store.run("buildah", &["copy", "-q", &base, &tree, "/"])?;
    scene
        .store
        .run("buildah", &["commit", "-q", &base, "localhost/shop/api:2"])?;
    scene.store.run("buildah", &["rm", &base])?;
    let (third, _) = opened(&scene, "third")?;
    assert_eq!(third.len(), 1, "{third:?}");
    assert!(third.is_disjoint(&first), "{third:?}");
    // A cache that is damaged is said and made anew; a scan then reads again.
    std::fs::write(scene.path().join("state/scans.redb"), b"nonsense".repeat(1000))?;
    let (fourth, again) = opened(&scene, "fourth")?;
    assert!(fourth.is_superset(&first), "{fourth:?}");
    assert!(!again.is_empty());
    Ok(())
}
