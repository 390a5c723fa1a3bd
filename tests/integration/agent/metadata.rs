//! Damaged and hostile indexes of a store that a real engine wrote: each is said in one problem or two, in bounded memory
//! and time, and the store beside it is read as before.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, ensure};
use layerwatch_tests::scene::{Agent, Scene};
use layerwatch_tests::{output, run, text_of};
use serde_json::{Value, json};

use super::{ENGINES, ready};

const IMAGES: &str = "overlay-images/images.json";
const LAYERS: &str = "overlay-layers/layers.json";
/// Address space of the command: less than the largest of the files.
const MEMORY: &str = "--as=1073741824";

/// A damage, what is said of it, and what the damaged store still gives.
struct Row {
    what: &'static str,
    damage: fn(&Path) -> Result<()>,
    problems: &'static [&'static str],
    names: &'static [&'static str],
}

const CONTROLS: &str = "a\n\u{1b}[31mb:1";
const WHOLE: &[&str] = &["localhost/shop/api:1"];

const UNREADABLE: &[&str] = &["unreadable"];
const LARGE: &[&str] = &["too-large"];
const MALFORMED: &[&str] = &["malformed"];

/// Without their layers' index images are still named; what is in them is not known.
const ROWS: [Row; 12] = [
    row("nothing", |_| Ok(()), &[], WHOLE),
    row("2 GB of images", |root| grown(&root.join(IMAGES)), LARGE, &[]),
    row("2 GB of layers", |root| grown(&root.join(LAYERS)), LARGE, WHOLE),
    row("a dangling link", |root| linked(root, "gone"), UNREADABLE, &[]),
    row(
        "a link to a device",
        |root| linked(root, "/dev/zero"),
        UNREADABLE,
        &[],
    ),
    row("a pipe", piped, UNREADABLE, &[]),
    row("a directory", directory, UNREADABLE, &[]),
    row("nesting", nested, MALFORMED, &[]),
    row(
        "parents in a circle",
        circle,
        &["parent-cycle", "parent-cycle"],
        WHOLE,
    ),
    row("half of the layers", halved, MALFORMED, WHOLE),
    row(
        "a name with control characters",
        controlled,
        &[],
        &[CONTROLS, CONTROLS],
    ),
    row("a root that is a loop", looped, UNREADABLE, &[]),
];

const fn row(
    what: &'static str,
    damage: fn(&Path) -> Result<()>,
    problems: &'static [&'static str],
    names: &'static [&'static str],
) -> Row {
    Row {
        what,
        damage,
        problems,
        names,
    }
}

fn grown(file: &Path) -> Result<()> {
    Ok(File::options().write(true).open(file)?.set_len(2 << 30)?)
}

fn linked(root: &Path, to: &str) -> Result<()> {
    fs::remove_file(root.join(IMAGES))?;
    Ok(symlink(to, root.join(IMAGES))?)
}

fn piped(root: &Path) -> Result<()> {
    fs::remove_file(root.join(IMAGES))?;
    run(Command::new("mkfifo").arg(root.join(IMAGES))).map(drop)
}

fn directory(root: &Path) -> Result<()> {
    fs::remove_file(root.join(IMAGES))?;
    Ok(fs::create_dir(root.join(IMAGES))?)
}

fn nested(root: &Path) -> Result<()> {
    Ok(fs::write(root.join(IMAGES), "[".repeat(1 << 20))?)
}

fn changed(file: &Path, change: impl FnOnce(&mut Vec<Value>)) -> Result<()> {
    let mut list: Vec<Value> = serde_json::from_str(&text_of(file))?;
    change(&mut list);
    Ok(fs::write(file, serde_json::to_vec(&list)?)?)
}

fn circle(root: &Path) -> Result<()> {
    changed(&root.join(LAYERS), |layers| {
        let ids: Vec<Value> = layers.iter().map(|layer| layer["id"].clone()).collect();
        for (layer, next) in layers.iter_mut().zip(ids.iter().cycle().skip(1)) {
            layer["parent"] = next.clone();
        }
    })
}

fn halved(root: &Path) -> Result<()> {
    let file = File::options().write(true).open(root.join(LAYERS))?;
    Ok(file.set_len(file.metadata()?.len() / 2)?)
}

fn controlled(root: &Path) -> Result<()> {
    changed(&root.join(IMAGES), |images| {
        for image in images {
            image["names"] = json!([CONTROLS]);
        }
    })
}

