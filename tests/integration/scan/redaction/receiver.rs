//! Takes what is sent to Alertmanager, and says yes.
//!
//! Invariant: listens on loopback on a free port; a sender that stops in the middle costs its own connection only. Ends with
//! the test's process.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use layerwatch_tests::wait_until;

const LIMIT: Duration = Duration::from_secs(10);
const DEADLINE: Duration = Duration::from_mins(2);

/// See the module.
pub(super) struct Receiver {
    port: u16,
    received: Arc<Mutex<Vec<u8>>>,
}

impl Receiver {
    pub(super) fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        let received = Arc::new(Mutex::new(Vec::new()));
        let keeps = Arc::clone(&received);
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                if let Ok(body) = take(&connection) {
                    keeps.lock().unwrap_or_else(PoisonError::into_inner).extend(body);
                }
            }
        });
        Ok(Self { port, received })
    }

    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// All that came, once that text is in it.
    pub(super) fn wait_for(&self, text: &str) -> Result<Vec<u8>> {
        wait_until(&format!("{text} is sent"), DEADLINE, || {
            let received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
            String::from_utf8_lossy(&received)
                .contains(text)
                .then(|| received.clone())
        })
    }
}

/// One request's body.
fn take(mut connection: &TcpStream) -> Result<Vec<u8>> {
    connection.set_read_timeout(Some(LIMIT))?;
    let mut reader = BufReader::new(connection);
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let line = line.trim().to_ascii_lowercase();
        if let Some(told) = line.strip_prefix("content-length:") {
            length = told.trim().parse().context("a length")?;
        }
        if line.is_empty() {
            break;
        }
    }
    let mut body = Vec::new();
    reader.take(length).read_to_end(&mut body)?;
    connection.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")?;
    Ok(body)
}
