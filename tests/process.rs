//! Programs that tests run: to their end, or as servers that end with the test.
//!
//! Invariant: a server's output goes to a file that a failing test can show, and the server is gone when its `Process`
//! is dropped: asked first, then killed, always by its own id.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::wait_until;

/// How long a server may take to end after it was asked.
const FAREWELL: Duration = Duration::from_secs(10);

/// A running server.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts the program with its output in `log`.
    pub fn start(command: &mut Command, log: &Path) -> Result<Self> {
        Self::start_with(command, Stdio::null(), log)
    }

    /// The same with a standard input.
    pub fn start_with(command: &mut Command, input: Stdio, log: &Path) -> Result<Self> {
        let out = File::create(log).with_context(|| format!("create {}", log.display()))?;
        let child = command
            .stdin(input)
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()
            .with_context(|| format!("start {}", command.get_program().display()))?;
        Ok(Self {
            child,
            log: log.to_owned(),
        })
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it wrote so far.
    pub fn log(&self) -> String {
        text_of(&self.log)
    }

    /// Waits until `look` gives something; fails at once, with the log, if the program ends before.
    pub fn wait_until<T>(
        &mut self,
        what: &str,
        deadline: Duration,
        mut look: impl FnMut() -> Option<T>,
    ) -> Result<T> {
        let found = wait_until(what, deadline, || match self.child.try_wait() {
            Ok(None) => look().map(Ok),
            Ok(Some(status)) => Some(Err(status)),
            Err(_) => None,
        });
        match found {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(status)) => bail!("{what}: the program ended with {status}\n{}", self.log()),
            Err(error) => Err(error.context(self.log())),
        }
    }

    /// Waits until it has ended by itself.
    pub fn ended(&mut self) -> Result<()> {
        wait_until("end of a program", FAREWELL, || {
            self.child.try_wait().ok().flatten().map(|_| ())
        })
        .with_context(|| self.log())
    }

    /// Asks it to end (SIGTERM) and waits; kills it if it does not.
    pub fn stop(&mut self) -> Result<()> {
        if self.child.try_wait()?.is_some() {
            return Ok(());
        }
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            kill_process(pid, Signal::TERM).context("ask a program to end")?;
        }
        let ended = wait_until("end of a program", FAREWELL, || {
            self.child.try_wait().ok().flatten()
        });
        if ended.is_err() {
            self.child.kill()?;
            self.child.wait()?;
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.stop().is_err() {
            // Nothing more can be done for a process that can neither be asked nor waited for.
            drop(self.child.kill());
        }
    }
}

/// What a file holds so far, as text; nothing if it cannot be read.
pub fn text_of(file: &Path) -> String {
    let mut text = Vec::new();
    if let Ok(mut file) = File::open(file) {
        // A log that cannot be read is shown as far as it can.
        drop(std::io::Read::read_to_end(&mut file, &mut text));
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// Runs a program to its end.
pub fn output(command: &mut Command) -> Result<Output> {
    command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("run {}", command.get_program().display()))
}

/// Runs a program that must succeed; its standard output and error together.
pub fn run(command: &mut Command) -> Result<String> {
    let output = output(command)?;
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    if !output.status.success() {
        bail!(
            "{} ended with {}:\n{text}",
            command.get_program().display(),
            output.status
        );
    }
    Ok(text)
}
