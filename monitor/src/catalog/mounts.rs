//! The mount table of this process: which file system a path is on, and where engines have overlays mounted.
//!
//! Invariant: parsing is total; a line that is not in the format of `proc_pid_mountinfo(5)` is passed over. Used by
//! discovery (an engine's mounts name its roots) and to tell a store's backing file system.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use crate::bounded::{self, BoundedError};

/// A host with thousands of containers stays below; the kernel makes this file, not a user.
const TABLE_LIMIT: u64 = 16 << 20;

/// One mount.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Mount {
    /// The file system's number, `major:minor`, as the kernel writes it.
    pub(crate) device: Vec<u8>,
    /// The directory of the file system that is mounted.
    pub(crate) root: PathBuf,
    /// Where it is mounted, as this process sees it.
    pub(crate) point: PathBuf,
    /// The file system's name, such as `ext4`.
    pub(crate) filesystem: String,
    /// What is mounted: a device for a file system that has one, else any word.
    pub(crate) source: PathBuf,
    /// Options of the superblock, such as `lowerdir=…`.
    pub(crate) super_options: Vec<u8>,
}

/// All mounts of this process, in the order of mounting.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct MountTable {
    pub(crate) mounts: Vec<Mount>,
}

impl MountTable {
    pub(crate) fn read() -> Result<Self, BoundedError> {
        Self::read_from(Path::new("/proc/self/mountinfo"))
    }

    /// The table in a process's `mountinfo`.
    pub(crate) fn read_from(file: &Path) -> Result<Self, BoundedError> {
        bounded::read(file, TABLE_LIMIT).map(|bytes| Self::parse(&bytes))
    }

    pub(crate) fn parse(bytes: &[u8]) -> Self {
        Self {
            mounts: bytes.split(|b| *b == b'\n').filter_map(parse_line).collect(),
        }
    }

    /// The file system that `path` (absolute, without links) is on, or `unknown`.
    pub(crate) fn filesystem_of(&self, path: &Path) -> &str {
        self.of(path).map_or("unknown", |mount| &mount.filesystem)
    }

    /// What is mounted where `path` (absolute, without links) is.
    pub(crate) fn source_of(&self, path: &Path) -> Option<&Path> {
        self.of(path).map(|mount| mount.source.as_path())
    }

    /// The mount that `path` (absolute, without links) is on.
    pub(crate) fn of(&self, path: &Path) -> Option<&Mount> {
        // Of two mounts on one point the later one is on top.
        self.mounts
            .iter()
            .filter(|mount| path.starts_with(&mount.point))
            .max_by_key(|mount| mount.point.as_os_str().len())
    }
}

fn parse_line(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|b| *b == b' ');
    let device = fields.nth(2)?;
    let root = fields.next()?;
    let point = fields.next()?;
    // Any number of optional fields, then a lone dash.
    let filesystem = fields.by_ref().skip_while(|field| *field != b"-").nth(1)?;
    let source = fields.next()?;
    let super_options = fields.next()?;
    let path = |field| PathBuf::from(OsString::from_vec(unescape_octal(field)));
    Some(Mount {
        device: device.to_vec(),
        root: path(root),
        point: path(point),
        source: path(source),
        filesystem: String::from_utf8_lossy(filesystem).into_owned(),
        super_options: unescape_octal(super_options),
    })
}

/// Blank, tab, newline and backslash come as `\040` and the like (`mangle`, `fs/proc_namespace.c`).
fn unescape_octal(field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((byte, after)) = rest.split_first() {
        let escaped = after
            .first_chunk::<3>()
            .filter(|_| *byte == b'\\')
            .and_then(|digits| octal(*digits));
        plain.push(escaped.unwrap_or(*byte));
        rest = if escaped.is_some() {
            after.get(3..).unwrap_or_default()
        } else {
            after
        };
    }
    plain
}

fn octal(digits: [u8; 3]) -> Option<u8> {
    u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 8).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[u8] = b"21 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n\
        30 21 0:26 / /srv/a\\040b rw shared:5 master:1 - xfs none rw,a=\\134\n\
        31 30 0:27 / /srv/a\\040b rw - btrfs none rw\n\
        nonsense\n\
        40 21 0:40 / /m rw - overlay overlay rw,lowerdir=/g/overlay/l/AB,upperdir=/g/overlay/x/diff";

    #[test]
    fn a_table_is_parsed_and_nonsense_passed_over() {
        let table = MountTable::parse(TABLE);
        let points: Vec<_> = table.mounts.iter().map(|mount| mount.point.as_path()).collect();
        assert_eq!(points, ["/", "/srv/a b", "/srv/a b", "/m"].map(Path::new));
        assert_eq!(table.mounts[1].super_options, b"rw,a=\\");
        assert_eq!(table.source_of(Path::new("/etc")), Some(Path::new("/dev/vda")));
        assert_eq!(
            table.mounts[3].super_options,
            b"rw,lowerdir=/g/overlay/l/AB,upperdir=/g/overlay/x/diff"
        );
    }

    #[test]
    fn a_path_is_on_the_topmost_of_the_nearest_mounts() {
        let table = MountTable::parse(TABLE);
        for (path, filesystem) in [
            ("/", "ext4"),
            ("/srv", "ext4"),
            ("/srv/a b/c", "btrfs"),
            ("/srv/a bc", "ext4"),
            ("/m/etc", "overlay"),
        ] {
            assert_eq!(table.filesystem_of(Path::new(path)), filesystem, "{path}");
        }
        assert_eq!(MountTable::default().filesystem_of(Path::new("/")), "unknown");
    }

    #[test]
    fn the_real_table_has_a_root() {
        assert_ne!(
            MountTable::read().unwrap().filesystem_of(Path::new("/")),
            "unknown"
        );
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(proptest::arbitrary::any::<u8>(), 0..400)) {
            let table = MountTable::parse(&bytes);
            proptest::prop_assert!(table.mounts.len() <= bytes.len());
        }
    }
}
