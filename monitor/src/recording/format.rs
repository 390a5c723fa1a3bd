//! The lines of a recording.
//!
//! Invariant: one JSON object with one key on each line; a reader refuses another format version, and another version
//! of the wire contract, whose frames it would misread. Used by the recorder and by replay.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::correlate::PlaneSettings;
use crate::decode::BootClock;
use crate::enrich::Facts;
use crate::knowledge::Knowledge;
use crate::model::{Access, ProcessKey};

/// Rises with each change of the lines.
pub const FORMAT_VERSION: u32 = 3;

/// The first line: what wrote the recording and under which conditions.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Header {
    /// [`FORMAT_VERSION`].
    pub format: u32,
    /// `layerwatch_ebpf::WIRE_VERSION`.
    pub wire: u16,
    /// The agent's version.
    pub agent: String,
    /// The kernel's clock and boot.
    pub boot: BootClock,
    /// The plane's bounds.
    pub settings: PlaneSettings,
}

impl Header {
    /// The header of a recording by this agent.
    pub fn new(boot: BootClock, settings: PlaneSettings) -> Self {
        Self {
            format: FORMAT_VERSION,
            wire: layerwatch_ebpf::WIRE_VERSION,
            agent: env!("CARGO_PKG_VERSION").to_owned(),
            boot,
            settings,
        }
    }
}

/// One line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Line {
    /// The first.
    Header(Box<Header>),
    /// A snapshot became the newest.
    Knowledge {
        now: Timestamp,
        knowledge: Arc<Knowledge>,
    },
    /// A frame came out of the ring; no facts when it could not be decoded.
    Frame {
        now: Timestamp,
        /// Base64 (RFC 4648, section 4).
        bytes: String,
        facts: Option<Box<Facts>>,
    },
    /// A file that was open before anybody looked.
    OpenFile {
        now: Timestamp,
        access: Box<Access>,
        facts: Box<Facts>,
    },
    /// A process that may be connected to an engine began another.
    Began { parent: ProcessKey, child: ProcessKey },
    /// A process that may be connected to an engine ended.
    Ended { process: ProcessKey },
    /// Time passed and something was due.
    Tick { now: Timestamp },
    /// The last: how many lines should have been before it and are not.
    End { missing: u64 },
}
