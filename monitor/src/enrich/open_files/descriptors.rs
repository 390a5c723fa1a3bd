//! The files behind a process's descriptors that can be read from.
//!
//! Invariant: bounded; what ended meanwhile is nothing that was missed, anything else that could not be read is said.

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::{Found, One, cut, gone_or_unread, identity, is_regular};
use crate::bounded;
use crate::model::KernelDev;

/// Most descriptors of one process that are looked at.
const DESCRIPTORS_MAX: usize = 65_536;
/// `fdinfo` is a few lines; that of an epoll or inotify descriptor has a line for each watch, and is no file.
const FDINFO_MAX: u64 = 4096;

/// Adds the files on the given devices; `directory` is the process's in proc(5).
pub(super) fn files(directory: &Path, devices: &BTreeSet<KernelDev>, found: &mut Found) -> Result<(), ()> {
    let entries = match std::fs::read_dir(directory.join("fd")) {
        Ok(entries) => entries,
        Err(error) => return gone_or_unread(&error),
    };
    let mut complete = Ok(());
    for (number, entry) in entries.flatten().enumerate() {
        if number >= DESCRIPTORS_MAX {
            return Err(());
        }
        let (key, mode) = match identity(&entry.path()) {
            Ok(identity) => identity,
            Err(error) => {
                complete = complete.and(gone_or_unread(&error));
                continue;
            }
        };
        if !devices.contains(&key.dev) || !is_regular(mode) {
            continue;
        }
        let info = directory.join("fdinfo").join(entry.file_name());
        let Some(open_flags) = open_flags(&info) else {
            complete = complete.and(still_there(&entry.path()));
            continue;
        };
        if is_readable(open_flags) {
            let path = std::fs::read_link(entry.path()).unwrap_or_default();
            let one = One {
                mode,
                open_flags,
                path: cut(path.as_os_str().as_bytes()),
                proved: true,
            };
            found.insert(key, one);
        }
    }
    complete
}

/// Flags of open(2), from the octal number in `fdinfo`.
fn open_flags(fdinfo: &Path) -> Option<u32> {
    let text = bounded::read_text(fdinfo, FDINFO_MAX).ok()?;
    let flags = text.lines().find_map(|line| line.strip_prefix("flags:"))?;
    u32::from_str_radix(flags.trim(), 8).ok()
}

/// Neither for writing alone nor a mere path (include/uapi/asm-generic/fcntl.h).
fn is_readable(open_flags: u32) -> bool {
    const ACCESS: u32 = 3;
    const WRITE_ONLY: u32 = 1;
    const PATH: u32 = 0o10_000_000;
    open_flags & ACCESS != WRITE_ONLY && open_flags & PATH == 0
}

fn still_there(path: &Path) -> Result<(), ()> {
    std::fs::symlink_metadata(path).map_or(Ok(()), |_| Err(()))
}
