//! Whether anybody has a file open.
//!
//! Invariant: bounded; what cannot be looked at holds nothing. Used by the survey, of blobs that nothing happens to.

use std::collections::BTreeSet;
use std::path::Path;

use super::{PROCESSES_MAX, identity};
use crate::enrich::procfs::Procfs;
use crate::model::DevIno;

/// Descriptors of one process that are looked at.
const DESCRIPTORS_MAX: usize = 65_536;

/// Whether a process has one of the files open; `proc` is proc(5).
pub fn is_open(proc: &Path, files: &BTreeSet<DevIno>) -> bool {
    let procfs = Procfs::new(proc.to_owned(), rustix::param::clock_ticks_per_second());
    procfs.all(PROCESSES_MAX).into_iter().any(|tgid| {
        let descriptors = proc.join(tgid.0.to_string()).join("fd");
        let entries = std::fs::read_dir(descriptors).into_iter().flatten().flatten();
        entries
            .take(DESCRIPTORS_MAX)
            .any(|entry| identity(&entry.path()).is_ok_and(|(key, _)| files.contains(&key)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_file_is_held_until_it_is_closed() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let files = BTreeSet::from([DevIno::of(&file.as_file().metadata().unwrap())]);
        assert!(is_open(Path::new("/proc"), &files));
        let path = file.into_temp_path();
        assert!(!is_open(Path::new("/proc"), &files));
        drop(path);
    }
}
