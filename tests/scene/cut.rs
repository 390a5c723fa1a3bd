//! A registry whose connections end in the middle of a layer.
//!
//! Invariant: it listens on 127.0.0.1 alone, forwards what a real registry answers, and lets a connection go after so many
//! bytes of it; its threads end with the test's process. Used by the integration tests.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};

use anyhow::Result;

/// More than a manifest and a configuration, less than the layer.
const BYTES: usize = 300 << 10;

/// Listens before the registry at `port`; its own port.
pub fn cutting(port: u16) -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let own = listener.local_addr()?.port();
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else {
                continue;
            };
            let (Ok(from), Ok(to)) = (client.try_clone(), server.try_clone()) else {
                continue;
            };
            std::thread::spawn(move || forward(from, to, usize::MAX));
            std::thread::spawn(move || forward(server, client, BYTES));
        }
    });
    Ok(own)
}

fn forward(mut from: TcpStream, mut to: TcpStream, mut left: usize) {
    let mut buffer = [0; 16 << 10];
    while left > 0 {
        let Ok(read) = from.read(&mut buffer) else { break };
        let read = read.min(left);
        let part = buffer.get(..read).unwrap_or_default();
        if read == 0 || to.write_all(part).is_err() {
            break;
        }
        left -= read;
    }
    // What waits for more is told that there is none.
    for stream in [from, to] {
        drop(stream.shutdown(Shutdown::Both));
    }
}
