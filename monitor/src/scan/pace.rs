//! How many bytes a second the worker takes from the disk.
//!
//! Invariant: over any time it is the budget times that time and one burst at most; without a budget nothing waits. It is
//! the process's, as its niceness is: the worker is told its budget once, before it reads anything. Set by
//! `worker::child`, spent by `file`.

use std::sync::Mutex;
use std::time::{Duration, Instant};

/// What may come at once after a pause.
const BURST: Duration = Duration::from_millis(250);

static PACE: Mutex<Option<Pace>> = Mutex::new(None);

#[derive(Debug)]
struct Pace {
    bytes_per_second: u64,
    /// When what was taken so far is paid for.
    paid: Instant,
}

impl Pace {
    /// Takes bytes; how long to wait for them.
    fn take(&mut self, bytes: u64, now: Instant) -> Duration {
        let earliest = now.checked_sub(BURST).unwrap_or(now);
        let micros = u128::from(bytes) * 1_000_000 / u128::from(self.bytes_per_second.max(1));
        let cost = Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX));
        self.paid = self.paid.max(earliest) + cost;
        self.paid.saturating_duration_since(now)
    }
}

/// Sets the process's budget; 0 is none.
pub(super) fn set(bytes_per_second: u64) {
    let pace = (bytes_per_second > 0).then(|| Pace {
        bytes_per_second,
        paid: Instant::now(),
    });
    *PACE.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = pace;
}

/// Waits until these bytes are within the budget.
pub(super) fn spend(bytes: u64) {
    let wait = {
        let mut pace = PACE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        pace.as_mut().map(|pace| pace.take(bytes, Instant::now()))
    };
    if let Some(wait) = wait.filter(|wait| !wait.is_zero()) {
        std::thread::sleep(wait);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_over_the_budget_is_waited_for() {
        let begun = Instant::now() + BURST;
        let mut pace = Pace {
            bytes_per_second: 1000,
            paid: begun,
        };
        let mut check = |after_ms: u64, bytes: u64, wait_ms: u64| {
            let wait = pace.take(bytes, begun + Duration::from_millis(after_ms));
            assert_eq!(
                wait,
                Duration::from_millis(wait_ms),
                "{bytes} bytes after {after_ms} ms"
            );
        };
        check(0, 500, 500);
        check(500, 100, 100);
        // After a pause a burst is free, and no more.
        check(60_000, 250, 0);
        check(60_000, 100, 100);
    }
}
