//! Stores with hostile or broken content under a running agent: said, counted, nothing else lost.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use anyhow::{Context, Result};
use layerwatch_tests::scene::{Agent, KEY, Scene, cat_as};
use serde_json::Value;

use super::{ENGINES, ready};

const USER: u32 = 1000;

fn read(path: &Path) -> Result<String> {
    Ok(std::io::read_to_string(fs::File::open(path)?)?)
}

/// Replaces a file as the engines do: written beside it and renamed.
fn replace(path: &Path, content: &str) -> Result<()> {
    let beside = path.with_extension("tmp");
    fs::write(&beside, content)?;
    fs::rename(beside, path).context("replace an index")
}

#[test]
fn an_index_that_is_cut_is_said_and_the_watch_goes_on() -> Result<()> {
    if !ready("cut index", &ENGINES)? {
        return Ok(());
    }
    let scene = Scene::new()?;
    scene.store.build(&scene.tree()?, "localhost/shop/api:1", true)?;
    let agent = Agent::start(&scene, "agent", &[])?;
    agent.wait_for_metric("layerwatch_findings{severity=\"critical\"}", 1.0)?;
    let index = scene.store.root().join("overlay-layers/layers.json");
    let whole = read(&index)?;
    replace(&index, whole.get(..whole.len() / 2).context("half")?)?;
    agent.wait_for_metric("layerwatch_knowledge_errors_total{reason=\"catalog\"}", 1.0)?;
    assert!(agent.log().contains("layers.json"), "{}", agent.log());
    scene.store.misconfigure()?;
    cat_as(USER, &scene.store.find(KEY)?.remove(0))?;
    let alert = agent.wait_for("alert", 1)?.remove(0);
    assert_eq!(alert["access"]["path_in_layer"], KEY);
    replace(&index, &whole)?;
    assert!(!agent.log().contains("panicked"));
    Ok(())
}

#[test]
fn a_hostile_image_name_comes_out_escaped() -> Result<()> {
    if !ready("hostile name", &ENGINES)? {
        return Ok(());
    }
    let scene = Scene::new()?;
    scene.store.build(&scene.tree()?, "localhost/shop/api:1", true)?;
    let index = scene.store.root().join("overlay-images/images.json");
    let mut images: Value = serde_json::from_str(&read(&index)?)?;
    for image in images.as_array_mut().context("a list of images")? {
        image["names"] = serde_json::json!(["evil\n\u{1b}[31mred:1"]);
    }
    replace(&index, &images.to_string())?;
    let agent = Agent::start(&scene, "agent", &[])?;
    agent.wait_for_metric("layerwatch_findings{severity=\"critical\"}", 1.0)?;
    scene.store.misconfigure()?;
    cat_as(USER, &scene.store.find(KEY)?.remove(0))?;
    let alert = agent.wait_for("alert", 1)?.remove(0);
    assert_eq!(alert["images"][0]["name"], "evil\\n\\x1b[31mred:1");
    assert!(!agent.log().contains("\u{1b}[31mred"), "{}", agent.log());
    Ok(())
}

#[test]
fn a_finding_whose_path_is_no_utf8_is_alerted() -> Result<()> {
    if !ready("path without UTF-8", &ENGINES)? {
        return Ok(());
    }
    let scene = Scene::new()?;
    let tree = scene.tree()?;
    let name = std::ffi::OsStr::from_bytes(b"etc/k\xff\nx.key");
    fs::copy(tree.join(KEY), tree.join(name))?;
    fs::remove_file(tree.join(KEY))?;
    scene.store.build(&tree, "localhost/shop/api:1", false)?;
    let agent = Agent::start(&scene, "agent", &[])?;
    agent.wait_for_metric("layerwatch_findings{severity=\"critical\"}", 1.0)?;
    scene.store.misconfigure()?;
    let overlay = fs::read_dir(scene.store.root().join("overlay"))?;
    let mut files = overlay.filter_map(|layer| Some(layer.ok()?.path().join("diff").join(name)));
    cat_as(
        USER,
        &files
            .find(|file| file.is_file())
            .context("the file in its layer")?,
    )?;
    let alert = agent.wait_for("alert", 1)?.remove(0);
    assert_eq!(alert["access"]["path_in_layer"], "etc/k\\xff\\nx.key");
    Ok(())
}
