//! Which files of a layer are byte for byte what a package in the same layer ships.
//!
//! dpkg (`md5sums`), apk (`installed`), rpm (its database) and Python (`RECORD`) write down a digest of each file when
//! they unpack it, so the record lies in the layer of the file. Invariant: a record is a claim of the layer's, not
//! proof: it lowers a finding and never hides it. Everything is read below the layer's root without following a link,
//! and bounded. Called by `engine` at the end of a walk, for files with a finding only.

mod digest;
mod records;
mod rpm;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::os::fd::BorrowedFd;

use rustix::fs::{Mode, OFlags, ResolveFlags};
use zeroize::Zeroizing;

use digest::Expected;
#[cfg(any(test, fuzzing))]
pub(in crate::scan) use records::read_all as read_records;

/// A record file may have this many bytes.
const MAX_RECORD: u64 = 32 << 20;
/// A file that is compared may have this many.
const MAX_FILE: u64 = 64 << 20;

/// Those of `paths` that a package shipped as they are now.
pub(super) fn shipped(root: BorrowedFd<'_>, paths: &BTreeSet<Vec<u8>>) -> BTreeSet<Vec<u8>> {
    let mut expected: BTreeMap<Vec<u8>, Vec<Expected>> = BTreeMap::new();
    records::each(root, paths, &mut |path, digest| {
        expected.entry(path.to_vec()).or_default().push(digest);
    });
    expected
        .into_iter()
        .filter(|(path, digests)| {
            read(root, path, MAX_FILE).is_some_and(|content| digests.iter().any(|d| d.is_of(&content)))
        })
        .map(|(path, _)| path)
        .collect()
}

/// A regular file below the root; nothing if it is none, is too large or cannot be read.
fn read(root: BorrowedFd<'_>, path: &[u8], limit: u64) -> Option<Zeroizing<Vec<u8>>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(open(root, path, flags)?);
    let size = file.metadata().ok().filter(std::fs::Metadata::is_file)?.len();
    if size > limit {
        return None;
    }
    let mut content = Zeroizing::new(Vec::new());
    file.take(limit).read_to_end(&mut content).ok()?;
    Some(content)
}

fn open(root: BorrowedFd<'_>, path: &[u8], flags: OFlags) -> Option<std::os::fd::OwnedFd> {
    let resolve = ResolveFlags::BENEATH
        | ResolveFlags::NO_SYMLINKS
        | ResolveFlags::NO_MAGICLINKS
        | ResolveFlags::NO_XDEV;
    rustix::fs::openat2(root, path, flags, Mode::empty(), resolve).ok()
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::path::Path;

    use super::*;

    fn write(root: &Path, path: &str, content: &str) {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    #[test]
    fn a_file_is_shipped_only_while_it_is_what_the_record_says() {
        let root = tempfile::tempdir().unwrap();
        let content = "-----BEGIN a key\n";
        for path in [
            "usr/share/doc/a/key.pem",
            "usr/share/doc/a/changed.pem",
            "usr/share/doc/a/unlisted.pem",
            "usr/lib/x/test.pem",
            "usr/lib/python3/dist-packages/pkg/test.pem",
        ] {
            write(root.path(), path, content);
        }
        // By `md5sum`, `openssl dgst -sha1 -binary | base64` and `openssl dgst -sha256 -binary | base64`.
        write(
            root.path(),
            "var/lib/dpkg/info/a:amd64.md5sums",
            "7eaae1ac44faccf5215606c08c430801  usr/share/doc/a/key.pem\n00000000000000000000000000000000  usr/share/doc/a/changed.pem\n",
        );
        write(
            root.path(),
            "lib/apk/db/installed",
            "P:x\nF:usr/lib/x\nR:test.pem\na:0:0:644\nZ:Q1d2qATr8tq3Io4IOLhDsuJDOk+pc=\n\nP:y\nF:usr\nR:other\nZ:Q1AAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
        );
        write(
            root.path(),
            "usr/lib/python3/dist-packages/pkg-1.dist-info/RECORD",
            "pkg/test.pem,sha256=kgNyrQjLsrNpxyUwgdjPj-_wcJXAJT33o1dkybYtt-M,17\npkg-1.dist-info/RECORD,,\n../../etc/passwd,sha256=x,1\n",
        );
        let paths: BTreeSet<Vec<u8>> = [
            "usr/share/doc/a/key.pem",
            "usr/share/doc/a/changed.pem",
            "usr/share/doc/a/unlisted.pem",
            "usr/lib/x/test.pem",
            "usr/lib/python3/dist-packages/pkg/test.pem",
        ]
        .iter()
        .map(|path| path.as_bytes().to_vec())
        .collect();
        let directory = File::open(root.path()).unwrap();
        let found = shipped(directory.as_fd(), &paths);
        let expected: BTreeSet<Vec<u8>> = [
            "usr/share/doc/a/key.pem",
            "usr/lib/x/test.pem",
            "usr/lib/python3/dist-packages/pkg/test.pem",
        ]
        .iter()
        .map(|path| path.as_bytes().to_vec())
        .collect();
        assert_eq!(found, expected);
        assert_eq!(shipped(directory.as_fd(), &BTreeSet::new()), BTreeSet::new());
    }
}
