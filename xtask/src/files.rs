//! Reading and writing the small files of the workspace and its target folder.
//!
//! Reads are bounded, as everywhere in the project; a file of the workspace above the limit is an error.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

/// Above this a file is not one of ours: the largest, an object with debug information, has a few MB.
const LIMIT_BYTES: u64 = 256 << 20;

/// The bytes of `path`.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(LIMIT_BYTES + 1).read_to_end(&mut bytes))
        .with_context(|| format!("cannot read {}", path.display()))?;
    ensure!(
        bytes.len() as u64 <= LIMIT_BYTES,
        "{} is above {LIMIT_BYTES} bytes",
        path.display()
    );
    Ok(bytes)
}

/// The text of `path`.
pub(crate) fn read_text(path: &Path) -> Result<String> {
    String::from_utf8(read(path)?).with_context(|| format!("{} is not UTF-8", path.display()))
}

/// Writes `path` whole, through a temporary file beside it, and makes its folder.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().context("a file needs a folder")?;
    create_folder(folder)?;
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}", std::process::id()));
    let temporary = Path::new(&name);
    std::fs::write(temporary, bytes)
        .and_then(|()| std::fs::rename(temporary, path))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Writes `path` only when it differs, so that Cargo sees an unchanged file as unchanged.
pub(crate) fn write_if_changed(path: &Path, bytes: &[u8]) -> Result<()> {
    if path.exists() && read(path)? == bytes {
        return Ok(());
    }
    write(path, bytes)
}

/// Makes a folder and those above it.
pub(crate) fn create_folder(path: &Path) -> Result<()> {
    std::fs::create_dir_all(path).with_context(|| format!("cannot make the folder {}", path.display()))
}

/// Removes a folder and what is in it, if it exists, and makes it anew.
pub(crate) fn empty_folder(path: &Path) -> Result<()> {
    if path.exists() {
        std::fs::remove_dir_all(path).with_context(|| format!("cannot remove {}", path.display()))?;
    }
    create_folder(path)
}
