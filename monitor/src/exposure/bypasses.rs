//! Ways to a store's content that are no file accesses in it: devices, engine sockets, programs with capabilities.
//!
//! Invariant: who is named here is named with what it goes by; whoever can write to an engine's socket as root serves it,
//! or read the disk, is root's equal and is told so. Looked at once for each snapshot by `Surroundings`.

use std::collections::BTreeSet;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use super::gates::shell_quoted;
use super::look::{Looker, Wanted};
use super::processes::{POWERFUL, Processes};
use super::readers::readers_of;
use crate::bounded;
use crate::model::text::printable;
use crate::model::{Bypass, Gate, Means, RawDevice, Reader};

/// Sockets of engines that serve them as root, by default and by the name of the socket elsewhere.
const SOCKETS: &[&str] = &[
    "/run/docker.sock",
    "/run/podman/podman.sock",
    "/run/containerd/containerd.sock",
    "/run/crio/crio.sock",
    "/run/k3s/containerd/containerd.sock",
    "/run/k0s/containerd.sock",
    "/run/buildkit/buildkitd.sock",
    "/var/snap/microk8s/common/run/containerd.sock",
];
const MAX_SOCKETS: usize = 64;
/// The kernel's list of sockets on a host with very many.
const UNIX_LIMIT: u64 = 32 << 20;

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

/// One of them, with what closes it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Open {
    pub(super) bypass: Bypass,
    /// The socket or device.
    pub(super) gate: Option<Gate>,
    pub(super) remedy: Option<String>,
    /// Whose rights it gives: root's, or those of the owner of a rootless engine.
    pub(super) owner_uid: u32,
}

/// Who can write to an engine's socket.
pub(super) fn sockets(looker: &Looker) -> Vec<Open> {
    let mut paths: BTreeSet<PathBuf> = SOCKETS.iter().map(PathBuf::from).collect();
    let listed = bounded::read(&looker.host().path("/proc/1/net/unix"), UNIX_LIMIT).unwrap_or_default();
    paths.extend(engine_sockets(&listed).take(MAX_SOCKETS));
    let resolved: BTreeSet<PathBuf> = paths.iter().map(|path| looker.resolve(path)).collect();
    let mut found = Vec::new();
    for path in resolved {
        let seen = looker.host().path(&path);
        if !std::fs::symlink_metadata(&seen).is_ok_and(|one| one.file_type().is_socket()) {
            continue;
        }
        let way = looker.walk(&seen, Wanted::Write);
        let Some(socket) = way.components.last() else {
            continue;
        };
        let remedy = Some(format!("chmod 660 {}", shell_quoted(&path)));
        found.extend(readers_of(&way).readers.into_iter().map(|reader| Open {
            bypass: bypass(reader, Means::Socket, &path, socket.uid == 0),
            gate: Some(socket.gate()),
            remedy: remedy.clone(),
            owner_uid: socket.uid,
        }));
    }
    found
}

/// The paths of sockets that are called as engines call theirs; `Num: … Path` per line.
fn engine_sockets(listed: &[u8]) -> impl Iterator<Item = PathBuf> {
    let names: BTreeSet<&std::ffi::OsStr> = SOCKETS
        .iter()
        .filter_map(|path| Path::new(path).file_name())
        .collect();
    listed.split(|byte| *byte == b'\n').filter_map(move |line| {
        use std::os::unix::ffi::OsStrExt;
        let at = line.windows(2).position(|two| two == b" /")?;
        let path = Path::new(std::ffi::OsStr::from_bytes(line.get(at + 1..)?));
        names.contains(path.file_name()?).then(|| path.to_owned())
    })
}

/// Who can read the devices and image files under a store.
pub(super) fn devices(looker: &Looker, devices: &[RawDevice]) -> Vec<(crate::model::StoreId, Open)> {
    let mut found = Vec::new();
    for device in devices {
        let seen = looker.host().path(&device.path);
        let Ok(metadata) = std::fs::metadata(&seen) else {
            continue;
        };
        let way = looker.walk(&seen, Wanted::Read);
        let Some(last) = way.components.last() else {
            continue;
        };
        // A file of one store's content is not the whole host.
        let is_disk = metadata.file_type().is_block_device();
        found.extend(readers_of(&way).readers.into_iter().map(|reader| {
            let open = Open {
                bypass: bypass(reader, Means::Device, &device.path, is_disk),
                gate: Some(last.gate()),
                remedy: Some(format!(
                    "chmod {:o} {}",
                    last.mode & 0o770,
                    shell_quoted(&device.path)
                )),
                owner_uid: 0,
            };
            (device.store.clone(), open)
        }));
    }
    found
}

/// Who passes over modes: processes that hold a capability, and programs that give one to whoever may run them.
pub(super) fn capabilities(looker: &Looker, processes: &Processes) -> Vec<Open> {
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

fn bypass(reader: Reader, by: Means, via: &Path, root_equivalent: bool) -> Bypass {
    Bypass {
        reader,
        by,
        via: printable(via.as_os_str().as_encoded_bytes()).to_string(),
        root_equivalent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_are_told_by_their_names() {
        let listed = b"Num       RefCount Protocol Flags    Type St Inode Path\n\
            0000000000000000: 00000002 00000000 00010000 0001 01 20 /srv/d/docker.sock\n\
            0000000000000000: 00000002 00000000 00010000 0001 01 21 @/containerd.sock\n\
            0000000000000000: 00000003 00000000 00000000 0001 03 22\n\
            0000000000000000: 00000002 00000000 00010000 0001 01 23 /run/dbus/socket\n";
        let found: Vec<PathBuf> = engine_sockets(listed).collect();
        assert_eq!(found, [PathBuf::from("/srv/d/docker.sock")]);
    }

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
