//! Layerwatch alone on what breaks others: one huge file, one endless line, very many files, packed layers.
//!
//! The huge file is written, not a hole: every byte is read. Files are made in the target folder and removed.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::measure::measure;
use super::tables::COLUMNS;
use crate::{files, process, say};

const HUGE_BYTES: u64 = 10_000_000_000;
const LINE_BYTES: u64 = 1_000_000_000;
const MANY: u64 = 3_000_000;
const PER_FOLDER: u64 = 10_000;

/// Makes files in a folder; how many bytes they have.
type Make = fn(&Path) -> Result<u64>;

/// Measures each, one after the other.
pub(super) fn run(folder: &Path, agent: &Path, quick: bool, text: &mut String) -> Result<()> {
    let state = folder.join("state");
    text.push_str("\n| layerwatch on | ");
    text.push_str(COLUMNS);
    let place = folder.join("extremes");
    let tests: [(&str, Make); 3] = [
        ("one file of 10 GB", huge),
        ("one line of 1 GB", line),
        ("3 million files", many),
    ];
    for (name, make) in tests.into_iter().filter(|_| !quick) {
        files::empty_folder(&place)?;
        let bytes = make(&place)?;
        text.push_str(&row(name, &mut super::layerwatch(agent, &state, &place), bytes)?);
    }
    files::empty_folder(&place)?;
    packed(folder, &place, agent, &state, text)?;
    files::empty_folder(&place)
}

fn row(name: &str, command: &mut Command, bytes: u64) -> Result<String> {
    say::progress(&format!("bench: {name}"));
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let megabytes = bytes as f64 / 1e6;
    Ok(measure(command, &[0])?.row(name, megabytes))
}

/// A layer of the image corpus, packed, beside the decompressor alone.
fn packed(folder: &Path, place: &Path, agent: &Path, state: &Path, text: &mut String) -> Result<()> {
    let tar = place.join("layer.tar");
    let tree = folder.join("as-in-an-image/tree");
    process::run_quietly(
        Command::new("tar")
            .arg("-C")
            .arg(&tree)
            .arg("-cf")
            .arg(&tar)
            .arg("."),
    )?;
    let bytes = tar.metadata().context("look at the layer")?.len();
    text.push_str(&row(
        "the image corpus as a tar",
        &mut super::layerwatch(agent, state, &tar),
        bytes,
    )?);
    for (pack, unpack, suffix) in [("gzip", "gzip", "gz"), ("zstd", "zstd", "zst")] {
        if process::find(pack).is_none() {
            say::progress(&format!("bench: {pack} is left out: it is not installed"));
            continue;
        }
        process::run_quietly(Command::new(pack).args(["-k", "-q"]).arg(&tar))?;
        let file = PathBuf::from(format!("{}.{suffix}", tar.display()));
        let name = format!("the same, {pack}");
        text.push_str(&row(&name, &mut super::layerwatch(agent, state, &file), bytes)?);
        let alone = format!("{unpack} -dc alone");
        text.push_str(&row(&alone, Command::new(unpack).arg("-dc").arg(&file), bytes)?);
    }
    Ok(())
}

fn huge(place: &Path) -> Result<u64> {
    let mut file = create(&place.join("huge.log"))?;
    let mut written = 0;
    let mut number = 0u64;
    while written < HUGE_BYTES {
        let line = format!(
            "{number:012} INFO shop.api request served in {} ms\n",
            number % 977
        );
        file.write_all(line.as_bytes())?;
        written += line.len() as u64;
        number += 1;
    }
    file.flush()?;
    Ok(written)
}

fn line(place: &Path) -> Result<u64> {
    let mut file = create(&place.join("line.json"))?;
    let item = b"{\"id\":1234567,\"name\":\"value\"},";
    let mut written = 0;
    while written < LINE_BYTES {
        file.write_all(item)?;
        written += item.len() as u64;
    }
    file.flush()?;
    Ok(written)
}

fn many(place: &Path) -> Result<u64> {
    for folder in 0..MANY / PER_FOLDER {
        let folder = place.join(folder.to_string());
        files::create_folder(&folder)?;
        for number in 0..PER_FOLDER {
            std::fs::write(folder.join(format!("{number}.txt")), b"x")?;
        }
    }
    Ok(MANY)
}

fn create(path: &Path) -> Result<BufWriter<File>> {
    let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(BufWriter::with_capacity(1 << 20, file))
}
