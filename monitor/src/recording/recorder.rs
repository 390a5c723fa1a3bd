//! Writes a recording.
//!
//! Invariant: never in the way of the event plane: what cannot be written, or is beyond the size limit, is counted and
//! the end mark says so. After the first line that is missing no further one is written, for a replay with a hole would
//! tell another story. The file is new and 0600. Used by the event plane.

use std::fs::OpenOptions;
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;

use super::format::{Header, Line};
use crate::enrich::Facts;
use crate::knowledge::Knowledge;
use crate::model::{Access, ProcessKey};

/// Why a recording could not be begun or ended.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The file could not be created; it must not exist yet.
    #[error("create recording {}", path.display())]
    Create {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The header could not be written.
    #[error("write the recording's header")]
    Header(#[source] std::io::Error),
    /// The end mark could not be written.
    #[error("write the recording's end")]
    End(#[source] std::io::Error),
}

/// What became of the lines.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RecorderCounts {
    /// Lines written, the header included.
    pub written: u64,
    /// Lines that could not be written.
    pub failed: u64,
    /// Lines that came after the size limit was reached or after a failure.
    pub beyond: u64,
}

/// See the module.
pub struct Recorder {
    out: Box<dyn Write + Send>,
    left_bytes: u64,
    counts: RecorderCounts,
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorder")
            .field("counts", &self.counts)
            .finish_non_exhaustive()
    }
}

impl Recorder {
    /// Begins a recording in a new file of at most about `limit_bytes`.
    pub fn create(path: &Path, header: Header, limit_bytes: u64) -> Result<Self, RecordError> {
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path);
        let file = file.map_err(|source| RecordError::Create {
            path: path.to_owned(),
            source,
        })?;
        Self::begin(Box::new(BufWriter::new(file)), header, limit_bytes)
    }

    /// Begins a recording into anything.
    pub fn begin(
        mut out: Box<dyn Write + Send>,
        header: Header,
        limit_bytes: u64,
    ) -> Result<Self, RecordError> {
        let written = write_line(&mut out, &Line::Header(Box::new(header)), limit_bytes);
        let length = written.map_err(RecordError::Header)?;
        Ok(Self {
            out,
            left_bytes: limit_bytes.saturating_sub(length),
            counts: RecorderCounts {
                written: 1,
                ..RecorderCounts::default()
            },
        })
    }

    /// What became of the lines so far.
    pub fn counts(&self) -> RecorderCounts {
        self.counts
    }

    /// Writes the end mark and all that is still in memory.
    pub fn finish(&mut self) -> Result<RecorderCounts, RecordError> {
        let end = Line::End {
            missing: self.counts.failed + self.counts.beyond,
        };
        write_line(&mut self.out, &end, u64::MAX).map_err(RecordError::End)?;
        self.out.flush().map_err(RecordError::End)?;
        Ok(self.counts)
    }

    pub(crate) fn knowledge(&mut self, knowledge: &Arc<Knowledge>, now: Timestamp) {
        self.line(&Line::Knowledge {
            now,
            knowledge: Arc::clone(knowledge),
        });
    }

    pub(crate) fn frame(&mut self, frame: &[u8], now: Timestamp, facts: Option<&Facts>) {
        self.line(&Line::Frame {
            now,
            bytes: STANDARD.encode(frame),
            facts: facts.cloned().map(Box::new),
        });
    }

    pub(crate) fn open_file(&mut self, access: &Access, now: Timestamp, facts: &Facts) {
        self.line(&Line::OpenFile {
            now,
            access: Box::new(access.clone()),
            facts: Box::new(facts.clone()),
        });
    }

    pub(crate) fn began(&mut self, parent: ProcessKey, child: ProcessKey) {
        self.line(&Line::Began { parent, child });
    }

    pub(crate) fn ended(&mut self, process: ProcessKey) {
        self.line(&Line::Ended { process });
    }

    pub(crate) fn tick(&mut self, now: Timestamp) {
        self.line(&Line::Tick { now });
    }

    fn line(&mut self, line: &Line) {
        if self.counts.failed + self.counts.beyond > 0 {
            self.counts.beyond += 1;
            return;
        }
        match write_line(&mut self.out, line, self.left_bytes) {
            Ok(0) => self.counts.beyond += 1,
            Ok(length) => {
                self.left_bytes -= length;
                self.counts.written += 1;
            }
            Err(error) => {
                tracing::warn!(%error, "recording stopped");
                self.counts.failed += 1;
            }
        }
    }
}

/// Writes one line, or nothing if it is longer than `most`; gives back the bytes written.
fn write_line(out: &mut dyn Write, line: &Line, most: u64) -> std::io::Result<u64> {
    let mut bytes = serde_json::to_vec(line)?;
    bytes.push(b'\n');
    let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    if length > most {
        return Ok(0);
    }
    out.write_all(&bytes)?;
    Ok(length)
}
