//! The agent itself with a store on each file system. Only on this machine, for it starts an agent each time.

use anyhow::{Context, Result};
use layerwatch_tests::wait_until;
use serde_json::{Value, json};

use super::btrfs_is_told;
use super::volume::{Volume, file_with_number};
use crate::agent::{Store, watching};
use crate::fixture::{USER, cat_as, detached, directory, key};

/// A finding's read is an alert; its number elsewhere, and a number that is free again, are none.
fn check(kind: &'static str) -> Result<()> {
    let volume = Volume::new(kind)?;
    let store = Store::write(&volume.part("store")?.join("graph"))?;
    let directory = directory()?;
    let agent = watching(&store, directory.path(), &["run"])?;
    let etc = store.diff(&store.lower).join("etc");
    cat_as(USER, &etc.join("direct.key"))?;

    let number = key(&etc.join("direct.key"))?.ino;
    let sibling = volume.sibling()?;
    cat_as(USER, &file_with_number(&sibling.part("other")?, number)?)?;
    let number = key(&etc.join("link.key"))?.ino;
    std::fs::remove_file(etc.join("link.key"))?;
    // Where numbers are not given out again, there is nothing to be told apart.
    if matches!(kind, "ext4" | "xfs") {
        cat_as(USER, &file_with_number(&etc, number)?)?;
    }
    cat_as(USER, &etc.join("bind.key"))?;

    let said = |alert: &Value| {
        json!([
            alert["layer"]["id"],
            alert["access"]["path_in_layer"],
            alert["subject"]["uid"]
        ])
    };
    let deadline = std::time::Duration::from_secs(if detached() { 3 } else { 60 });
    let is_over = |alerts: &Vec<Value>| alerts.iter().any(|alert| said(alert)[1] == "etc/bind.key");
    let alerts = wait_until("the last alert", deadline, || {
        agent.of_kind("alert").ok().filter(is_over)
    })
    .with_context(|| agent.log())?;
    let expected = ["etc/direct.key", "etc/bind.key"].map(|path| json!([store.lower, path, USER]));
    assert_eq!(alerts.iter().map(said).collect::<Vec<_>>(), expected, "{kind}");
    Ok(())
}

#[test]
fn a_store_on_ext4_is_watched() -> Result<()> {
    check("ext4")
}

#[test]
fn a_store_on_xfs_is_watched() -> Result<()> {
    check("xfs")
}

#[test]
fn a_store_on_btrfs_is_watched() -> Result<()> {
    if btrfs_is_told("keys: a store on btrfs")? {
        check("btrfs")?;
    }
    Ok(())
}

#[test]
fn a_store_on_tmpfs_is_watched() -> Result<()> {
    check("tmpfs")
}
