//! Open and mapped files of an invented proc(5), and of this process's own child.
//!
//! Run by the unit tests.

use std::os::unix::fs::{MetadataExt, symlink};
use std::path::PathBuf;

use super::holder::{ids, root_of};
use super::mappings::mapping;
use super::*;
use crate::bounded;

/// A proc(5) with one process that holds `file` by descriptor 3.
struct Host(tempfile::TempDir);

impl Host {
    fn new(flags: &str) -> Self {
        let host = Self(tempfile::tempdir().unwrap());
        for directory in ["proc/9/fd", "proc/9/fdinfo", "proc/9/ns"] {
            std::fs::create_dir_all(host.path(directory)).unwrap();
        }
        for name in ["file", "other"] {
            std::fs::write(host.path(name), "secret").unwrap();
        }
        symlink(host.path("file"), host.path("proc/9/fd/3")).unwrap();
        symlink(host.0.path(), host.path("proc/9/root")).unwrap();
        for name in ["mnt", "user"] {
            symlink(format!("/proc/self/ns/{name}"), host.path("proc/9/ns").join(name)).unwrap();
        }
        let stat = format!("9 (sleep) S 7 {}5000 0 0\n", "0 ".repeat(17));
        for (name, text) in [
            ("stat", stat.as_str()),
            ("comm", "sleep\n"),
            (
                "status",
                "Name:\tsleep\nUid:\t1000\t1001\t1002\t1003\nGid:\t1\t2\t3\t4\n",
            ),
            ("loginuid", "1000"),
            ("maps", ""),
            ("fdinfo/3", flags),
        ] {
            std::fs::write(host.path("proc/9").join(name), text).unwrap();
        }
        host
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn key(&self, name: &str) -> DevIno {
        DevIno::of(&std::fs::metadata(self.path(name)).unwrap())
    }

    fn listing(&self) -> Listing {
        open_files(&self.path("proc"), 100, &BTreeSet::from([self.key("file").dev]))
    }

    fn files(&self) -> Vec<DevIno> {
        self.listing().files.iter().map(OpenFile::key).collect()
    }
}

const READ: &str = "pos:\t0\nflags:\t0100000\nmnt_id:\t30\n";

#[test]
fn an_open_file_is_an_access_of_its_process() {
    let host = Host::new(READ);
    let listing = host.listing();
    assert_eq!((listing.files.len(), listing.unread), (1, 0));
    let access = listing.files[0].access("0a1b2c3d-4e5f", Timestamp::UNIX_EPOCH);
    let key = host.key("file");
    assert_eq!(
        access.id,
        format!("0a1b2c3d-open-9-50000000000-{}-{}", key.dev.0, key.ino)
    );
    assert_eq!(
        (access.operation, access.file, access.watch),
        (Operation::OpenBeforeStart, key, key)
    );
    assert_eq!(
        (access.tgid, access.parent, access.comm.as_slice()),
        (Tgid(9), Tgid(7), &b"sleep"[..])
    );
    let ids = access.effective;
    assert_eq!((ids.uid, ids.euid, ids.fsuid), (1000, 1001, 1003));
    assert_eq!(
        (ids.gid, ids.egid, ids.fsgid, ids.user_namespace_level),
        (1, 2, 4, 0)
    );
    let own = std::fs::metadata("/proc/self/ns/mnt").unwrap().ino();
    assert_eq!(
        (
            u64::from(access.mount_namespace),
            access.loginuid,
            access.incomplete
        ),
        (own, 1000, false)
    );
    assert_eq!(access.root_device, key.dev);
    assert_eq!(access.path, host.path("file").as_os_str().as_encoded_bytes());
}

#[test]
fn what_cannot_be_read_from_is_not_listed() {
    for (name, flags, listed) in [
        ("read", "flags:\t0100000\n", true),
        ("read and write", "flags:\t0100002\n", true),
        ("write", "flags:\t0100001\n", false),
        ("a mere path", "flags:\t010000000\n", false),
    ] {
        assert_eq!(Host::new(flags).files().len(), usize::from(listed), "{name}");
    }
    let nothing = Host::new("");
    assert_eq!(
        (nothing.files().len(), nothing.listing().unread),
        (0, 1),
        "no flags: counted"
    );
    let elsewhere = Host::new(READ);
    let listing = open_files(&elsewhere.path("proc"), 100, &BTreeSet::new());
    assert_eq!(listing, Listing::default(), "another device");
    let ending = Host::new(READ);
    let stat = ending.path("proc/9/stat");
    let line = bounded::read_text(&stat, 4096).unwrap().replace(" S ", " Z ");
    std::fs::write(stat, line).unwrap();
    assert_eq!(ending.listing(), Listing::default(), "a process that ended");
}

#[test]
fn a_mapped_file_is_listed_once() {
    let host = Host::new(READ);
    let line = |permissions: &str, key: DevIno, path: &str| {
        let (major, minor) = (key.dev.major(), key.dev.minor());
        format!(
            "7f00-7f01 {permissions} 00000000 {major:02x}:{minor:02x} {}   {path}\n",
            key.ino
        )
    };
    let (file, other) = (host.key("file"), host.key("other"));
    let mut maps = line("r--p", file, "/file") + &line("---p", other, "/hidden");
    std::fs::write(host.path("proc/9/maps"), &maps).unwrap();
    assert_eq!(host.files(), [file]);
    maps += &line("r--s", other, "/other");
    maps += "7f00-7f01 rw-p 00000000 00:00 0   [heap]\nnonsense\n";
    std::fs::write(host.path("proc/9/maps"), &maps).unwrap();
    let listing = host.listing();
    assert_eq!(listing.unread, 0);
    let mapped = listing.files.into_iter().find(|one| one.key == other).unwrap();
    assert_eq!(
        (mapped.path.as_slice(), mapped.is_proved()),
        (&b"/other"[..], true)
    );
    // The name leads to another inode: an overlay's, whose files are mapped as those of its layers.
    for (path, listed) in [("/file", None), ("/other (deleted)", Some(false))] {
        std::fs::write(host.path("proc/9/maps"), line("r--s", other, path)).unwrap();
        let files = host.listing().files;
        let mapped = files.iter().find(|one| one.key == other);
        assert_eq!(mapped.map(OpenFile::is_proved), listed, "{path}");
    }
}

#[test]
fn of_whom_something_is_unknown_is_marked() {
    for missing in ["status", "root", "ns/mnt", "ns/user"] {
        let host = Host::new(READ);
        std::fs::remove_file(host.path("proc/9").join(missing)).unwrap();
        let files = host.listing().files;
        assert!(
            files[0].access("b", Timestamp::UNIX_EPOCH).incomplete,
            "{missing}"
        );
    }
}

#[test]
fn ids_and_maps_are_read() {
    assert_eq!(ids("Uid:\t1 2 3\n", "Uid:"), None, "the fourth is what counts");
    for (map, root) in [
        (
            "         0       1000          1\n         1     100000      65536\n",
            Some(1000),
        ),
        ("1 100000 65536\n", None),
        ("0 x 1\n", None),
        ("", None),
    ] {
        assert_eq!(root_of(map), root, "{map:?}");
    }
}

proptest::proptest! {
    #[test]
    fn any_line_is_read(line: Vec<u8>) {
        mapping(&line);
    }
}
