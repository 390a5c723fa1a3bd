//! What watches the watcher: the canary, the kernel's counters, losses, and the word to the service manager.
//!
//! Invariant: a hook that stops firing, an event that was lost and a queue that was full become a metric, a log line and
//! a state record; each state ends with a record too. Spawned by `app`.

use std::sync::MutexGuard;
use std::time::Duration;

use jiff::Timestamp;
use layerwatch_ebpf::hooks;
use tokio::sync::watch;
use tokio::time::Instant;

use super::start::Started;
use super::{Shared, notify, now, stopped};
use crate::kernel::{Canary, WatchMaps, since_boot};
use crate::model::{AlertKind, Record, RecordKind, StateReport};
use crate::telemetry::happenings::{CanarySeen, HookSilent};
use crate::telemetry::{Hook, Notice, watchdog_interval};

/// How often the canary is opened.
const CANARY: Duration = Duration::from_mins(1);
/// How long its record may take.
const CANARY_DEADLINE: Duration = Duration::from_secs(5);
/// How often the kernel's counters are read.
const COUNTERS: Duration = Duration::from_secs(2);
/// How long a loss counts as present.
const LOSS_HOLD: Duration = Duration::from_mins(5);

/// The task.
#[derive(Debug)]
pub(super) struct Housekeeping {
    canary: Canary,
    seen: watch::Receiver<Option<Timestamp>>,
    /// Where programs look.
    places: Vec<u16>,
    shared: Shared,
    lost: u64,
    unseen: u64,
    blind: bool,
    losing_since: Option<Instant>,
}

impl Housekeeping {
    /// For a started agent; `seen` has the time of the newest canary record.
    pub(super) fn new(started: &Started, shared: Shared, seen: watch::Receiver<Option<Timestamp>>) -> Self {
        Self {
            canary: started.canary.clone(),
            seen,
            places: started.choice.places.clone(),
            shared,
            lost: 0,
            unseen: 0,
            blind: false,
            losing_since: None,
        }
    }

    /// Runs until `stop` says so.
    pub(super) async fn run(mut self, stop: watch::Receiver<bool>) {
        let (usec, pid) = (
            std::env::var("WATCHDOG_USEC").ok(),
            std::env::var("WATCHDOG_PID").ok(),
        );
        let word = watchdog_interval(usec.as_deref(), pid.as_deref(), std::process::id());
        let mut watchdog = tokio::time::interval(word.unwrap_or(CANARY));
        let mut canary = tokio::time::interval(CANARY);
        let mut counters = tokio::time::interval(COUNTERS);
        let stop = stopped(stop);
        tokio::pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => return,
                _ = canary.tick() => self.check_canary().await,
                _ = counters.tick() => self.read_counters(),
                _ = watchdog.tick(), if word.is_some() => {
                    if self.shared.health.is_alive(Instant::now()) {
                        notify(&self.shared, &Notice::Watchdog);
                    }
                }
            }
        }
    }

    async fn check_canary(&mut self) {
        let opened = now();
        let begun = Instant::now();
        if let Err(error) = self.canary.open() {
            tracing::error!(%error, "the canary cannot be opened");
        }
        let newer =
            |seen: &Option<Timestamp>| seen.is_some_and(|seen| seen + Duration::from_secs(1) >= opened);
        let answer = tokio::time::timeout(CANARY_DEADLINE, self.seen.wait_for(newer)).await;
        let came = matches!(answer, Ok(Ok(_)));
        drop(answer);
        if came {
            CanarySeen {
                time: now(),
                latency: begun.elapsed(),
            }
            .report(&self.shared.metrics);
            self.shared.metrics.hook_attached(Hook::Open, true);
        } else {
            HookSilent { hook: Hook::Open }.report(&self.shared.metrics);
        }
        if came == self.blind {
            self.blind = !came;
            self.state(
                AlertKind::MonitorBlind,
                self.blind,
                "the open hook does not report the canary",
            );
        }
    }

    fn read_counters(&mut self) {
        if let Some(Err(error)) = self.maps().map(|mut maps| maps.beat(since_boot())) {
            tracing::warn!(
                error = crate::telemetry::happenings::chain(&error),
                "the programs are not told that this agent lives: they fall silent in ten minutes"
            );
        }
        let counters = match self.maps().map(|maps| maps.counters()) {
            Some(Ok(counters)) => counters,
            Some(Err(error)) => {
                tracing::warn!(
                    error = crate::telemetry::happenings::chain(&error),
                    "the kernel's counters are not read"
                );
                return;
            }
            None => return,
        };
        let (mut lost, mut unseen) = (0, 0);
        let places = std::mem::take(&mut self.places);
        let watched = |number| number == hooks::PROCESS || places.contains(&number);
        for hook in counters.iter().filter(|hook| watched(hook.number)) {
            // Processes have a ring of their own; what it loses is no access, and its counter says so.
            if hook.number != hooks::PROCESS {
                lost += hook.counters.ring_full;
            }
            unseen += hook.left_out;
            if let Some(label) = Hook::from_wire(hook.number) {
                let metrics = &self.shared.metrics;
                metrics.kernel_counters(label, &hook.counters, hook.left_out);
            }
        }
        self.places = places;
        if lost > self.lost || unseen > self.unseen {
            let detail = format!(
                "{} events lost between the kernel and the event plane, {} times the kernel ran no program at a hook",
                lost.saturating_sub(self.lost),
                unseen.saturating_sub(self.unseen),
            );
            (self.lost, self.unseen) = (lost.max(self.lost), unseen.max(self.unseen));
            if self.losing_since.replace(Instant::now()).is_none() {
                self.state(AlertKind::EventsLost, true, &detail);
            }
        } else if self.losing_since.is_some_and(|since| since.elapsed() > LOSS_HOLD) {
            self.losing_since = None;
            self.state(AlertKind::EventsLost, false, "no event was lost for five minutes");
        }
    }

    fn maps(&self) -> Option<MutexGuard<'_, WatchMaps>> {
        self.shared.maps.lock().ok()
    }

    fn state(&self, alert: AlertKind, active: bool, detail: &str) {
        let state = StateReport {
            time: now(),
            alert,
            active,
            detail: detail.to_owned(),
            exposed: None,
        };
        self.shared.sinks.emit(&Record::new(RecordKind::State(state)));
    }
}
