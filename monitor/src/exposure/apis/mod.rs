//! Engines that serve their API on a TCP port to everybody who connects: each user of the host, at the least.
//!
//! Invariant: an engine is not asked. What counts is a socket that it holds and listens at, of a port that its command line
//! or configuration gives to the API; other ports (metrics, streams, published ones) open nothing. One that asks clients for
//! a certificate is shut. Bounded. Called by `processes`.

mod listening;
mod settings;

pub(in crate::exposure) use listening::descriptors;

use std::net::SocketAddr;
use std::path::Path;

use self::settings::Settings;

/// APIs that are told of.
pub(super) const MAX: usize = 64;

/// An API on a TCP port that is open to all.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Api {
    pub(super) program: &'static str,
    pub(super) address: SocketAddr,
    /// Whose rights it gives.
    pub(super) uid: u32,
}

/// What a process of this name serves; `process` is its directory in proc(5).
pub(super) fn of(process: &Path, name: &str, uid: u32) -> Vec<Api> {
    let Some(program) = settings::program(name) else {
        return Vec::new();
    };
    let settings = Settings::read(process, program);
    if settings.asks_for_certificates {
        return Vec::new();
    }
    let listening = listening::sockets(process);
    let open = listening.into_iter().filter(|socket| settings.names(socket));
    let apis = open.map(|socket| Api {
        program,
        address: socket.address,
        uid,
    });
    apis.collect()
}

#[cfg(test)]
mod tests;