fn looped(root: &Path) -> Result<()> {
    fs::remove_dir_all(root)?;
    Ok(symlink(root, root)?)
}

/// What the command says of both stores.
fn said(good: &Path, bad: &Path) -> Result<Value> {
    let mut command = Command::new("prlimit");
    command.arg(MEMORY).arg(Agent::binary()?);
    let roots = format!("stores.roots={},{}", good.display(), bad.display());
    let shown = output(command.args(["--set", &roots, "images", "-o", "json"]))?;
    let told = String::from_utf8_lossy(&shown.stderr).into_owned();
    ensure!(!told.contains("panicked") && !told.contains('\u{1b}'), "{told}");
    serde_json::from_slice(&shown.stdout).with_context(|| told)
}

/// The names of a store's images.
fn names(said: &Value, root: &Path) -> Vec<String> {
    let store = format!("overlay@{}", root.display());
    let images = said["images"].as_array().into_iter().flatten();
    images
        .filter(|image| image["store"] == json!(store))
        .flat_map(|image| image["names"].as_array().cloned().unwrap_or_default())
        .filter_map(|name| name.as_str().map(ToOwned::to_owned))
        .collect()
}

/// What is said of a damaged store: the kinds of problems and the names that are left; the other must be whole.
fn told_of(row: &Row, scene: &Scene) -> Result<(Vec<String>, Vec<String>)> {
    let (good, bad) = (scene.store.root(), copy(scene)?);
    (row.damage)(&bad)?;
    let said = said(&good, &bad).context(row.what)?;
    ensure!(names(&said, &good) == WHOLE, "{}: {said:#}", row.what);
    let problems = said["problems"].as_array().into_iter().flatten();
    let kinds = problems.filter_map(|problem| problem["kind"].as_str());
    Ok((kinds.map(ToOwned::to_owned).collect(), names(&said, &bad)))
}

fn strings(list: &[&str]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}

/// A fresh copy of the store.
fn copy(scene: &Scene) -> Result<PathBuf> {
    let bad = scene.path().join("bad");
    run(Command::new("rm").arg("-rf").arg(&bad))?;
    run(Command::new("cp").arg("-a").args([&scene.store.root(), &bad]))?;
    Ok(bad)
}

fn built() -> Result<Scene> {
    let scene = Scene::new()?;
    scene.store.build(&scene.tree()?, WHOLE[0], true)?;
    Ok(scene)
}

#[test]
fn each_damage_is_said_and_the_other_store_is_read() -> Result<()> {
    if !ready("damaged indexes", &ENGINES)? {
        return Ok(());
    }
    let scene = built()?;
    for row in &ROWS {
        let (problems, names) = told_of(row, &scene)?;
        assert_eq!(
            (problems.as_slice(), names.as_slice()),
            (&strings(row.problems)[..], &strings(row.names)[..]),
            "{}",
            row.what
        );
    }
    Ok(())
}

#[test]
fn an_index_that_changes_while_it_is_read_is_the_old_or_the_new_one() -> Result<()> {
    if !ready("changing index", &ENGINES)? {
        return Ok(());
    }
    let scene = built()?;
    let (good, bad) = (scene.store.root(), copy(&scene)?);
    let file = bad.join(IMAGES);
    let old = text_of(&file);
    let new = old.replace("api:1", "api:2");
    let done = AtomicBool::new(false);
    let seen = std::thread::scope(|scope| {
        let writer = scope.spawn(|| -> Result<()> {
            let beside = file.with_extension("tmp");
            while !done.load(Ordering::Relaxed) {
                for content in [&new, &old] {
                    fs::write(&beside, content)?;
                    fs::rename(&beside, &file)?;
                }
            }
            Ok(())
        });
        let looks = (0..20).map(|_| {
            let said = said(&good, &bad)?;
            ensure!(said["problems"] == json!([]), "{said:#}");
            Ok(names(&said, &bad))
        });
        let seen: Result<Vec<_>> = looks.collect();
        done.store(true, Ordering::Relaxed);
        let written = writer
            .join()
            .map_err(|_panic| anyhow::anyhow!("the writer broke"))?;
        written.and(seen)
    })?;
    let known = [
        vec!["localhost/shop/api:1".to_owned()],
        vec!["localhost/shop/api:2".to_owned()],
    ];
    assert!(seen.iter().all(|names| known.contains(names)), "{seen:?}");
    Ok(())
}
