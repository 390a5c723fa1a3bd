//! Reads a recording and lets it travel through the event plane again.
//!
//! Invariant: bounded and total: what is good is yielded, then a line that is cut, damaged or missing is one error that
//! names it, and nothing follows. Needs no privileges: the facts about processes are in the recording. Used by
//! `layerwatch replay`.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::counts::StageCounts;
use crate::enrich::Actors;
use crate::model::text::printable;
use crate::model::{Access, Actor, Process, ProcessEvent, Record};
use crate::plane::EventPlane;
use crate::recording::{FORMAT_VERSION, Header, Line};

/// The longest line: a snapshot of a host with some hundred thousand findings.
const LINE_LIMIT: u64 = 256 << 20;

/// Why a replay ended early.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The file could not be opened.
    #[error("open recording {}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A line could not be read.
    #[error("read line {line} of the recording")]
    Read {
        /// Its number, from 1.
        line: u64,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A line is longer than any recorder writes.
    #[error("line {line} of the recording is longer than {LINE_LIMIT} bytes")]
    TooLong {
        /// Its number, from 1.
        line: u64,
    },
    /// The file ends before its end mark.
    #[error("the recording is cut: it ends at line {line} without an end mark")]
    Cut {
        /// The last line, which may be incomplete.
        line: u64,
    },
    /// A line is no line of a recording.
    #[error("line {line} of the recording is damaged")]
    Damaged {
        /// Its number, from 1.
        line: u64,
        /// Where it stops making sense.
        #[source]
        source: serde_json::Error,
    },
    /// A frame is not base64.
    #[error("the frame on line {line} of the recording is damaged")]
    Frame {
        /// The line's number, from 1.
        line: u64,
        /// Where it stops making sense.
        #[source]
        source: base64::DecodeError,
    },
    /// The first line is no header, or a later one is.
    #[error("line {line} of the recording stands in the wrong place")]
    Misplaced {
        /// Its number, from 1.
        line: u64,
    },
    /// Another version wrote it.
    #[error(
        "the recording has format {format} and wire version {wire}, this agent reads {FORMAT_VERSION} and {}",
        layerwatch_ebpf::WIRE_VERSION
    )]
    Version {
        /// Its format.
        format: u32,
        /// Its wire version.
        wire: u16,
    },
    /// The recorder had to leave lines out.
    #[error("the recording is incomplete: {missing} lines after line {line} were not recorded")]
    Missing {
        /// The last line before the end mark.
        line: u64,
        /// How many.
        missing: u64,
    },
}

/// The lines of output that a recording gives.
#[derive(Debug)]
pub struct Replay<R> {
    lines: R,
    number: u64,
    plane: EventPlane,
    ready: VecDeque<Record>,
    over: bool,
}

/// Opens a recording and reads its header.
pub fn replay(path: &Path) -> Result<Replay<BufReader<File>>, ReplayError> {
    let file = File::open(path).map_err(|source| ReplayError::Open {
        path: path.to_owned(),
        source,
    })?;
    Replay::new(BufReader::new(file))
}

impl<R: BufRead> Replay<R> {
    /// Reads the header of a recording.
    pub fn new(mut lines: R) -> Result<Self, ReplayError> {
        let header = match read_line(&mut lines, 1)? {
            Line::Header(header) => *header,
            Line::Knowledge { .. }
            | Line::Frame { .. }
            | Line::OpenFile { .. }
            | Line::Began { .. }
            | Line::Ended { .. }
            | Line::Tick { .. }
            | Line::End { .. } => {
                return Err(ReplayError::Misplaced { line: 1 });
            }
        };
        let Header {
            format,
            wire,
            boot,
            settings,
            ..
        } = header;
        if (format, wire) != (FORMAT_VERSION, layerwatch_ebpf::WIRE_VERSION) {
            return Err(ReplayError::Version { format, wire });
        }
        Ok(Self {
            lines,
            number: 1,
            plane: EventPlane::new(settings, boot, Box::new(Nobody)),
            ready: VecDeque::new(),
            over: false,
        })
    }

    /// The plane's books so far.
    pub fn counts(&self) -> &StageCounts {
        self.plane.counts()
    }

    /// Takes the next line; false after the last.
    fn step(&mut self) -> Result<bool, ReplayError> {
        let line = self.number + 1;
        let records = match read_line(&mut self.lines, line)? {
            Line::Header(_) => return Err(ReplayError::Misplaced { line }),
            Line::Knowledge { now, knowledge } => self.plane.snapshot_changed(knowledge, now),
            Line::Frame { now, bytes, facts } => {
                let frame = STANDARD
                    .decode(bytes)
                    .map_err(|source| ReplayError::Frame { line, source })?;
                self.plane.handle_as(&frame, now, facts.map(|facts| *facts))
            }
            Line::OpenFile { now, access, facts } => self.plane.handle_open_file(*access, now, Some(*facts)),
            Line::Began { parent, child } => {
                self.plane.began(parent, child);
                Vec::new()
            }
            Line::Ended { process } => {
                self.plane.ended(process);
                Vec::new()
            }
            Line::Tick { now } => self.plane.tick(now),
            Line::End { missing: 0 } => return Ok(false),
            Line::End { missing } => {
                return Err(ReplayError::Missing {
                    line: self.number,
                    missing,
                });
            }
        };
        self.number = line;
        self.ready.extend(records);
        Ok(true)
    }
}

impl<R: BufRead> Iterator for Replay<R> {
    type Item = Result<Record, ReplayError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(record) = self.ready.pop_front() {
                return Some(Ok(record));
            }
            if self.over {
                return None;
            }
            match self.step() {
                Ok(more) => self.over = !more,
                Err(error) => {
                    self.over = true;
                    return Some(Err(error));
                }
            }
        }
    }
}

/// Reads one whole line.
fn read_line(lines: &mut impl BufRead, line: u64) -> Result<Line, ReplayError> {
    let mut bytes = Vec::new();
    let read = lines.by_ref().take(LINE_LIMIT).read_until(b'\n', &mut bytes);
    read.map_err(|source| ReplayError::Read { line, source })?;
    match bytes.strip_suffix(b"\n") {
        Some(whole) => serde_json::from_slice(whole).map_err(|source| ReplayError::Damaged { line, source }),
        None if u64::try_from(bytes.len()).unwrap_or(u64::MAX) >= LINE_LIMIT => {
            Err(ReplayError::TooLong { line })
        }
        None if bytes.is_empty() => Err(ReplayError::Cut {
            line: line.saturating_sub(1),
        }),
        None => Err(ReplayError::Cut { line }),
    }
}

/// Knows nobody: a recording brings its own facts, and a frame without them is judged by the kernel's alone.
#[derive(Debug)]
struct Nobody;

impl Actors for Nobody {
    fn actor(&mut self, access: &Access) -> Actor {
        Actor {
            process: Process {
                pid: access.tgid.0,
                comm: printable(&access.comm).to_string(),
                ..Process::default()
            },
            ancestors: Vec::new(),
            cgroup: None,
            container: None,
            gone: true,
        }
    }

    fn learn(&mut self, _event: &ProcessEvent) -> bool {
        true
    }

    fn user(&mut self, _uid: u32) -> Option<String> {
        None
    }
}
