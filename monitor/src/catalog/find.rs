//! Where a file name lies in the layers: a walk over directory entries alone, over several layers at once.
//!
//! Invariant: no link of a layer is followed, nothing is opened but directories, and a file is told of the layer that it
//! came with, also where layers are copies of the whole tree. Bounded in depth and in hits. Called by `layerwatch find`.

use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags};

use super::Catalog;
use crate::model::{Layer, LayerKey};

/// Deeper trees are cut and told.
const MAX_DEPTH: usize = 256;
/// More hits than anybody reads.
const MAX_HITS: usize = 100_000;
/// Walking waits for the disk more than for the processor, and is not to take all of either.
const MAX_THREADS: usize = 4;

/// What is looked for: a name, or the end of a path; `*` and `?` stand for what they do in a shell.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pattern {
    /// Last one first.
    components: Vec<Vec<u8>>,
    /// The path begins where the layer does.
    anchored: bool,
}

impl Pattern {
    /// The pattern; `None` where it names nothing.
    pub fn new(text: &[u8]) -> Option<Self> {
        let components = text.split(|byte| *byte == b'/').filter(|part| !part.is_empty());
        let components: Vec<Vec<u8>> = components.rev().map(<[u8]>::to_vec).collect();
        (!components.is_empty()).then(|| Self {
            components,
            anchored: text.first() == Some(&b'/'),
        })
    }

    /// Whether an entry `name` of the directory `above` (below the layer's root) is meant.
    fn matches(&self, above: &[u8], name: &[u8]) -> bool {
        let Some((last, rest)) = self.components.split_first() else {
            return false;
        };
        if !glob(last, name) {
            return false;
        }
        let mut parts = above.rsplit(|byte| *byte == b'/').filter(|part| !part.is_empty());
        rest.iter()
            .all(|wanted| parts.next().is_some_and(|part| glob(wanted, part)))
            && (!self.anchored || parts.next().is_none())
    }
}

/// `*` for any bytes, `?` for one; linear but for what a star gives back.
fn glob(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut in_name) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while in_name < name.len() {
        let wanted = pattern.get(at).copied();
        if wanted == Some(b'*') {
            star = Some((at, in_name));
            at += 1;
        } else if wanted.is_some() && (wanted == Some(b'?') || wanted == name.get(in_name).copied()) {
            at += 1;
            in_name += 1;
        } else if let Some((back, taken)) = star {
            star = Some((back, taken + 1));
            at = back + 1;
            in_name = taken + 1;
        } else {
            return false;
        }
    }
    pattern
        .get(at..)
        .is_some_and(|rest| rest.iter().all(|byte| *byte == b'*'))
}

/// What an entry is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Link,
    /// A device, a FIFO or a socket.
    Special,
}

/// One place where the name lies.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Hit {
    /// The layer that it came with.
    pub layer: LayerKey,
    /// Raw bytes, without a leading slash.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: EntryKind,
}

/// All hits, and what was not looked at.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Found {
    /// By layer and path.
    pub hits: Vec<Hit>,
    /// Directories that could not be read, or lie too deep.
    pub unread: u64,
    /// There were more hits.
    pub is_cut: bool,
    /// Entries that were looked at.
    pub entries: u64,
}

impl Catalog {
    /// Looks for a name in every layer.
    pub fn find(&self, pattern: &Pattern) -> Found {
        let layers: Vec<&Layer> = self
            .layers
            .values()
            .filter(|layer| layer.content_key.is_some())
            .collect();
        let next = AtomicUsize::new(0);
        let threads = std::thread::available_parallelism()
            .map_or(1, usize::from)
            .min(MAX_THREADS);
        let work = || {
            let mut found = Found::default();
            while let Some(layer) = layers.get(next.fetch_add(1, Ordering::Relaxed)) {
                Walk {
                    catalog: self,
                    layer,
                    pattern,
                    found: &mut found,
                }
                .walk();
            }
            found
        };
        let mut all = Found::default();
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            for thread in threads {
                // A thread that died has looked at nothing that could be told.
                match thread.join() {
                    Ok(found) => all.add(found),
                    Err(_) => all.unread += 1,
                }
            }
        });
        all.hits.sort();
        all.is_cut |= all.hits.len() > MAX_HITS;
        all.hits.truncate(MAX_HITS);
        all
    }
}

impl Found {
    fn add(&mut self, other: Self) {
        self.hits.extend(other.hits);
        self.unread += other.unread;
        self.is_cut |= other.is_cut;
        self.entries += other.entries;
    }
}

/// The walk over one layer.
struct Walk<'a> {
    catalog: &'a Catalog,
    layer: &'a Layer,
    pattern: &'a Pattern,
    found: &'a mut Found,
}

