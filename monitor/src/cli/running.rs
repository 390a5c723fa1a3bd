//! What a running agent says of itself, asked for over its own web page: for `doctor`.
//!
//! Invariant: bounded in time and bytes; that nothing answers says only that no agent's page is there.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(2);
const LIMIT: u64 = 1 << 20;

/// How many inodes the agent at one of these addresses is to watch and does not; nothing where no agent answers.
pub(super) fn unwatched(addresses: &[SocketAddr]) -> Option<u64> {
    let mut pages = addresses.iter().filter_map(|address| page(*address).ok());
    pages.find_map(|page| gauge(&page, "layerwatch_unwatched_inodes"))
}

fn page(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(LIMIT).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn gauge(page: &str, name: &str) -> Option<u64> {
    let value = |line: &str| {
        line.strip_prefix(name)?
            .strip_prefix(' ')?
            .trim_end()
            .parse()
            .ok()
    };
    page.lines().find_map(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gauge_is_the_line_of_its_whole_name() {
        for (page, expected) in [
            ("HTTP/1.1 200 OK\r\n\r\n# HELP a text\na_b 1\na 3\n", Some(3)),
            ("a 3\r\n", Some(3)),
            ("a_b 1\n", None),
            ("a{x=\"y\"} 1\n", None),
            ("a many\n", None),
            ("", None),
        ] {
            assert_eq!(gauge(page, "a"), expected, "{page:?}");
        }
    }
}
