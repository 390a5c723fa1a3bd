//! The files that are scanned: Debian packages of the machine's own release, unpacked.
//!
//! Made once and kept in the target folder; the figures name how much it was.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::apt::{self, Apt};
use crate::{files, say};

/// Sources, headers, documentation and data of programs: nearly all text.
const TEXT: [&str; 10] = [
    "golang-1.19-src",
    "libboost1.74-dev",
    "libpython3.11-testsuite",
    "linux-headers-6.1.0-53-common",
    "libc6-dev",
    "libstdc++-12-dev",
    "perl-modules-5.36",
    "python3-botocore",
    "python3-twisted",
    "python3-django",
];

/// Programs and libraries as an image of a web application has them.
const IMAGE: [&str; 20] = [
    "bash",
    "coreutils",
    "git",
    "libc6",
    "libperl5.36",
    "libpython3.11-minimal",
    "libpython3.11-stdlib",
    "libruby3.1",
    "libssl3",
    "mariadb-server-core",
    "nginx-common",
    "openjdk-17-jre-headless",
    "openssh-client",
    "openssl",
    "perl-modules-5.36",
    "php8.2-cli",
    "postgresql-15",
    "python3-botocore",
    "python3-cryptography",
    "redis-server",
];

/// A folder to scan.
#[derive(Debug)]
pub(super) struct Corpus {
    pub(super) name: &'static str,
    pub(super) folder: PathBuf,
    pub(super) files: u64,
    bytes: u64,
}

impl Corpus {
    /// Its size in millions of bytes.
    pub(super) fn megabytes(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
        let bytes = self.bytes as f64;
        bytes / 1e6
    }
}

/// Both, unpacked if they are not yet.
pub(super) fn make(folder: &Path) -> Result<[Corpus; 2]> {
    Ok([
        corpus("text", folder, &TEXT)?,
        corpus("as in an image", folder, &IMAGE)?,
    ])
}

fn corpus(name: &'static str, folder: &Path, packages: &[&str]) -> Result<Corpus> {
    let place = folder.join(name.replace(' ', "-"));
    let whole = place.join("unpacked");
    let tree = place.join("tree");
    let wanted = packages.join(" ");
    if !whole.exists() || files::read_text(&whole)? != wanted {
        files::empty_folder(&place)?;
        files::create_folder(&tree)?;
        let apt = Apt::system();
        for package in packages {
            if apt.candidate(package)?.is_none() {
                say::progress(&format!("bench: this release has no {package}"));
                continue;
            }
            say::progress(&format!("bench: unpacking {package}"));
            for deb in apt.download(&[(*package).to_owned()], &place.join("download"))? {
                apt::unpack(&deb, &tree)?;
            }
        }
        files::write(&whole, wanted.as_bytes())?;
    }
    let (mut files, mut bytes) = (0, 0);
    count(&tree, &mut files, &mut bytes)?;
    Ok(Corpus {
        name,
        folder: tree,
        files,
        bytes,
    })
}

fn count(folder: &Path, files: &mut u64, bytes: &mut u64) -> Result<()> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    for entry in entries {
        let entry = entry?;
        let metadata = entry.metadata()?;
        if metadata.is_dir() {
            count(&entry.path(), files, bytes)?;
        } else if metadata.is_file() {
            *files += 1;
            *bytes += metadata.len();
        }
    }
    Ok(())
}
