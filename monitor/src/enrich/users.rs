//! User names of the host, from its passwd(5) file alone: no NSS, which could block on a network.
//!
//! Invariant: bounded; read again only when the file changed; a malformed line is skipped. Used by `Enricher`.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use crate::bounded;
use crate::model::text::printable;

/// Some hosts have tens of thousands of local users.
const PASSWD_LIMIT: u64 = 8 << 20;

/// What tells one version of the file from the next.
type Version = (u64, u64, i64, i64);

/// See the module.
#[derive(Debug)]
pub(super) struct Users {
    path: PathBuf,
    version: Option<Version>,
    names: HashMap<u32, String>,
}

impl Users {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            version: None,
            names: HashMap::new(),
        }
    }

    /// The host's name for a user id.
    pub(super) fn name(&mut self, uid: u32) -> Option<String> {
        let metadata = std::fs::metadata(&self.path).ok();
        let version = metadata.map(|one| (one.ino(), one.size(), one.mtime(), one.mtime_nsec()));
        if version != self.version {
            let text = bounded::read(&self.path, PASSWD_LIMIT).unwrap_or_default();
            self.names = parse(&text);
            self.version = version;
        }
        self.names.get(&uid).cloned()
    }
}

/// `name:password:uid:…`; the first line of a user id names it, as getpwuid(3) does.
fn parse(text: &[u8]) -> HashMap<u32, String> {
    const NAME_MAX: usize = 256;
    let mut names = HashMap::new();
    for line in text.split(|byte| *byte == b'\n') {
        let mut fields = line.split(|byte| *byte == b':');
        let (name, uid) = (
            fields.next().unwrap_or_default(),
            fields.nth(1).unwrap_or_default(),
        );
        let uid = std::str::from_utf8(uid).ok().and_then(|uid| uid.parse().ok());
        if let Some(uid) = uid.filter(|_| !name.is_empty() && name.len() <= NAME_MAX) {
            names.entry(uid).or_insert_with(|| printable(name).to_string());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("passwd");
        let mut users = Users::new(path.clone());
        assert_eq!(users.name(0), None, "no file");
        std::fs::write(
            &path,
            "root:x:0:0::/root:/bin/sh\ntoor:x:0:0::/:\n\nbad\n:x:5:5::/:\nx:y:z:w\na\x1b:x:7:7::/:\n",
        )
        .unwrap();
        for (uid, name) in [(0, Some("root")), (5, None), (7, Some("a\\x1b")), (8, None)] {
            assert_eq!(users.name(uid).as_deref(), name, "{uid}");
        }
        std::fs::write(&path, "admin:x:0:0::/root:/bin/sh\n").unwrap();
        assert_eq!(users.name(0).as_deref(), Some("admin"), "changed");
        std::fs::remove_file(&path).unwrap();
        assert_eq!(users.name(0), None, "removed");
    }

    proptest::proptest! {
        #[test]
        fn any_file_is_read(text: Vec<u8>) {
            parse(&text);
        }
    }
}
