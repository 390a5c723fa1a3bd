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

pub mod bounded;
pub mod config;
pub mod model;
pub mod trust;
