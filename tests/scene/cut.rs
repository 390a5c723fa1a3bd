//! A registry whose answers end in the middle of a layer.
//!
//! Invariant: it listens on 127.0.0.1 alone and forwards what a real registry answers, until it has given so many bytes in
//! all; its threads end with the test's process. Used by the integration tests.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Result;

/// More than manifests and configurations, less than the layer.
const BYTES: usize = 5 << 19;
/// As a connection that stalls before it is lost: who looks every second sees what came of it.
const STALL: Duration = Duration::from_secs(2);

/// What comes after the bytes that are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The connection is lost, and each later one.
    Cut,
    /// The connection is lost; later ones are good.
    CutOnce,
    /// Nothing, on a connection that stays.
    Stall,
}

/// Listens before the registry at `port`; its own port.
pub fn cutting(port: u16, fault: Fault) -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let own = listener.local_addr()?.port();
    let left = Arc::new(AtomicUsize::new(BYTES));
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else {
                continue;
            };
            let (Ok(from), Ok(to)) = (client.try_clone(), server.try_clone()) else {
                continue;
            };
            let whole = Arc::new(AtomicUsize::new(usize::MAX));
            let left = Arc::clone(&left);
            std::thread::spawn(move || forward(from, to, &whole, fault));
            std::thread::spawn(move || forward(server, client, &left, fault));
        }
    });
    Ok(own)
}

fn forward(mut from: TcpStream, mut to: TcpStream, left: &AtomicUsize, fault: Fault) {
    let mut buffer = [0; 16 << 10];
    while let Ok(read) = from.read(&mut buffer) {
        let before = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
            Some(left.saturating_sub(read))
        });
        let before = before.unwrap_or_default();
        let part = buffer.get(..read.min(before)).unwrap_or_default();
        if read == 0 || to.write_all(part).is_err() {
            break;
        }
        if before <= read {
            match fault {
                Fault::Cut => std::thread::sleep(STALL),
                Fault::CutOnce => {
                    left.store(usize::MAX, Ordering::Relaxed);
                    std::thread::sleep(STALL);
                }
                Fault::Stall => std::thread::sleep(Duration::MAX),
            }
            break;
        }
    }
    // What waits for more is told that there is none.
    for stream in [from, to] {
        drop(stream.shutdown(Shutdown::Both));
    }
}
