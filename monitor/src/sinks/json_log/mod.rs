//! Records as JSON lines on standard output or in a file.
//!
//! Invariant: a line is written whole or again: after a failed or partial write the rest follows as soon as the
//! destination takes it, and a file that ends in the middle of a line gets a line end first. The file is 0600. The
//! worker is a thread, because a write to a full pipe or a dead disk may block for ever. Started by `Sinks`.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::{Inlet, Outlet, QUEUE};
use crate::config::{LogSink, LogTarget};
use crate::model::{Record, RecordKind};
use crate::telemetry::happenings::{RecordsLost, SinkFailed};
use crate::telemetry::{Metrics, SinkName};

/// How long to wait after a failed write.
const PAUSE: Duration = Duration::from_secs(1);

/// Why the log could not be opened or written.
#[derive(Debug, thiserror::Error)]
pub enum JsonLogError {
    /// Standard output could not be duplicated.
    #[error("duplicate standard output")]
    Stdout(#[source] std::io::Error),
    /// The file could not be opened for appending.
    #[error("open log {}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The thread could not be started.
    #[error("start the log's thread")]
    Thread(#[source] std::io::Error),
    /// A line could not be written.
    #[error("write to the log")]
    Write(#[source] std::io::Error),
    /// A record could not be made into JSON.
    #[error("encode a record as JSON")]
    Encode(#[source] serde_json::Error),
}

/// The sink before it is started.
#[derive(Debug)]
pub struct JsonLog(pub LogSink);

/// Asks the running log to open its file anew.
#[derive(Clone, Debug)]
pub(super) struct Reopen(Arc<AtomicBool>);

impl Reopen {
    pub(super) fn request(&self) {
        self.0.store(true, Ordering::Release);
    }
}

impl JsonLog {
    pub(super) fn start(self, metrics: Arc<Metrics>) -> Result<(Outlet, Reopen), JsonLogError> {
        let wants: fn(&RecordKind) -> bool = if self.0.verbose {
            |_| true
        } else {
            |record| !matches!(record, RecordKind::Access(_))
        };
        let (outlet, inlet) = Outlet::new(SinkName::JsonLog, wants, QUEUE);
        let reopen = Reopen(Arc::new(AtomicBool::new(false)));
        let target = self.0.target;
        let mut log = Log {
            // Opened now, so that a wrong path is an error at start and not a surprise at the first alert.
            out: Some(open(&target)?),
            open: move || open(&target),
            reopen: reopen.clone(),
        };
        std::thread::Builder::new()
            .name("json-log".to_owned())
            .spawn(move || work(&mut log, inlet, &metrics))
            .map_err(JsonLogError::Thread)?;
        Ok((outlet, reopen))
    }
}

fn work<O: FnMut() -> Result<File, JsonLogError>>(
    log: &mut Log<File, O>,
    mut inlet: Inlet,
    metrics: &Metrics,
) {
    while let Some(record) = inlet.receiver.blocking_recv() {
        let pause = |error: &JsonLogError| {
            SinkFailed {
                sink: SinkName::JsonLog,
                error,
            }
            .report(metrics);
            let stopping = inlet.stopping.load(Ordering::Acquire);
            if !stopping {
                std::thread::sleep(PAUSE);
            }
            !stopping
        };
        match encode(&record).map(|line| log.deliver(&line, pause)) {
            Ok(true) => metrics.sink_delivered(SinkName::JsonLog, 1),
            Ok(false) => lost(metrics, "not written before the end"),
            Err(error) => {
                SinkFailed {
                    sink: SinkName::JsonLog,
                    error: &error,
                }
                .report(metrics);
                lost(metrics, "not encodable");
            }
        }
        inlet.settled.fetch_add(1, Ordering::Release);
    }
    drop(inlet.done);
}

fn lost(metrics: &Metrics, reason: &'static str) {
    let (sink, count) = (SinkName::JsonLog, 1);
    RecordsLost { sink, count, reason }.report(metrics);
}

fn encode(record: &Record) -> Result<Vec<u8>, JsonLogError> {
    let mut line = serde_json::to_vec(record).map_err(JsonLogError::Encode)?;
    line.push(b'\n');
    Ok(line)
}

/// The destination, as far as it is open.
struct Log<W, O> {
    out: Option<W>,
    open: O,
    reopen: Reopen,
}

impl<W: Write, O: FnMut() -> Result<W, JsonLogError>> Log<W, O> {
    /// Writes the line until it is whole, or until `pause`, called after each failure, says to give up.
    fn deliver(&mut self, line: &[u8], mut pause: impl FnMut(&JsonLogError) -> bool) -> bool {
        let mut rest = line;
        while !rest.is_empty() {
            let failure = match self.write_some(rest, line) {
                Ok(after) => {
                    rest = after;
                    continue;
                }
                Err(error) => error,
            };
            if !pause(&failure) {
                return false;
            }
        }
        true
    }

    /// Writes a part of `rest`; what is left to write then. A new file gets the line from its beginning.
    fn write_some<'a>(&mut self, rest: &'a [u8], line: &'a [u8]) -> Result<&'a [u8], JsonLogError> {
        if self.reopen.0.swap(false, Ordering::AcqRel) {
            self.out = None;
        }
        let (out, rest) = match &mut self.out {
            Some(out) => (out, rest),
            closed => (closed.insert((self.open)()?), line),
        };
        match out.write(rest) {
            Ok(0) => Err(JsonLogError::Write(ErrorKind::WriteZero.into())),
            Ok(count) => Ok(rest.get(count..).unwrap_or_default()),
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(rest),
            Err(error) => Err(JsonLogError::Write(error)),
        }
    }
}

fn open(target: &LogTarget) -> Result<File, JsonLogError> {
    match target {
        // A descriptor of its own: std's standard output buffers, so a failed write would not say what was written.
        LogTarget::Stdout => std::io::stdout()
            .as_fd()
            .try_clone_to_owned()
            .map(File::from)
            .map_err(JsonLogError::Stdout),
        LogTarget::File(path) => open_file(path).map_err(|source| JsonLogError::Open {
            path: path.clone(),
            source,
        }),
    }
}

fn open_file(path: &std::path::Path) -> std::io::Result<File> {
    let no_follow = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or(0);
    let mut file = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o600)
        .custom_flags(no_follow)
        .open(path)?;
    if file.metadata()?.is_file() {
        file.set_permissions(Permissions::from_mode(0o600))?;
        end_torn_line(&mut file)?;
    }
    Ok(file)
}

/// A line that a crash or a full disk cut is ended, so that the next one can be read.
fn end_torn_line(file: &mut File) -> std::io::Result<()> {
    if file.metadata()?.len() == 0 {
        return Ok(());
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    if last != *b"\n" {
        file.write_all(b"\n")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
