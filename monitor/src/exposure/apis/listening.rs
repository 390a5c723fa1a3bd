//! The TCP sockets that a process listens at: those of its descriptors that its network namespace lists as listening.
//!
//! Invariant: parsing is total, everything is bounded. Used by `apis`.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use crate::bounded;

const MAX_DESCRIPTORS: usize = 65_536;
/// The kernel's list on a host with very many connections.
const MAX_LIST: u64 = 32 << 20;
/// `TCP_LISTEN` of the kernel.
const LISTEN: &str = "0A";

/// A socket that is listened at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Listening {
    pub(super) address: SocketAddr,
    /// The lowest descriptor; absent where nobody may look at them, and then it may be any process's.
    pub(super) descriptor: Option<u32>,
}

pub(super) fn sockets(process: &Path) -> Vec<Listening> {
    let held = descriptors(process);
    let mut found = Vec::new();
    for list in ["net/tcp", "net/tcp6"] {
        let text = bounded::read(&process.join(list), MAX_LIST).unwrap_or_default();
        for (address, inode) in text.split(|byte| *byte == b'\n').filter_map(row) {
            let descriptor = held.as_ref().map(|held| held.get(&inode).copied());
            match descriptor {
                Some(None) => {}
                Some(descriptor) => found.push(Listening { address, descriptor }),
                None => found.push(Listening {
                    address,
                    descriptor: None,
                }),
            }
        }
    }
    found
}

/// The sockets among the descriptors, by inode.
pub(in crate::exposure) fn descriptors(process: &Path) -> Option<BTreeMap<u64, u32>> {
    let mut held = BTreeMap::new();
    for entry in std::fs::read_dir(process.join("fd"))
        .ok()?
        .take(MAX_DESCRIPTORS)
        .flatten()
    {
        let number = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<u32>().ok());
        let link = std::fs::read_link(entry.path()).unwrap_or_default();
        let inode = link.to_str().and_then(|link| {
            let inode = link.strip_prefix("socket:[")?.strip_suffix(']')?;
            inode.parse::<u64>().ok()
        });
        if let Some((inode, number)) = inode.zip(number) {
            let lowest = held.entry(inode).or_insert(number);
            *lowest = number.min(*lowest);
        }
    }
    Some(held)
}

/// Address and inode of a listening socket: `sl: local remote st tx:rx tr:when retrnsmt uid timeout inode …`
/// (`proc_pid_net_tcp(5)`).
pub(super) fn row(line: &[u8]) -> Option<(SocketAddr, u64)> {
    let line = std::str::from_utf8(line).ok()?;
    let words: Vec<&str> = line.split_ascii_whitespace().take(10).collect();
    let [_, local, _, state, .., inode] = words.as_slice() else {
        return None;
    };
    let is_whole = words.len() == 10;
    let inode = inode.parse().ok().filter(|_| is_whole && *state == LISTEN)?;
    Some((address(local)?, inode))
}

/// Hexadecimal words as they lie in memory, and a port.
fn address(text: &str) -> Option<SocketAddr> {
    let (host, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| {
        let word = host.get(at * 8..at * 8 + 8)?;
        u32::from_str_radix(word, 16).ok().map(u32::to_ne_bytes)
    };
    let host = match host.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let words = [word(0)?, word(1)?, word(2)?, word(3)?];
            let mut bytes = [0; 16];
            for (byte, from) in bytes.iter_mut().zip(words.as_flattened()) {
                *byte = *from;
            }
            IpAddr::V6(Ipv6Addr::from(bytes))
        }
        _ => return None,
    };
    Some(SocketAddr::new(host, port))
}
