//! Other paths to the file: links, `..`, other names, a name that changes, and paths longer than the kernel takes.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use rustix::fs::{CWD, Mode, OFlags, RenameFlags};

use crate::opens::parts;
use crate::reads::whole;
use crate::user::become_user;
use crate::{Place, Way};

pub(crate) const WAYS: [(&str, Way); 7] = [
    ("symlink", |place| {
        become_user()?;
        let link = place.spare.join("link");
        std::os::unix::fs::symlink(&place.file, &link)?;
        whole(&File::open(link)?)
    }),
    ("symlinked-directory", |place| {
        become_user()?;
        let (directory, name) = parts(place)?;
        let link = place.spare.join("link");
        std::os::unix::fs::symlink(directory, &link)?;
        // From the directory's own parent down again, not from the link's.
        let down = directory.file_name().context("the directory has a name")?;
        whole(&File::open(link.join("..").join(down).join(name))?)
    }),
    ("dot-dot", |place| {
        become_user()?;
        let (directory, name) = parts(place)?;
        let again = directory.file_name().context("the directory has a name")?;
        let mut path = directory.to_owned();
        for _ in 0..20 {
            path = path.join("..").join(again);
        }
        whole(&File::open(path.join(name))?)
    }),
    ("hard-link", |place| {
        let alias = alias(place)?;
        become_user()?;
        whole(&File::open(alias)?)
    }),
    ("chdir", |place| {
        become_user()?;
        let (directory, name) = parts(place)?;
        std::env::set_current_dir(directory)?;
        whole(&File::open(name)?)
    }),
    ("rename", |place| {
        let alias = alias(place)?;
        become_user()?;
        let checked = place.spare.join("harmless");
        std::fs::write(&checked, "harmless\n")?;
        let before = std::fs::metadata(&checked)?.len();
        rustix::fs::renameat_with(CWD, &alias, CWD, &checked, RenameFlags::EXCHANGE)?;
        let file = File::open(&checked)?;
        anyhow::ensure!(file.metadata()?.len() != before, "still the harmless file");
        whole(&file)
    }),
    ("steps", |place| {
        become_user()?;
        let mut here: OwnedFd = File::open("/")?.into();
        let (directory, name) = parts(place)?;
        for step in directory.components().skip(1) {
            here = rustix::fs::openat(here, step.as_os_str(), OFlags::PATH, Mode::empty())?;
        }
        whole(&rustix::fs::openat(here, name, OFlags::RDONLY, Mode::empty())?.into())
    }),
];

/// Another name of the file's inode, in the spare directory.
fn alias(place: &Place) -> Result<PathBuf> {
    let alias = place.spare.join("alias");
    std::fs::hard_link(&place.file, &alias).context("link")?;
    Ok(alias)
}
