//! A second process, where a way takes two.
//!
//! Invariant: forked while there is one thread; the child ends by `_exit`, so nothing of the parent runs twice.

use std::fs::File;
use std::io::{Read as _, Write as _};

use anyhow::{Context as _, Result, bail};
use rustix::process::Signal;

use crate::{ABSENT, Absent};

/// A forked child and what it will have read.
pub(crate) struct Child {
    id: i32,
    output: File,
}

/// Tells why on stderr; the exit status for it.
pub(crate) fn say(error: &anyhow::Error) -> u8 {
    let absent = error.chain().find_map(|cause| cause.downcast_ref::<Absent>());
    let missing = error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
        .any(|cause| cause.raw_os_error() == Some(libc::ENOSYS));
    let text = match absent {
        Some(absent) => absent.to_string(),
        None if missing => format!("{error:#}"),
        None => format!("failed: {error:#}"),
    };
    // Where nobody listens there is nobody to tell.
    writeln!(std::io::stderr(), "{text}").unwrap_or_default();
    if absent.is_some() || missing { ABSENT } else { 1 }
}

/// Starts `work` in a child; what it writes is what it read.
fn fork(work: impl FnOnce(File) -> Result<()>) -> Result<Child> {
    let (reader, writer) = rustix::pipe::pipe().context("make a pipe")?;
    // SAFETY: this process has one thread, so the child may do all that its parent may.
    let id = unsafe { libc::fork() };
    if id < 0 {
        return Err(std::io::Error::last_os_error()).context("fork");
    }
    if id == 0 {
        drop(reader);
        let status = work(writer.into()).map_or_else(|error| i32::from(say(&error)), |()| 0);
        // SAFETY: ends this process at once, which is what is wanted.
        unsafe { libc::_exit(status) };
    }
    Ok(Child {
        id,
        output: File::from(reader),
    })
}

/// Starts `work` in a child.
pub(crate) fn start(work: impl FnOnce() -> Result<Vec<u8>>) -> Result<Child> {
    fork(|mut output| Ok(output.write_all(&work()?)?))
}

/// Starts a child that does `prepare` and then stays until this process ends; its id, once it is prepared.
pub(crate) fn hold(prepare: impl FnOnce() -> Result<()>) -> Result<i32> {
    const READY: &[u8] = b"ready";
    let mut child = fork(|mut output| {
        prepare()?;
        // Last, since a change of credentials takes it back.
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        output.write_all(READY)?;
        drop(output);
        loop {
            // SAFETY: waits for a signal.
            unsafe { libc::pause() };
        }
    })?;
    let mut said = Vec::new();
    child
        .output
        .read_to_end(&mut said)
        .context("wait for the child")?;
    anyhow::ensure!(said == READY, "the child ended early");
    Ok(child.id)
}

/// Runs `work` in a child to its end; what it read.
pub(crate) fn run(work: impl FnOnce() -> Result<Vec<u8>>) -> Result<Vec<u8>> {
    start(work)?.finish()
}

impl Child {
    /// Waits for its end; what it read.
    pub(crate) fn finish(mut self) -> Result<Vec<u8>> {
        let mut content = Vec::new();
        self.output
            .read_to_end(&mut content)
            .context("read what the child read")?;
        let mut status = 0;
        // SAFETY: a child of this process, and a place for its status.
        if unsafe { libc::waitpid(self.id, &raw mut status, 0) } < 0 {
            return Err(std::io::Error::last_os_error()).context("wait for the child");
        }
        if libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == i32::from(ABSENT) {
            bail!(Absent("see above".into()));
        }
        anyhow::ensure!(status == 0, "the child ended with {status:#x}");
        Ok(content)
    }
}
