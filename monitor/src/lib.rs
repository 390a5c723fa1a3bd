//! Layerwatch's agent as a library: what `main`, the tests and xtask use.
//!
//! How one event travels (ARCHITECTURE.md draws the same picture with its reasons):
//!
//! ```text
//! hook ─▶ match ─▶ emit ─▶ ring ══▶ decode ─▶ enrich ─▶ correlate(attribute ─▶ judge) ─▶ decide ══▶ sinks
//!           ▲ watch keys                                   ▲ Arc<Knowledge>
//!           ╚══════ catalog ─▶ scan ─▶ exposure ─▶ trust ─▶ snapshot
//! ```
//!
//! Invariant: the event plane (`decode` to `decide`) never waits for the knowledge plane; it reads the newest snapshot.

pub mod app;
pub mod attribute;
pub mod bounded;
pub mod catalog;
pub mod cli;
pub mod config;
pub mod correlate;
pub mod counts;
pub mod decide;
pub mod decode;
pub mod enrich;
pub mod exposure;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod judge;
pub mod kernel;
pub mod knowledge;
pub mod model;
pub mod plane;
pub mod privilege;
pub mod pulls;
pub mod recording;
pub mod replay;
pub mod scan;
pub mod sinks;
pub mod survey;
pub mod telemetry;
#[cfg(test)]
pub(crate) mod testing;
pub mod trust;
