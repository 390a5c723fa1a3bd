//! The files that a process has mapped, with or without a descriptor.
//!
//! Invariant: bounded and total; a mapping whose name does not lead to its inode is never called proved.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::{Found, One, cut, gone_or_unread, identity, is_regular};
use crate::model::{DevIno, KernelDev};

/// Most of a process's list of mappings that is read.
const MAPS_MAX: u64 = 8 << 20;

/// Adds the files on the given devices that no descriptor holds as well; `directory` is the process's in proc(5).
pub(super) fn files(directory: &Path, devices: &BTreeSet<KernelDev>, found: &mut Found) -> Result<(), ()> {
    let mut text = Vec::new();
    let read = File::open(directory.join("maps")).and_then(|file| file.take(MAPS_MAX).read_to_end(&mut text));
    if let Err(error) = read {
        return gone_or_unread(&error);
    }
    for (key, path) in text.split(|byte| *byte == b'\n').filter_map(mapping) {
        if !devices.contains(&key.dev) || found.contains_key(&key) {
            continue;
        }
        // The links in `map_files` would say it too, to whoever keeps CAP_SYS_ADMIN.
        let named = [directory.as_os_str().as_bytes(), b"/root", path].concat();
        let (mode, proved) = match identity(Path::new(OsStr::from_bytes(&named))) {
            Ok((other, mode)) if other == key && is_regular(mode) => (mode, true),
            Ok(_) => continue,
            Err(_) => (0, false),
        };
        let one = One {
            mode,
            open_flags: 0,
            path: cut(path),
            proved,
        };
        found.insert(key, one);
    }
    let whole = u64::try_from(text.len()).unwrap_or(u64::MAX) < MAPS_MAX;
    whole.then_some(()).ok_or(())
}

/// Reads `begin-end perms offset major:minor inode path` (proc(5)); absent for what is no readable file.
pub(super) fn mapping(line: &[u8]) -> Option<(DevIno, &[u8])> {
    let mut fields = line.splitn(6, |byte| *byte == b' ');
    let permissions = fields.nth(1)?;
    let device = std::str::from_utf8(fields.nth(1)?).ok()?;
    let ino = std::str::from_utf8(fields.next()?).ok()?.parse().ok()?;
    let path = fields.next().unwrap_or_default().trim_ascii_start();
    let (major, minor) = device.split_once(':')?;
    let number = |hex| u32::from_str_radix(hex, 16).ok();
    let dev = KernelDev::from_stat(rustix::fs::makedev(number(major)?, number(minor)?));
    (permissions.first() == Some(&b'r') && ino != 0).then_some((DevIno { dev, ino }, path))
}
