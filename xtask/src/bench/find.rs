//! `cargo xtask bench find`: what it costs to look for a name in a store of a million files.
//!
//! The store is made of empty files and the indexes that name its layers; nothing of an engine is needed.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use super::page;
use super::scan::measure;
use crate::workspace::Workspace;
use crate::{build, say};

const IMAGES: usize = 300;
const LAYERS: usize = 5;
const DIRECTORIES: usize = 23;
const FILES: usize = 29;

/// Makes the store, looks for a name in it, and puts the figures into the page.
pub(super) fn run(workspace: &Workspace) -> Result<()> {
    let agent = build::agent(workspace, &build::Options { release: true })?;
    let store = workspace.target.join("bench/find/store");
    if !store.join("overlay-images/images.json").exists() {
        say::progress("bench: making a store of a million files");
        make(&store)?;
    }
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

fn make(store: &Path) -> Result<()> {
    let (mut layers, mut images) = (Vec::new(), Vec::new());
    for image in 0..IMAGES {
        for layer in 0..LAYERS {
            let name = id(image, layer);
            fill(&store.join("overlay").join(&name).join("diff"), image)?;
            let parent = layer.checked_sub(1).map(|below| id(image, below));
            layers.push(serde_json::json!({"id": name, "parent": parent}));
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
        std::fs::write(&file, serde_json::to_vec(&records)?)
            .with_context(|| format!("write {}", file.display()))?;
    }
    Ok(())
}

fn fill(content: &Path, image: usize) -> Result<()> {
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
