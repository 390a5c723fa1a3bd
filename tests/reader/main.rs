//! The reader: one process that gets at one file in one of the ways that the coverage table names, and prints what it read.
//!
//! Called by `tests/kernel/coverage` as root with the way, the layer's directory, the file, and a directory of its own to
//! work in; by `tests/kernel/sockets` with `connect`, a way and a socket. It gives its rights up itself, at the point that the way is about, and reads as [`user::READER`]. Exit status:
//! 0 done, 77 this kernel has no such way (the reason is on stderr), 1 it should have worked and did not.
#![expect(
    unsafe_code,
    reason = "the ways are system calls, some of which no crate offers: fork, int 0x80, io_uring, aio, file handles"
)]

mod calls;
mod child;
mod descriptors;
mod mounts;
mod names;
mod noise;
mod opens;
mod reads;
mod ring;
mod sockets;
mod uring;
mod user;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};

/// Exit status of a way that this kernel does not have.
const ABSENT: u8 = 77;

/// Where a way is gone.
pub(crate) struct Place {
    /// The layer's directory.
    pub(crate) layer: PathBuf,
    /// The file in it.
    pub(crate) file: PathBuf,
    /// An empty directory of the user's, on the layer's file system.
    pub(crate) spare: PathBuf,
}

type Way = fn(&Place) -> Result<Vec<u8>>;

/// Why there is no such way here.
#[derive(Debug)]
pub(crate) struct Absent(pub(crate) String);

impl std::fmt::Display for Absent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Absent {}

/// The error, or that there is no such way where it is one of these numbers.
pub(crate) fn absent_for(error: impl Into<anyhow::Error>, numbers: &[i32], what: &str) -> anyhow::Error {
    let error = error.into();
    let number = error
        .chain()
        .find_map(|cause| cause.downcast_ref::<std::io::Error>()?.raw_os_error());
    if number.is_some_and(|number| numbers.contains(&number)) {
        return Absent(what.to_owned()).into();
    }
    error.context(what.to_owned())
}

fn ways() -> impl Iterator<Item = (&'static str, Way)> {
    let groups: [&[(&'static str, Way)]; 8] = [
        &reads::WAYS,
        &uring::WAYS,
        &opens::WAYS,
        &names::WAYS,
        &mounts::WAYS,
        &user::WAYS,
        &descriptors::WAYS,
        &noise::WAYS,
    ];
    groups.into_iter().flatten().copied()
}

fn main() -> ExitCode {
    match act() {
        Ok(content) if std::io::stdout().write_all(&content).is_ok() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => ExitCode::from(child::say(&error)),
    }
}

fn act() -> Result<Vec<u8>> {
    let mut arguments = std::env::args_os().skip(1);
    let name = arguments.next().context("which way?")?;
    let name = name.to_str().context("a way's name is text")?;
    match name {
        "list" => {
            return Ok(ways()
                .flat_map(|(name, _)| [name, "\n"])
                .collect::<String>()
                .into_bytes());
        }
        descriptors::EXECUTED => {
            return descriptors::executed(&arguments.next().context("which descriptor?")?);
        }
        "connect" => {
            let way = arguments.next().context("which way to connect?")?;
            let socket = arguments.next().context("no socket")?;
            let known = sockets::WAYS.iter().find(|(known, _)| way == **known);
            let (_, connect) = known.with_context(|| format!("{} is no way to connect", way.display()))?;
            return connect(&PathBuf::from(socket)).map(|()| Vec::new());
        }
        _ => {}
    }
    let (_, way) = ways()
        .find(|(known, _)| *known == name)
        .with_context(|| format!("{name} is no way"))?;
    let mut path = |what| {
        arguments
            .next()
            .map(PathBuf::from)
            .with_context(|| format!("no {what}"))
    };
    way(&Place {
        layer: path("layer")?,
        file: path("file")?,
        spare: path("spare directory")?,
    })
}
