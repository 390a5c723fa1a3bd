//! An inode is known by the device and the number that `stat` shows, on every file system that stores lie on.
//!
//! Each has its own file system, in a file behind a loop device or in memory, so that nothing else is on it.

mod here;
mod volume;

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use layerwatch::decode::{BootClock, decode};
use layerwatch::judge::subject_uid;
use layerwatch::kernel::WatchSet;
use layerwatch::model::DevIno;
use layerwatch_ebpf::{InodeKey, Record, flags, kinds};
use layerwatch_tests::{output, program, skip};

use crate::fixture::{Layer, USER, cat_as, detached, key, tells_types_of, wire};
use volume::{Volume, file_with_number};

/// Acts of the reader, each of which leads to the file by another mount or name.
const WAYS: [&str; 8] = [
    "open",
    "mmap",
    "hard-link",
    "bind",
    "detached-mount",
    "idmapped-mount",
    "overlay",
    "overlay-on-overlay",
];
/// The reader's exit status where this kernel has no such way.
const ABSENT: i32 = 77;

/// A record in short: what, of which file, for whom.
type Seen = (u16, InodeKey, u32);

fn seen(records: &[Record]) -> Result<Vec<Seen>> {
    let clock = BootClock {
        boot_time: jiff::Timestamp::UNIX_EPOCH,
        boot_id: String::new(),
    };
    let one = |record: &Record| {
        let subject = subject_uid(&decode(bytemuck::bytes_of(record), &clock)?);
        Ok((record.kind, record.file, subject))
    };
    records.iter().map(one).collect()
}

/// Goes one way to the secret; what was seen of it, or nothing where this kernel has no such way.
fn gone(layer: &mut Layer, reader: &Path, way: &str) -> Result<Option<Vec<Seen>>> {
    let spare = tempfile::tempdir_in(layer.path("elsewhere"))?;
    std::os::unix::fs::chown(spare.path(), Some(USER), Some(USER))?;
    let file = layer.path("lower/etc/secret.key");
    let mut command = Command::new(reader);
    let done = output(
        command
            .arg(way)
            .arg(layer.path("lower"))
            .arg(file)
            .arg(spare.path()),
    )?;
    let records = layer.records()?;
    match done.status.code() {
        Some(0) => ensure!(done.stdout == b"the secret\n", "the reader read something else"),
        Some(ABSENT) => return Ok(None),
        _ => bail!("the reader: {}", String::from_utf8_lossy(&done.stderr)),
    }
    seen(&records).map(Some)
}

/// All ways on one file system, and what must not be taken for the file.
fn check(kind: &'static str) -> Result<()> {
    let volume = Volume::new(kind)?;
    let mut layer = Layer::on(&volume.part("store")?, |_, _| Ok(()))?;
    let reader = program("layerwatch-reader")?;
    let secret = layer.secret()?;
    layer.records()?;
    for way in WAYS {
        let expected = vec![(kinds::OPEN_FINDING, wire(secret), USER)];
        match gone(&mut layer, &reader, way).with_context(|| format!("{way} on {kind}"))? {
            Some(seen) => assert_eq!(seen, expected, "{way} on {kind}"),
            None => skip(&format!("keys: {way} on {kind}"), "this kernel has no such way")?,
        }
    }
    cat_as(USER, &layer.path("lower/etc/motd"))?;
    let records = layer.records()?;
    let content: Vec<_> = records.iter().map(|record| (record.kind, record.watch)).collect();
    assert_eq!(
        content,
        [(kinds::OPEN_CONTENT, wire(key(&layer.path("lower"))?))],
        "{kind}"
    );

    // Another subvolume, or another file system of the kind.
    let other = volume.sibling()?;
    let same = file_with_number(&other.part("other")?, secret.ino)?;
    assert_ne!(key(&same)?, secret);
    cat_as(USER, &same)?;
    assert_eq!(
        layer.records()?,
        [],
        "{} has the number on {kind}",
        same.display()
    );
    Ok(())
}

#[test]
fn on_ext4_a_file_is_known_by_what_stat_shows() -> Result<()> {
    check("ext4")
}

#[test]
fn on_xfs_a_file_is_known_by_what_stat_shows() -> Result<()> {
    check("xfs")
}

/// Whether the kernel tells where btrfs keeps a subvolume's device; a recorded skip where not. Without hooks nothing may
/// pass, so there the test is run.
fn btrfs_is_told(test: &str) -> Result<bool> {
    if !detached() && !tells_types_of("btrfs") {
        skip(test, "this kernel tells no types of modules")?;
        return Ok(false);
    }
    Ok(true)
}

#[test]
fn on_btrfs_a_file_is_known_by_what_stat_shows() -> Result<()> {
    if btrfs_is_told("keys: btrfs")? {
        check("btrfs")?;
    }
    Ok(())
}

#[test]
fn on_tmpfs_a_file_is_known_by_what_stat_shows() -> Result<()> {
    check("tmpfs")
}

/// What a read of a file says: of which inode, and whether the number is known to be another file's by now.
fn told(layer: &mut Layer, file: &Path) -> Result<Vec<(InodeKey, bool)>> {
    cat_as(USER, file)?;
    let records = layer.records()?;
    let told = records
        .iter()
        .map(|one| (one.file, one.flags & flags::GENERATION_DIFFERS != 0));
    Ok(told.collect())
}

/// Watches one file, with its generation, and whatever the fixture has.
fn watch(layer: &mut Layer, file: DevIno, generation: u32) -> Result<()> {
    let mut set = WatchSet::default();
    set.files.insert(file, 0);
    set.generations.insert(file, generation);
    layer.watch(set)
}

/// A number that is used again is told from the file that had it: after a deletion, and on another file system that got the
/// device's number.
fn check_reuse(kind: &'static str) -> Result<()> {
    let mut volume = Volume::new(kind)?;
    let mut layer = Layer::new()?;
    let directory = volume.part("store")?;
    let file = directory.join("secret.key");
    std::fs::write(&file, "the secret\n")?;
    let watched = key(&file)?;
    watch(&mut layer, watched, 0)?;
    cat_as(USER, &file)?;
    let [record] = layer.records()?[..] else {
        bail!("not one record")
    };
    ensure!(record.generation != 0, "{kind} tells no generation");
    watch(&mut layer, watched, record.generation)?;
    let same = (wire(watched), false);
    let reused = (wire(watched), true);
    assert_eq!(told(&mut layer, &file)?, [same], "{kind}");

    std::fs::remove_file(&file)?;
    let again = file_with_number(&directory, watched.ino)?;
    assert_eq!(
        told(&mut layer, &again)?,
        [reused],
        "a number after a deletion on {kind}"
    );

    volume.replace(watched.dev)?;
    let other = file_with_number(&volume.part("store")?, watched.ino)?;
    assert_eq!(key(&other)?, watched);
    assert_eq!(
        told(&mut layer, &other)?,
        [reused],
        "another file system on the device, {kind}"
    );
    Ok(())
}

#[test]
fn a_number_that_is_used_again_on_ext4_is_told() -> Result<()> {
    check_reuse("ext4")
}

#[test]
fn a_number_that_is_used_again_on_xfs_is_told() -> Result<()> {
    check_reuse("xfs")
}
