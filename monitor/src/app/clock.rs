//! The clocks: the only place that reads them.
//!
//! Invariant: everything below gets `now` as an argument. Called by `app` and the commands.

use std::path::Path;

use anyhow::{Context, Result};
use jiff::{SignedDuration, Timestamp};
use rustix::time::ClockId;

use crate::bounded;
use crate::decode::BootClock;

const SMALL: u64 = 4096;

/// The wall clock.
pub fn now() -> Timestamp {
    Timestamp::now()
}

/// When this kernel began to count, and which boot it is.
pub(super) fn boot() -> Result<BootClock> {
    let since = rustix::time::clock_gettime(ClockId::Boottime);
    let since = SignedDuration::new(since.tv_sec, i32::try_from(since.tv_nsec).unwrap_or(0));
    let boot_time = now().checked_sub(since).context("the clock is before the boot")?;
    let boot_id = bounded::read_text(Path::new("/proc/sys/kernel/random/boot_id"), SMALL)?;
    Ok(BootClock {
        boot_time,
        boot_id: boot_id.trim().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_boot_was_before_now_and_has_an_id() {
        let boot = boot().unwrap();
        assert!(boot.boot_time < now());
        assert_eq!(boot.boot_id.len(), 36);
    }
}
