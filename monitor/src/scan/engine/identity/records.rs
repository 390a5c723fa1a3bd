//! The records of dpkg, apk and Python packages, looked through for some paths.
//!
//! Invariant: total, linear in the records' size, and bounded by their number; a path that points out of its place is
//! nobody's. Formats: deb-md5sums(5), apk's `installed` (apk-package(5)), the wheel's `RECORD` (`PyPA`,
//! "Recording installed projects").

use std::collections::BTreeSet;
use std::os::fd::BorrowedFd;

use rustix::fs::{Dir, OFlags};

use super::digest::Expected;
use super::{MAX_RECORD, open, read, rpm};

/// Records that are read, of all kinds together.
const MAX_RECORDS: usize = 20_000;
/// Where dpkg keeps them; images without dpkg itself have the second.
const DPKG: [&[u8]; 2] = [b"var/lib/dpkg/info", b"var/lib/dpkg/status.d"];
const APK: [&[u8]; 2] = [b"lib/apk/db/installed", b"usr/lib/apk/db/installed"];

/// Calls `claim` with each of `paths` that a record names and the digest that it names.
pub(super) fn each(root: BorrowedFd<'_>, paths: &BTreeSet<Vec<u8>>, claim: &mut dyn FnMut(&[u8], Expected)) {
    if paths.is_empty() {
        return;
    }
    let mut left = MAX_RECORDS;
    for place in DPKG {
        for name in names(root, place, b".md5sums", &mut left) {
            if let Some(text) = read(root, &join(place, &name), MAX_RECORD) {
                dpkg(&text, paths, claim);
            }
        }
    }
    for place in APK {
        if let Some(text) = read(root, place, MAX_RECORD) {
            apk(&text, paths, claim);
        }
    }
    rpm::each(root, paths, claim);
    let directories: BTreeSet<&[u8]> = paths.iter().flat_map(|path| parents(path)).collect();
    for directory in directories {
        for name in names(root, directory, b".dist-info", &mut left) {
            let record = join(&join(directory, &name), b"RECORD");
            if let Some(text) = read(root, &record, MAX_RECORD) {
                python(&text, directory, paths, claim);
            }
        }
    }
}

/// The directories above a file, the root left out.
fn parents(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.iter()
        .enumerate()
        .filter(|(_, byte)| **byte == b'/')
        .filter_map(|(at, _)| path.get(..at))
}

fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    [directory, name].join(&b'/')
}

/// The names in a directory with that end, as many as are left.
fn names(root: BorrowedFd<'_>, directory: &[u8], end: &[u8], left: &mut usize) -> Vec<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let Some(entries) = open(root, directory, flags).and_then(|fd| Dir::new(fd).ok()) else {
        return Vec::new();
    };
    let mut names: Vec<Vec<u8>> = entries
        .filter_map(Result::ok)
        .map(|entry| entry.file_name().to_bytes().to_vec())
        .filter(|name| name.ends_with(end))
        .take(*left)
        .collect();
    *left -= names.len();
    names.sort();
    names
}

/// Lines of a digest, two spaces and a path.
fn dpkg(text: &[u8], paths: &BTreeSet<Vec<u8>>, claim: &mut dyn FnMut(&[u8], Expected)) {
    for line in text.split(|b| *b == b'\n') {
        let Some((digest, path)) = line.split_at_checked(32) else {
            continue;
        };
        let path = path.trim_ascii_start();
        let merged = join(b"usr", path);
        for path in [path, &merged] {
            if let (true, Some(digest)) = (paths.contains(path), Expected::md5(digest)) {
                claim(path, digest);
            }
        }
    }
}

/// Lines of a letter, a colon and a value: `F` names a directory, `R` a file in it, `Z` the file's digest.
fn apk(text: &[u8], paths: &BTreeSet<Vec<u8>>, claim: &mut dyn FnMut(&[u8], Expected)) {
    let (mut directory, mut file): (&[u8], Option<&[u8]>) = (b"", None);
    for line in text.split(|b| *b == b'\n') {
        match line.split_at_checked(2) {
            Some((b"F:", path)) => (directory, file) = (path, None),
            Some((b"R:", name)) => file = Some(name),
            Some((b"Z:", digest)) => {
                let path = file.take().map(|name| {
                    if directory.is_empty() {
                        name.to_vec()
                    } else {
                        join(directory, name)
                    }
                });
                if let (Some(path), Some(digest)) = (path, Expected::apk(digest))
                    && paths.contains(&path)
                {
                    claim(&path, digest);
                }
            }
            Some(_) => {}
            None => file = None,
        }
    }
}

/// Lines of path, digest and size, separated by commas; a path is below the directory of the package.
fn python(text: &[u8], directory: &[u8], paths: &BTreeSet<Vec<u8>>, claim: &mut dyn FnMut(&[u8], Expected)) {
    for line in text.split(|b| *b == b'\n') {
        let mut parts = line.rsplitn(3, |b| *b == b',');
        let (_size, digest, path) = (parts.next(), parts.next(), parts.next());
        let (Some(digest), Some(path)) = (digest, path) else {
            continue;
        };
        let path = join(directory, path);
        if let (true, Some(digest)) = (paths.contains(&path), Expected::python(digest)) {
            claim(&path, digest);
        }
    }
}

#[cfg(any(test, fuzzing))]
/// All kinds of records in the same bytes: what fuzzing calls.
pub(in crate::scan) fn read_all(text: &[u8]) {
    let paths = BTreeSet::from([b"usr/lib/a.pem".to_vec(), b"usr/share/b".to_vec()]);
    let claim = &mut |path: &[u8], _| assert!(paths.contains(path));
    dpkg(text, &paths, claim);
    apk(text, &paths, claim);
    python(text, b"usr/lib", &paths, claim);
    rpm::read_all(text, &paths, claim);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_any_bytes_are_survived() {
        let paths = BTreeSet::from([b"a/b".to_vec()]);
        let mut claims = 0;
        for text in [
            &b""[..],
            b"\n\n",
            b"x",
            b"Z:Q1\nR:\nF:",
            b",,,,",
            b"R:b\nZ:Q1AAAA",
            &[0xff; 64],
        ] {
            dpkg(text, &paths, &mut |_, _| claims += 1);
            apk(text, &paths, &mut |_, _| claims += 1);
            python(text, b"a", &paths, &mut |_, _| claims += 1);
        }
        assert_eq!(claims, 0);
        assert_eq!(parents(b"a/b/c").collect::<Vec<_>>(), [&b"a"[..], b"a/b"]);
        assert_eq!(parents(b"a").count(), 0);
    }
}
