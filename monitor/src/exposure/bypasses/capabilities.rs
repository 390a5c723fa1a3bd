//! Capabilities that pass over modes: processes that hold one, and programs that give one to whoever may run them.
//!
//! Invariant: bounded; only programs in the usual directories are looked at.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::{Open, bypass};
use crate::exposure::gates::shell_quoted;
use crate::exposure::look::{Looker, Wanted};
use crate::exposure::processes::{POWERFUL, Processes};
use crate::exposure::readers::readers_of;
use crate::model::{Bypass, Means, Reader};

/// Where programs with capabilities are looked for.
const PROGRAMS: &[&str] = &[
    "/usr/bin",
    "/usr/sbin",
    "/usr/local/bin",
    "/usr/local/sbin",
    "/usr/libexec",
    "/opt/bin",
];
const MAX_PROGRAMS: usize = 20_000;
/// The attribute of a file's capabilities (`struct vfs_ns_cap_data`, include/uapi/linux/capability.h).
const CAPABILITY: &str = "security.capability";

/// Who passes over modes: processes that hold a capability, and programs that give one to whoever may run them.
pub(in crate::exposure) fn capabilities(looker: &Looker, processes: &Processes) -> Vec<Open> {
    let held = processes.capable.iter().map(|(uid, name)| Open {
        bypass: Bypass {
            reader: Reader::User { uid: *uid },
            by: Means::Capability,
            via: name.clone(),
            root_equivalent: true,
        },
        gate: None,
        remedy: None,
        owner_uid: 0,
    });
    let mut found: Vec<Open> = held.collect();
    let own = std::env::current_exe().ok();
    for path in programs(looker) {
        if own.as_deref() == Some(&looker.host().path(&path)) {
            continue;
        }
        let way = looker.walk(&looker.host().path(&path), Wanted::Run);
        found.extend(readers_of(&way).readers.into_iter().map(|reader| Open {
            bypass: bypass(reader, Means::Capability, &path, true),
            gate: None,
            remedy: Some(format!("setcap -r {}", shell_quoted(&path))),
            owner_uid: 0,
        }));
    }
    found
}

/// Programs whose file capabilities pass over modes, as host paths.
fn programs(looker: &Looker) -> Vec<PathBuf> {
    let directories: BTreeSet<PathBuf> = PROGRAMS
        .iter()
        .map(|path| looker.resolve(Path::new(path)))
        .collect();
    let mut found = Vec::new();
    for directory in directories {
        let entries = std::fs::read_dir(looker.host().path(&directory))
            .into_iter()
            .flatten()
            .flatten();
        for entry in entries.take(MAX_PROGRAMS) {
            let mut value = [0; 64];
            if let Ok(length) = rustix::fs::lgetxattr(entry.path(), CAPABILITY, &mut value)
                && is_powerful(value.get(..length).unwrap_or_default())
            {
                found.push(directory.join(entry.file_name()));
            }
        }
    }
    found
}

/// Whether the permitted set of a file's capabilities has one of the powerful, all in the lower half.
fn is_powerful(value: &[u8]) -> bool {
    let permitted = value.get(4..8).and_then(|bytes| <[u8; 4]>::try_from(bytes).ok());
    permitted.is_some_and(|bits| u64::from(u32::from_le_bytes(bits)) & POWERFUL != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_may_only_ping_is_not_powerful() {
        let value = |bits: u32| [&[1, 0, 0, 2][..], &bits.to_le_bytes(), &[0; 12]].concat();
        for (value, powerful) in [
            (value(1 << 13), false),
            (value(1 << 2), true),
            (value(1 << 1 | 1 << 13), true),
            (vec![1, 0, 0], false),
            (vec![], false),
        ] {
            assert_eq!(is_powerful(&value), powerful, "{value:?}");
        }
    }
}
