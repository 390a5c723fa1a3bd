//! The canary: a file of the agent's own whose open must arrive, with the right inode, name, mode and user.
//!
//! Invariant: a hook that does not fire, or offsets that are wrong, are found before the agent says it is ready, and
//! every few minutes after. Used by `attach` at start and by `app` while running.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use layerwatch_ebpf::{Record, kinds};

use crate::model::DevIno;

const NAME: &str = "canary";

/// The canary file.
#[derive(Debug, Clone)]
pub struct Canary {
    path: PathBuf,
    key: DevIno,
    mode: u32,
}

/// What the record of the canary's open said wrongly.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the canary's record has {field} {seen} instead of {expected}")]
pub struct CanaryMismatch {
    field: &'static str,
    seen: String,
    expected: String,
}

impl Canary {
    /// Makes the file in `directory`, which must not be on an overlay, or takes the one that is there.
    pub fn create(directory: &Path) -> std::io::Result<Self> {
        let path = directory.join(NAME);
        let file = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)?;
        let metadata = file.metadata()?;
        Ok(Self {
            key: DevIno::of(&metadata),
            mode: metadata.mode(),
            path,
        })
    }

    /// The file's inode.
    pub fn key(&self) -> DevIno {
        self.key
    }

    /// Opens it, which is what the hooks must see.
    pub fn open(&self) -> std::io::Result<()> {
        std::fs::File::open(&self.path).map(drop)
    }

    /// Holds a record of the canary's open by this process against what is known.
    pub(crate) fn check(&self, record: &Record) -> Result<(), CanaryMismatch> {
        fn same<T: PartialEq + std::fmt::Debug + ?Sized>(
            field: &'static str,
            seen: &T,
            expected: &T,
        ) -> Result<(), CanaryMismatch> {
            if seen == expected {
                return Ok(());
            }
            Err(CanaryMismatch {
                field,
                seen: format!("{seen:?}"),
                expected: format!("{expected:?}"),
            })
        }
        same("kind", &record.kind, &kinds::CANARY)?;
        same(
            "inode",
            &(record.file.dev, record.file.ino),
            &(self.key.dev.0, self.key.ino),
        )?;
        same("mode", &record.mode, &self.mode)?;
        same("process", &record.tgid, &std::process::id())?;
        same("user", &record.real.uid, &rustix::process::getuid().as_raw())?;
        same(
            "file-system user",
            &record.effective.fsuid,
            &rustix::process::geteuid().as_raw(),
        )?;
        let name = record.path.split(|byte| *byte == 0).next().unwrap_or_default();
        same("name", String::from_utf8_lossy(name).as_ref(), NAME)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytemuck::Zeroable;

    type Spoil = fn(&mut Record);

    #[test]
    fn every_field_of_the_canarys_record_is_held_against_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let canary = Canary::create(directory.path()).unwrap();
        canary.open().unwrap();
        let mut good = Record::zeroed();
        good.kind = kinds::CANARY;
        good.file = layerwatch_ebpf::InodeKey::new(canary.key.dev.0, canary.key.ino);
        good.mode = canary.mode;
        good.tgid = std::process::id();
        good.real.uid = rustix::process::getuid().as_raw();
        good.effective.fsuid = rustix::process::geteuid().as_raw();
        good.path[..NAME.len()].copy_from_slice(NAME.as_bytes());
        canary.check(&good).unwrap();

        let spoil: [(&str, Spoil); 7] = [
            ("kind", |r| r.kind = kinds::OPEN_FINDING),
            ("inode", |r| r.file.ino += 1),
            ("mode", |r| r.mode = 0),
            ("process", |r| r.tgid += 1),
            ("user", |r| r.real.uid += 1),
            ("file-system user", |r| r.effective.fsuid += 1),
            ("name", |r| r.path[0] = b'x'),
        ];
        for (field, spoil) in spoil {
            let mut bad = good;
            spoil(&mut bad);
            assert_eq!(canary.check(&bad).unwrap_err().field, field);
        }
    }
}