impl Walk<'_> {
    fn walk(&mut self) {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let Ok(root) = rustix::fs::open(&self.layer.content, flags, Mode::empty()) else {
            self.found.unread += 1;
            return;
        };
        let mut todo: Vec<(Vec<u8>, usize)> = vec![(Vec::new(), 0)];
        while let Some((path, depth)) = todo.pop() {
            match open_below(&root, &path) {
                Ok(directory) => self.entries(directory, &path, depth, &mut todo),
                Err(_) => self.found.unread += 1,
            }
        }
    }

    fn entries(&mut self, mut directory: Dir, path: &[u8], depth: usize, todo: &mut Vec<(Vec<u8>, usize)>) {
        while let Some(entry) = directory.read() {
            let Ok(entry) = entry else {
                self.found.unread += 1;
                return;
            };
            let name = entry.file_name().to_bytes();
            if matches!(name, b"." | b"..") {
                continue;
            }
            self.found.entries += 1;
            let kind = entry.file_type();
            if kind == FileType::Directory {
                if depth == MAX_DEPTH {
                    self.found.unread += 1;
                } else {
                    todo.push((join(path, name), depth + 1));
                }
            }
            if self.pattern.matches(path, name) {
                self.hit(&directory, path, entry.file_name(), kind);
            }
        }
    }

    /// Notes a hit, unless it is a mark that a file is gone, or a copy of what a lower layer brought.
    fn hit(&mut self, directory: &Dir, path: &[u8], name: &std::ffi::CStr, kind: FileType) {
        if self.found.hits.len() > MAX_HITS {
            self.found.is_cut = true;
            return;
        }
        if matches!(kind, FileType::CharacterDevice | FileType::Unknown) {
            let stat = directory
                .fd()
                .and_then(|fd| rustix::fs::statat(fd, name, AtFlags::SYMLINK_NOFOLLOW));
            let whiteout = stat.is_ok_and(|stat| {
                FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
            });
            if whiteout {
                return;
            }
        }
        let path = join(path, name.to_bytes());
        if self.catalog.origin(self.layer, &path).key != self.layer.key {
            return;
        }
        self.found.hits.push(Hit {
            layer: self.layer.key.clone(),
            path,
            kind: match kind {
                FileType::Directory => EntryKind::Directory,
                FileType::Symlink => EntryKind::Link,
                FileType::RegularFile | FileType::Unknown => EntryKind::File,
                FileType::CharacterDevice | FileType::BlockDevice | FileType::Fifo | FileType::Socket => {
                    EntryKind::Special
                }
            },
        });
    }
}

/// Opens a directory below the layer's root, never out of it.
fn open_below(root: &OwnedFd, path: &[u8]) -> rustix::io::Result<Dir> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let path = if path.is_empty() { b"." } else { path };
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let path = Path::new(std::ffi::OsStr::from_bytes(path));
    let directory = rustix::fs::openat2(root, path, flags, Mode::empty(), resolve)?;
    Dir::new(directory)
}

fn join(path: &[u8], name: &[u8]) -> Vec<u8> {
    if path.is_empty() {
        name.to_vec()
    } else {
        [path, b"/", name].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_a_name_or_the_end_of_a_path() {
        for (pattern, above, name, matches) in [
            ("redhat-release", "etc", "redhat-release", true),
            ("redhat-release", "etc/redhat-release", "x", false),
            ("*-release", "etc", "redhat-release", true),
            ("*-release", "etc", "redhat-release2", false),
            ("r?dhat*", "", "redhat-release", true),
            ("etc/*-release", "etc", "os-release", true),
            ("etc/*-release", "usr/etc", "os-release", true),
            ("/etc/*-release", "usr/etc", "os-release", false),
            ("/etc/os-release", "etc", "os-release", true),
            ("etc/os-release", "", "os-release", false),
            ("a*b*c", "", "aXbYbZc", true),
            ("a*b*c", "", "aXbYbZ", false),
            ("*", "", "", true),
        ] {
            let found = Pattern::new(pattern.as_bytes())
                .unwrap()
                .matches(above.as_bytes(), name.as_bytes());
            assert_eq!(found, matches, "{pattern} {above}/{name}");
        }
        assert_eq!(Pattern::new(b"//"), None);
    }

    proptest::proptest! {
        #[test]
        fn a_glob_ends(pattern in "[*?ab]{0,12}", name in "[ab]{0,40}") {
            let found = glob(pattern.as_bytes(), name.as_bytes());
            proptest::prop_assert!(found || pattern != "*");
        }
    }
}
