//! Layers that are hostile by their size or by not holding still: a million names in one directory, names longer than a
//! path may be, archives that change while they are read.
//!
//! Invariant: the scan ends in time and says what it could not read; the secret beside it is found.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use layerwatch::model::Place;
use layerwatch::scan::{FingerprintKey, RuleSet, Scanner, SkipReason};
use rustix::fs::{Mode, OFlags};
use serde_json::{Value, json};

use super::hostile::{DEADLINE, file, header, problems, secret};
use super::{json_of, ready};
use layerwatch_tests::scene::Scene;

const PASSWORD: &[u8] = b"db:5432:shop:shopper:kV9-made-up-1\n";

fn scanner() -> Result<Scanner> {
    Ok(Scanner::new(RuleSet::builtin()?, FingerprintKey::new([3; 32]))?)
}

/// On a file system in memory, where there is one: a million files cost a disk minutes.
fn folder() -> Result<tempfile::TempDir> {
    let memory = Path::new("/dev/shm");
    Ok(if memory.is_dir() {
        tempfile::tempdir_in(memory)?
    } else {
        tempfile::tempdir()?
    })
}

#[test]
fn a_million_names_in_one_directory_are_met_one_by_one() -> Result<()> {
    const COUNT: u32 = 1_000_000;
    let layer = folder()?;
    std::fs::create_dir(layer.path().join("d"))?;
    let directory = File::open(layer.path().join("d"))?;
    for number in 0..COUNT {
        let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC;
        drop::<OwnedFd>(rustix::fs::openat(
            &directory,
            format!("{number}"),
            flags,
            Mode::RUSR,
        )?);
    }
    std::fs::write(layer.path().join("d/.pgpass"), PASSWORD)?;
    let begun = Instant::now();
    let mut found = Vec::new();
    let summary = scanner()?.scan_directory(layer.path(), None, &mut |_| (), &mut |f| found.push(f))?;
    ensure!(begun.elapsed() < DEADLINE, "{:?}", begun.elapsed());
    let empty = BTreeMap::from([(SkipReason::Empty, u64::from(COUNT))]);
    assert_eq!(
        (
            summary.files,
            &summary.skipped,
            summary.problems_total,
            found.len()
        ),
        (1, &empty, 0, 1)
    );
    Ok(())
}

#[test]
fn a_path_that_no_system_call_takes_is_walked_to_its_end() -> Result<()> {
    let layer = folder()?;
    let name = "n".repeat(255);
    let mut directory: OwnedFd = File::open(layer.path())?.into();
    for _ in 0..40 {
        rustix::fs::mkdirat(&directory, &*name, Mode::RWXU)?;
        directory = rustix::fs::openat(
            &directory,
            &*name,
            OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
    }
    let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::openat(&directory, ".pgpass", flags, Mode::RUSR)?);
    file.write_all_at(PASSWORD, 0)?;
    let mut found = Vec::new();
    let summary = scanner()?.scan_directory(layer.path(), None, &mut |_| (), &mut |f| found.push(f))?;
    let expected = format!("{}.pgpass", format!("{name}/").repeat(40)).into_bytes();
    let paths: Vec<_> = found
        .iter()
        .map(|finding| match &finding.place {
            Place::File { path, .. } => path.clone(),
            Place::ImageConfig { .. } => Vec::new(),
        })
        .collect();
    assert_eq!((summary.problems_total, paths), (0, vec![expected]));
    Ok(())
}

#[test]
fn an_archive_that_changes_while_it_is_read_keeps_what_was_read() -> Result<()> {
    if !ready("an archive that changes", &[])? {
        return Ok(());
    }
    let scene = Scene::new()?;
    std::fs::create_dir(scene.path().join("state"))?;
    let path = scene.path().join("layer.tar");
    // The secret comes first and stays; what follows comes and goes, and is a header or not.
    let mut tar = secret("root/.pgpass");
    let stays = u64::try_from(tar.len())?;
    for number in 0..64 {
        tar.extend(file(format!("big/{number}").as_bytes(), &vec![b'x'; 1 << 20]));
    }
    tar.extend([0; 1024]);
    std::fs::write(&path, &tar)?;
    let target = path.to_str().context("text")?;
    let is_over = AtomicBool::new(false);
    let changes = || -> Result<()> {
        let file = File::options().write(true).open(&path)?;
        let noise = header(b"noise", b'0', 0o77_777_777, b"");
        while !is_over.load(Ordering::Relaxed) {
            file.set_len(stays + 4096)?;
            file.write_all_at(&noise, 10 << 20)?;
            file.set_len(u64::try_from(tar.len())?)?;
            file.write_all_at(tar.get(1024..).context("the rest")?, 1024)?;
        }
        Ok(())
    };
    let shown: Vec<Value> = std::thread::scope(|scope| -> Result<_> {
        let changing = scope.spawn(changes);
        let begun = Instant::now();
        let mut shown = Vec::new();
        let said = |shown: &[Value]| shown.last().is_some_and(|last| !problems(last).is_empty());
        while !said(&shown) && begun.elapsed() < Duration::from_mins(1) {
            shown.push(json_of(&scene, &["scan", target])?);
        }
        is_over.store(true, Ordering::Relaxed);
        changing.join().ok().context("the thread that changes it")??;
        Ok(shown)
    })?;
    for shown in &shown {
        assert_eq!(shown["findings"][0]["path"], json!("root/.pgpass"), "{shown}");
    }
    let last = problems(shown.last().context("a scan")?);
    assert!(
        last.keys()
            .all(|kind| matches!(kind.as_str(), "archive" | "changed" | "read"))
            && !last.is_empty(),
        "{last:?}"
    );
    // When it holds still again it is whole.
    std::fs::write(&path, &tar)?;
    let settled = json_of(&scene, &["scan", target])?;
    assert_eq!(
        (problems(&settled), &settled["complete"]),
        (BTreeMap::new(), &json!(true))
    );
    Ok(())
}
