//! The task between the records and the peers: it keeps the active alerts and says when each is sent.
//!
//! Invariant: a new alert is handed to every peer's queue before anything touches the disk; a state file that cannot be
//! written delays nothing and is tried again. Started by `Alertmanager::start`; ends when `Sinks` is shut down.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::task::JoinHandle;

use super::AlertmanagerOptions;
use super::active::Active;
use super::labels::{Pairs, describe_alert, describe_state, of_alert, of_state};
use super::queue::PeerQueue;
use super::state::{StateError, StateFile};
use crate::model::{Record, RecordKind};
use crate::sinks::{Clock, Inlet};
use crate::telemetry::happenings::{AlertsDelivered, Delivery, RecordsLost, SinkFailed};
use crate::telemetry::{Metrics, SinkName};

/// How often it looks whether something is due.
const TICK: Duration = Duration::from_secs(1);
/// How many records it takes at a time.
const BATCH: usize = 256;

/// The task's own things.
pub(super) struct Dispatch {
    active: Active,
    node: String,
    external: Pairs,
    state: Option<StateFile>,
    unsaved: bool,
    clock: Clock,
    metrics: Arc<Metrics>,
    peers: Vec<(Arc<PeerQueue>, JoinHandle<()>)>,
}

impl Dispatch {
    /// With the alerts that a former run left.
    pub(super) fn new(
        options: &AlertmanagerOptions,
        clock: Clock,
        metrics: Arc<Metrics>,
        peers: Vec<(Arc<PeerQueue>, JoinHandle<()>)>,
    ) -> Self {
        let state = options.state_directory.as_deref().map(StateFile::new);
        let kept = state.as_ref().map_or(Ok(Vec::new()), StateFile::load);
        let entries = kept.unwrap_or_else(|error| {
            SinkFailed {
                sink: SinkName::Alertmanager,
                error: &error,
            }
            .report(&metrics);
            Vec::new()
        });
        Self {
            active: Active::new(options.delivery.hold, options.delivery.resend, entries, clock()),
            node: options.node.clone(),
            external: options.delivery.external_labels.clone(),
            state,
            unsaved: false,
            clock,
            metrics,
            peers,
        }
    }

    pub(super) async fn run(mut self, mut inlet: Inlet) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut batch = Vec::new();
        loop {
            tokio::select! {
                count = inlet.receiver.recv_many(&mut batch, BATCH) => {
                    if count == 0 {
                        break;
                    }
                    self.take(&batch);
                    batch.clear();
                }
                _ = tick.tick() => {}
            }
            self.hand_out();
            self.save().await;
        }
        self.save().await;
        for (queue, _) in &self.peers {
            queue.close();
        }
        for (_, worker) in self.peers {
            // A worker that panicked has said so through the panic hook.
            drop(worker.await);
        }
        drop(inlet.done);
    }

    fn take(&mut self, records: &[Arc<Record>]) {
        let now = (self.clock)();
        for record in records {
            let lost = self.note(&record.body, now);
            self.metrics.sink_delivered(SinkName::Alertmanager, 1);
            if lost > 0 {
                let (sink, reason) = (SinkName::Alertmanager, "too many active alerts");
                RecordsLost {
                    sink,
                    count: lost,
                    reason,
                }
                .report(&self.metrics);
            }
        }
        self.unsaved = true;
    }

    fn note(&mut self, record: &RecordKind, now: Timestamp) -> u64 {
        match record {
            RecordKind::Alert(alert) => {
                let labels = of_alert(alert, &self.node, &self.external);
                let first = self
                    .active
                    .began(&labels, now)
                    .map_or(alert.time, |began| began.min(alert.time));
                let annotations = describe_alert(alert, first);
                self.active.seen(labels, annotations, alert.time, now)
            }
            RecordKind::State(state) => {
                let labels = of_state(state, &self.node, &self.external);
                self.active
                    .state(labels, describe_state(state), state.active, now)
            }
            RecordKind::Access(_) | RecordKind::Pull(_) => 0,
        }
    }

    fn hand_out(&mut self) {
        let now = (self.clock)();
        let posts = self.active.due(now);
        self.metrics.active_alerts(self.active.count(now));
        if posts.is_empty() {
            return;
        }
        for (peer, (queue, _)) in self.peers.iter().enumerate() {
            let count = queue.push(&posts);
            if count > 0 {
                let delivery = Delivery::Dropped;
                AlertsDelivered {
                    peer,
                    count,
                    delivery,
                }
                .report(&queue.metrics);
            }
        }
    }

    async fn save(&mut self) {
        let Some(state) = self.state.clone().filter(|_| self.unsaved) else {
            return;
        };
        let entries = self.active.entries();
        let saved = tokio::task::spawn_blocking(move || state.save(entries)).await;
        let saved: Result<(), StateError> = saved.unwrap_or(Ok(()));
        match saved {
            Ok(()) => self.unsaved = false,
            Err(error) => SinkFailed {
                sink: SinkName::Alertmanager,
                error: &error,
            }
            .report(&self.metrics),
        }
    }
}
