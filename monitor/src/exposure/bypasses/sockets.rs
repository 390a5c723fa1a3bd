//! Engine sockets, and who can write to them.
//!
//! Invariant: bounded; a path that is no socket now is none.

use std::collections::BTreeSet;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::servers::{Listening, Servers};
use super::{Open, bypass};
use crate::bounded;
use crate::catalog::Host;
use crate::exposure::gates::shell_quoted;
use crate::exposure::look::{Looker, Wanted};
use crate::exposure::readers::readers_of;
use crate::model::{DevIno, EngineSocket, Means};

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
/// Of the flags: somebody waits for connections (`__SO_ACCEPTCON`, include/linux/net.h).
const LISTENS: u32 = 1 << 16;
/// The kernel's list of sockets on a host with very many.
const UNIX_LIMIT: u64 = 32 << 20;

/// Where sockets are looked for where the host's root as it is given has no `/run`: a pod is given the stores alone, for a
/// mounted `/run` would let it connect. The root of the host's first process shows the sockets as well, and where nobody may
/// look there, one of `engines`, which are the roots of running ones.
pub(in crate::exposure) fn socket_host(host: &Host, engines: &[PathBuf]) -> Option<Host> {
    if host.path("/run").exists() {
        return None;
    }
    let mut roots = std::iter::once(host.path("/proc/1/root")).chain(engines.iter().cloned());
    roots.find(|root| root.join("run").exists()).map(Host::new)
}

/// The sockets at which engines serve.
pub(in crate::exposure) fn engine_sockets(looker: &Looker) -> Vec<EngineSocket> {
    let mut paths: BTreeSet<PathBuf> = SOCKETS.iter().map(PathBuf::from).collect();
    let listed = bounded::read(&looker.host().path("/proc/1/net/unix"), UNIX_LIMIT).unwrap_or_default();
    let listening: Vec<Listening<'_>> = listed_sockets(&listed).take(MAX_SOCKETS).collect();
    paths.extend(listening.iter().map(|socket| socket.path.to_owned()));
    let resolved: BTreeSet<PathBuf> = paths.iter().map(|path| looker.resolve(path)).collect();
    let servers = Servers::look(looker.host());
    let serving = |path: &Path| {
        let own = listening
            .iter()
            .filter(|socket| looker.resolve(socket.path) == path);
        own.flat_map(|socket| servers.of(socket, &listening)).collect()
    };
    let socket = |path: PathBuf| {
        let metadata = std::fs::symlink_metadata(looker.host().path(&path)).ok()?;
        metadata.file_type().is_socket().then(|| EngineSocket {
            key: DevIno::of(&metadata),
            served_by: serving(&path),
            path,
            owner_uid: metadata.uid(),
        })
    };
    resolved.into_iter().filter_map(socket).collect()
}

/// Who can write to an engine's socket.
pub(in crate::exposure) fn sockets(looker: &Looker, sockets: &[EngineSocket]) -> Vec<Open> {
    let mut found = Vec::new();
    for EngineSocket { path, .. } in sockets {
        let way = looker.walk(&looker.host().path(path), Wanted::Write);
        let Some(socket) = way.components.last() else {
            continue;
        };
        let remedy = Some(format!("chmod 660 {}", shell_quoted(path)));
        found.extend(readers_of(&way).readers.into_iter().map(|reader| Open {
            bypass: bypass(reader, Means::Socket, path, socket.uid == 0),
            gate: Some(socket.gate()),
            remedy: remedy.clone(),
            owner_uid: socket.uid,
        }));
    }
    found
}

/// The sockets that are listened at and called as engines call theirs; `Num: RefCount Protocol Flags Type St Inode Path` per
/// line (`proc_pid_net_unix(5)`).
fn listed_sockets(listed: &[u8]) -> impl Iterator<Item = Listening<'_>> {
    let names: BTreeSet<&std::ffi::OsStr> = SOCKETS
        .iter()
        .filter_map(|path| Path::new(path).file_name())
        .collect();
    listed.split(|byte| *byte == b'\n').filter_map(move |line| {
        use std::os::unix::ffi::OsStrExt;
        let at = line.windows(2).position(|two| two == b" /")?;
        let path = Path::new(std::ffi::OsStr::from_bytes(line.get(at + 1..)?));
        let words = line.get(..at)?.split(u8::is_ascii_whitespace);
        let mut words = words.filter(|word| !word.is_empty());
        let flags = u32::from_str_radix(std::str::from_utf8(words.nth(3)?).ok()?, 16).ok()?;
        let number = std::str::from_utf8(words.nth(2)?).ok()?.parse().ok()?;
        let is_engines = flags & LISTENS != 0 && names.contains(path.file_name()?);
        is_engines.then_some(Listening { number, path })
    })
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
            0000000000000000: 00000003 00000000 00000000 0001 03 24 /srv/connected/docker.sock\n\
            0000: 1 /docker.sock\n\
            0000000000000000: 00000002 00000000 00010000 0001 01 x /srv/e/docker.sock\n\
            0000000000000000: 00000002 00000000 00010000 0001 01 23 /run/dbus/socket\n";
        let found: Vec<Listening<'_>> = listed_sockets(listed).collect();
        let expected = Listening {
            number: 20,
            path: Path::new("/srv/d/docker.sock"),
        };
        assert_eq!(found, [expected]);
    }
}
