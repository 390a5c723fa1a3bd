//! The files that the ways are tried on, and what the kernel is told to watch.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use layerwatch::kernel::WatchSet;
use layerwatch::model::DevIno;
use layerwatch_ebpf::watch_flags;
use rustix::fs::{CWD, Mode, OFlags};

use crate::fixture::{Mounted, key};

/// What every file holds: a program too, since one way executes it.
pub(super) const CONTENT: &str = "#!/bin/echo the secret\n";
/// In what every way prints that got at the content.
pub(super) const PROOF: &str = "the secret";
/// Inode numbers of a tmpfs are given out in order, so a file's is soon one that the layer's file system has too.
const FOREIGN: &str = "foreign";

/// What is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// A file with a finding.
    Secret,
    /// The same, with the permission to be executed.
    Program,
    /// The same, below 30 directories.
    Deep,
    /// The same, below 200.
    Deeper,
    /// The same, with a path that is longer than the kernel takes at once.
    Long,
    /// The same, with a newline in its name.
    Newline,
    /// The same, with a name that is not UTF-8.
    NotText,
    /// A compressed layer in a store of blobs, with a finding in it.
    Blob,
    /// Any file of a layer that was not scanned.
    Unscanned,
    /// A file that a pull writes, in a directory that is watched whatever is in it.
    Ingested,
    /// A file that has a watched inode number, on another file system.
    Elsewhere,
}

use Target::{Blob, Deep, Deeper, Elsewhere, Ingested, Long, Newline, NotText, Program, Secret, Unscanned};

const ALL: [Target; 11] = [
    Secret, Program, Deep, Deeper, Long, Newline, NotText, Blob, Unscanned, Ingested, Elsewhere,
];

impl Target {
    /// The layer's directory and the file's path in it.
    fn place(self) -> (&'static str, PathBuf) {
        let chain = |count: usize, name: &str| -> PathBuf {
            std::iter::repeat_n(name, count)
                .collect::<PathBuf>()
                .join("secret.key")
        };
        match self {
            Secret => ("lower", "etc/secret.key".into()),
            Program => ("lower", "bin/secret".into()),
            Deep => ("lower", chain(30, "d")),
            Deeper => ("lower", chain(200, "e")),
            Long => ("lower", chain(24, &"long".repeat(50))),
            Newline => ("lower", "etc/new\nline.key".into()),
            NotText => ("lower", Path::new("etc").join(OsStr::from_bytes(b"\xff\xfe.key"))),
            Blob => ("blobs", "sha256/0123456789abcdef".into()),
            Unscanned => ("unscanned", "etc/secret.key".into()),
            Ingested => ("ingest", "0123456789abcdef/data".into()),
            Elsewhere => (FOREIGN, "secret.key".into()),
        }
    }

    /// The directory that is watched for it, where it is not the file.
    fn watched_directory(self) -> Option<&'static str> {
        matches!(self, Unscanned | Ingested).then_some(self.place().0)
    }
}

/// The files, once made.
pub(super) struct Ground {
    directory: PathBuf,
    keys: Vec<(Target, DevIno)>,
    _foreign: Mounted,
}

impl Ground {
    /// Makes the files below `directory` and adds them to what is watched.
    pub(super) fn make(directory: &Path, watched: &mut WatchSet) -> Result<Self> {
        let foreign = directory.join(FOREIGN);
        std::fs::create_dir(&foreign)?;
        let foreign = Mounted::tmpfs(&foreign)?;
        let mut keys = Vec::new();
        for target in ALL {
            let (layer, file) = target.place();
            let key = write(&directory.join(layer).join(file))
                .with_context(|| format!("make the file for {target:?}"))?;
            keys.push((target, key));
            match target.watched_directory() {
                Some(name) => {
                    let directory = crate::fixture::key(&directory.join(name))?;
                    watched.directories.insert(directory, watch_flags::LAYER);
                }
                None if target == Elsewhere => {
                    // The number is watched on the layer's device, and the file's device for another file's sake.
                    let dev = crate::fixture::key(directory)?.dev;
                    watched.files.insert(DevIno { dev, ..key }, 0);
                    let other = write(&directory.join(FOREIGN).join("other.key"))?;
                    watched.files.insert(other, 0);
                }
                None => {
                    watched.files.insert(key, 0);
                }
            }
        }
        Ok(Self {
            directory: directory.to_owned(),
            keys,
            _foreign: foreign,
        })
    }

    /// The layer's directory and the file.
    pub(super) fn paths(&self, target: Target) -> (PathBuf, PathBuf) {
        let (layer, file) = target.place();
        let layer = self.directory.join(layer);
        let file = layer.join(file);
        (layer, file)
    }

    /// The file's inode.
    pub(super) fn key(&self, target: Target) -> Result<DevIno> {
        let found = self.keys.iter().find(|(known, _)| *known == target);
        found.map(|(_, key)| *key).context("every file was made")
    }

    /// The watched inode that its record must name.
    pub(super) fn watch(&self, target: Target) -> Result<DevIno> {
        match target.watched_directory() {
            Some(name) => key(&self.directory.join(name)),
            None => self.key(target),
        }
    }
}

/// Writes a file, step by step, since the kernel takes no path of that length; its inode.
fn write(file: &Path) -> Result<DevIno> {
    let directory = file.parent().context("a file has a directory")?;
    let mut here = rustix::fs::openat(CWD, "/", OFlags::PATH, Mode::empty())?;
    for step in directory.components().skip(1) {
        match rustix::fs::mkdirat(&here, step.as_os_str(), Mode::from(0o755)) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(error) => return Err(error).context("make a directory"),
        }
        here = rustix::fs::openat(&here, step.as_os_str(), OFlags::PATH, Mode::empty())?;
    }
    let name = file.file_name().context("a file has a name")?;
    let made = rustix::fs::openat(here, name, OFlags::CREATE | OFlags::WRONLY, Mode::empty())?;
    let mut made = File::from(made);
    std::io::Write::write_all(&mut made, CONTENT.as_bytes())?;
    made.set_permissions(std::fs::Permissions::from_mode(0o777))?;
    Ok(DevIno::of(&made.metadata()?))
}
