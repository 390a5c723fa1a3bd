//! `cargo xtask bench find`: what it costs to look for a name in a store of a million files.
//!
//! The store is made of empty files and the indexes that name its layers; nothing of an engine is needed.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::page;
use super::scan::measure;
use crate::workspace::Workspace;
use crate::{build, say};

pub(super) const IMAGES: usize = 300;
pub(super) const LAYERS: usize = 5;
const DIRECTORIES: usize = 23;
const FILES: usize = 29;

/// Makes the store, looks for a name in it, and puts the figures into the page.
pub(super) fn run(workspace: &Workspace) -> Result<()> {
    let agent = build::agent(workspace, &build::Options { release: true })?;
    let store = workspace.target.join("bench/find/store");
    make_once(&store)?;
    let mut rows = String::from(
        "| run | wall s | processor s | entries per ms | entries per ms of processor | peak MB |\n|---|---|---|---|---|---|\n",
    );
    let thousands = f64::from(u32::try_from(IMAGES * LAYERS * DIRECTORIES * (FILES + 1))?) / 1000.0;
    for run in ["first", "second"] {
        let mut command = Command::new(&agent);
        command
            .arg("--set")
            .arg(format!("stores.roots={}", store.display()));
        let cost = measure::measure(command.args(["find", "redhat-release", "-o", "json"]), &[0])?;
        rows.push_str(&cost.row(run, thousands));
    }
    say::progress(&rows);
    page::update(workspace, page::PERFORMANCE, "find", &rows)
}

fn id(image: usize, layer: usize) -> String {
    format!("{:064x}", image * 1000 + layer + 1)
}

/// Makes the store where it is not there yet.
pub(super) fn make_once(store: &Path) -> Result<()> {
    if store.join("overlay-images/images.json").exists() {
        return Ok(());
    }
    say::progress("bench: making a store of a million files");
    for image in 0..IMAGES {
        for layer in 0..LAYERS {
            fill(&content(store, image, layer), image)?;
        }
    }
    write_indexes(store, IMAGES)
}

/// The directory of a layer's content.
pub(super) fn content(store: &Path, image: usize, layer: usize) -> PathBuf {
    store.join("overlay").join(id(image, layer)).join("diff")
}

/// Has the indexes name so many images; each is replaced by rename, as engines do.
pub(super) fn write_indexes(store: &Path, count: usize) -> Result<()> {
    let (mut layers, mut images) = (Vec::new(), Vec::new());
    for image in 0..count {
        for layer in 0..LAYERS {
            let parent = layer.checked_sub(1).map(|below| id(image, below));
            layers.push(serde_json::json!({"id": id(image, layer), "parent": parent}));
        }
        images.push(serde_json::json!({
            "id": id(image, 999),
            "names": [format!("localhost/image{image}:1")],
            "layer": id(image, LAYERS - 1),
        }));
    }
    for (file, records) in [
        ("overlay-layers/layers.json", layers),
        ("overlay-images/images.json", images),
    ] {
        let file = store.join(file);
        std::fs::create_dir_all(file.parent().context("a directory")?)?;
        let new = file.with_extension("new");
        std::fs::write(&new, serde_json::to_vec(&records)?)
            .with_context(|| format!("write {}", new.display()))?;
        std::fs::rename(&new, &file).with_context(|| format!("replace {}", file.display()))?;
    }
    Ok(())
}

/// Fills a layer's directory.
pub(super) fn fill(content: &Path, image: usize) -> Result<()> {
    for directory in 0..DIRECTORIES {
        let directory = content.join(format!("usr/share/d{directory}"));
        std::fs::create_dir_all(&directory).with_context(|| format!("make {}", directory.display()))?;
        for file in 0..FILES {
            std::fs::File::create(directory.join(format!("file{file}.txt")))?;
        }
    }
    // One image in a hundred has the name that is looked for.
    if image.is_multiple_of(100) {
        std::fs::File::create(content.join("usr/share/d0/redhat-release"))?;
    }
    Ok(())
}
