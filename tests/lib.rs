//! What the integration and kernel test binaries share: processes that end with the test, waiting with a deadline, free
//! ports, a small HTTP client, and skips that are recorded.
//!
//! Invariant: nothing here sleeps for a fixed time and hopes, nothing listens beyond 127.0.0.1, and no process is ended
//! but by its own id.

pub mod cost;
mod http;
pub mod monitoring;
mod process;
pub mod scene;
pub mod written;

use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

pub use http::{Answer, get, request};
pub use process::{Process, output, run, text_of};

/// How long to wait between two looks.
const LOOK: Duration = Duration::from_millis(20);

/// Looks again and again until `look` gives something; an error that says `what` was waited for after `deadline`.
pub fn wait_until<T>(what: &str, deadline: Duration, mut look: impl FnMut() -> Option<T>) -> Result<T> {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return Ok(found);
        }
        if start.elapsed() > deadline {
            bail!("{what}: not within {} s", deadline.as_secs());
        }
        std::thread::sleep(LOOK);
    }
}

/// A port of 127.0.0.1 that is free and that no other test process is given: each has a range of its own by its id, so
/// that two servers which start at the same time never meet on one port.
pub fn free_port() -> Result<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    /// Below the range that the system gives out itself (32768, ip(7)).
    const FIRST: u16 = 10_000;
    const RANGE: u16 = 16;
    const RANGES: u32 = 1400;
    let range = u16::try_from(std::process::id() % RANGES)? * RANGE + FIRST;
    for _ in 0..RANGE {
        let port = range + NEXT.fetch_add(1, Ordering::Relaxed) % RANGE;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no port from {range} to {} is free", range + RANGE)
}

/// The project's root directory.
pub fn root() -> &'static Path {
    // The manifest stands one level below it.
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap_or(Path::new("/"))
}

/// Where `program` is on the search path.
pub fn tool(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|directory| directory.join(program))
        .find(|file| file.is_file())
}

/// A program of this workspace: beside or above the running test binary.
pub fn program(name: &str) -> Result<PathBuf> {
    let test = std::env::current_exe()?;
    let mut places = test.ancestors().skip(1).map(|directory| directory.join(name));
    places
        .find(|path| path.is_file())
        .with_context(|| format!("{name} is not built: `cargo xtask build`"))
}

/// Records that `test` was not run, and why; the runner (`LAYERWATCH_SKIPS` names its file) compares what was recorded
/// with the reviewed list and fails on anything else. Without that file the skip is an error: nobody would look.
pub fn skip(test: &str, reason: &str) -> Result<()> {
    let Some(file) = std::env::var_os("LAYERWATCH_SKIPS") else {
        bail!("{test} cannot run ({reason}) and no list of skips is kept");
    };
    let mut list = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(&file)
        .with_context(|| format!("record a skip in {}", Path::new(&file).display()))?;
    // One write, so that lines of tests that run at the same time stay whole.
    list.write_all(format!("{test}\t{reason}\n").as_bytes())?;
    Ok(())
}
