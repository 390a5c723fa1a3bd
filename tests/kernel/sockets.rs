//! Connections to a watched socket: by each way one record with the user who connects, and none for other sockets.

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};
use layerwatch_ebpf::{hooks, kinds, watch_flags};
use layerwatch_tests::{output, program};

use crate::fixture::{Layer, USER, key, wire};

/// Listens where every user may connect.
fn listen(path: &Path) -> Result<UnixListener> {
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666))?;
    Ok(listener)
}

/// Connects by a way to another socket and to the watched one, and compares the records.
fn check(layer: &mut Layer, way: &str) -> Result<()> {
    layer.records()?;
    let reader = program("layerwatch-reader")?;
    for socket in ["other.sock", "engine.sock"] {
        let done = output(
            Command::new(&reader)
                .args(["connect", way])
                .arg(layer.path(socket)),
        )?;
        ensure!(
            done.status.success(),
            "{way}: {}",
            String::from_utf8_lossy(&done.stderr)
        );
    }
    let engine = wire(key(&layer.path("engine.sock"))?);
    let records = layer.records()?;
    let seen: Vec<_> = records
        .iter()
        .map(|one| (one.kind, one.hook, one.real.uid, one.result, one.file == engine))
        .collect();
    let expected = vec![(kinds::CONNECT, hooks::CONNECT, USER, 0, true)];
    assert_eq!(seen, expected, "{way} on tier {}", layer.tier);
    Ok(())
}

#[test]
fn a_connection_to_an_engines_socket_is_seen_with_its_user() -> Result<()> {
    let mut sockets = Vec::new();
    let mut layer = Layer::with(|directory, set| {
        for name in ["engine.sock", "other.sock"] {
            sockets.push(listen(&directory.join(name))?);
        }
        let abstract_one = SocketAddr::from_abstract_name(directory.as_os_str().as_encoded_bytes())?;
        sockets.push(UnixListener::bind_addr(&abstract_one)?);
        set.sockets
            .insert(key(&directory.join("engine.sock"))?, watch_flags::SOCKET);
        Ok(())
    })?;
    ["connect", "connect-32-bit", "socketcall-32-bit", "io_uring"]
        .into_iter()
        .try_for_each(|way| check(&mut layer, way))
}
