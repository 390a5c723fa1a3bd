//! Writing a cpio archive in the "newc" format, which the kernel unpacks as its first file system.
//!
//! Format: Documentation/driver-api/early-userspace/buffer-format.rst of the kernel. Every entry belongs to root.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};

const FOLDER: u32 = 0o040_755;
const DEVICE: u32 = 0o020_600;
const LINK: u32 = 0o120_777;

/// An archive being written.
#[derive(Debug, Default)]
pub(crate) struct Archive {
    bytes: Vec<u8>,
    folders: BTreeSet<String>,
    entries: u32,
}

impl Archive {
    /// Adds a folder and those above it; the path has no leading slash.
    pub(crate) fn folder(&mut self, path: &str) -> Result<()> {
        if path.is_empty() || self.folders.contains(path) {
            return Ok(());
        }
        self.folders_above(path)?;
        self.folders.insert(path.to_owned());
        self.entry(path, FOLDER, (0, 0), &[])
    }

    /// Adds a file with its permission bits.
    pub(crate) fn file(&mut self, path: &str, permissions: u32, contents: &[u8]) -> Result<()> {
        self.folders_above(path)?;
        self.entry(path, 0o100_000 | permissions, (0, 0), contents)
    }

    /// Adds a symbolic link.
    pub(crate) fn link(&mut self, path: &str, target: &str) -> Result<()> {
        self.folders_above(path)?;
        self.entry(path, LINK, (0, 0), target.as_bytes())
    }

    /// Adds a character device.
    pub(crate) fn device(&mut self, path: &str, number: (u32, u32)) -> Result<()> {
        self.folders_above(path)?;
        self.entry(path, DEVICE, number, &[])
    }

    /// The finished archive.
    pub(crate) fn finish(mut self) -> Result<Vec<u8>> {
        self.entry("TRAILER!!!", 0, (0, 0), &[])?;
        Ok(self.bytes)
    }

    fn folders_above(&mut self, path: &str) -> Result<()> {
        path.rsplit_once('/')
            .map_or(Ok(()), |(folder, _)| self.folder(folder))
    }

    fn entry(&mut self, path: &str, mode: u32, device: (u32, u32), contents: &[u8]) -> Result<()> {
        self.entries += 1;
        let size = u32::try_from(contents.len()).with_context(|| format!("{path} is too large for cpio"))?;
        let name_size = u32::try_from(path.len() + 1).context("a name is too long for cpio")?;
        let links = 1;
        let fields = [
            self.entries,
            mode,
            0,
            0,
            links,
            0,
            size,
            0,
            0,
            device.0,
            device.1,
            name_size,
            0,
        ];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(path.as_bytes());
        self.bytes.push(0);
        self.align();
        self.bytes.extend_from_slice(contents);
        self.align();
        Ok(())
    }

    fn align(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_written_as_the_format_says() {
        let mut archive = Archive::default();
        archive.file("a/b", 0o755, b"12345").unwrap();
        archive.device("a/c", (5, 1)).unwrap();
        let text = String::from_utf8(archive.finish().unwrap()).unwrap();
        let zeros = |count| "00000000".repeat(count);
        let folder = format!(
            "070701{:08x}{:08x}{}00000001{}00000002{}a\0",
            1,
            0o040_755,
            zeros(2),
            zeros(6),
            zeros(1)
        );
        let file = format!(
            "070701{:08x}{:08x}{}00000001{}00000005{}00000004{}a/b\0",
            2,
            0o100_755,
            zeros(2),
            zeros(1),
            zeros(4),
            zeros(1)
        );
        let device = format!(
            "070701{:08x}{:08x}{}00000001{}000000050000000100000004{}a/c\0",
            3,
            0o020_600,
            zeros(2),
            zeros(4),
            zeros(1)
        );
        let pad = |entry: String| format!("{entry:\0<width$}", width = entry.len().next_multiple_of(4));
        assert!(
            text.starts_with(&format!("{}{}12345\0\0\0{}", pad(folder), pad(file), pad(device))),
            "{text:?}"
        );
        assert!(text.ends_with("TRAILER!!!\0\0\0\0"), "{text:?}");
    }
}
