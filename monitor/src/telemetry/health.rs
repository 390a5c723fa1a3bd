//! Whether the event loop still turns.
//!
//! Invariant: alive means that the loop itself said so less than [`PATIENCE`] ago, by the monotonic clock; no other task
//! may speak for it. Beaten by the event loop; read by `/-/healthy` and by the watchdog notice to systemd.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// How long the loop may be silent.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The last sign of life.
#[derive(Debug)]
pub struct Health {
    start: Instant,
    last_ms: AtomicU64,
}

impl Health {
    /// Alive from now on.
    pub fn new(now: Instant) -> Self {
        Self {
            start: now,
            last_ms: AtomicU64::new(0),
        }
    }

    /// The loop turned.
    pub fn beat(&self, now: Instant) {
        let since = now.saturating_duration_since(self.start).as_millis();
        self.last_ms
            .fetch_max(u64::try_from(since).unwrap_or(u64::MAX), Ordering::Release);
    }

    /// How long the loop has been silent.
    pub fn silence(&self, now: Instant) -> Duration {
        let last = Duration::from_millis(self.last_ms.load(Ordering::Acquire));
        now.saturating_duration_since(self.start).saturating_sub(last)
    }

    /// Whether that is short enough.
    pub fn is_alive(&self, now: Instant) -> bool {
        self.silence(now) < PATIENCE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_ends_health_and_a_beat_renews_it() {
        let start = Instant::now();
        let health = Health::new(start);
        let at = |seconds| start + Duration::from_secs(seconds);
        for (beat, look, alive) in [
            (None, 29, true),
            (None, 30, false),
            (Some(40), 69, true),
            (Some(10), 70, false),
        ] {
            if let Some(beat) = beat {
                health.beat(at(beat));
            }
            assert_eq!(health.is_alive(at(look)), alive, "at {look}");
        }
        assert_eq!(health.silence(at(100)), Duration::from_mins(1));
    }
}
