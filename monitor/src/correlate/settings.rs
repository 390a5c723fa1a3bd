//! The bounds of what the event plane holds and how long.
//!
//! Invariant: every value is safe, 0 included (one access can always wait): no room means that nothing is held back,
//! never that something is lost. Part of a recording's header, so that a replay decides alike.

use serde::{Deserialize, Serialize};

/// The plane's bounds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PlaneSettings {
    /// How many accesses wait for knowledge at most; the oldest is reported as unknown when one more comes.
    pub parked_max: usize,
    /// How long an access waits for knowledge, seconds.
    pub park_seconds: u32,
    /// How long repeats of an access are counted instead of reported, seconds; 0 reports each.
    pub repeat_seconds: u32,
    /// How many different accesses are remembered for that; what does not fit is reported each time.
    pub repeats_max: usize,
    /// Report sanctioned accesses and ordinary reads through overlays too.
    pub verbose: bool,
}

impl Default for PlaneSettings {
    fn default() -> Self {
        Self {
            parked_max: 4096,
            park_seconds: 60,
            repeat_seconds: 60,
            repeats_max: 4096,
            verbose: false,
        }
    }
}
