//! Recording: what came into the event plane, in order of arrival, so that the same lines come out again with
//! no kernel and no privileges.
//!
//! Invariant: JSON lines: a header, then knowledge snapshots, frames with the facts about their process, and the ticks
//! that mattered, each with its `now`, then an end mark. A recording names paths and command lines, so its file is
//! 0600; it holds no secret, for nothing outside `scan` does. Written by the event plane, read by `replay`.

mod format;
mod recorder;

pub(crate) use format::Line;
pub use format::{FORMAT_VERSION, Header};
pub use recorder::{RecordError, Recorder, RecorderCounts};
