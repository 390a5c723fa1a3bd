//! Alerts to Alertmanagers, over API v2, each peer on its own.
//!
//! Invariant: an Alertmanager forgets everything when it restarts and peers do not share alerts, so every active alert is
//! sent to every peer, again and again until it ended, and for a while as ended. What is active survives a restart of
//! the agent in the state file. Started by `Sinks`.

mod active;
mod dispatch;
mod labels;
mod peer;
mod queue;
mod state;
mod transport;

use std::path::PathBuf;
use std::sync::Arc;

pub use state::StateError;
pub use transport::TransportError;

use super::{Clock, Outlet, QUEUE, Random};
use crate::config;
use crate::model::RecordKind;
use crate::telemetry::{Metrics, MetricsError, SinkName};

/// Why the sink could not be started.
#[derive(Debug, thiserror::Error)]
pub enum AlertmanagerError {
    /// The HTTP client could not be made.
    #[error("Alertmanager client")]
    Transport(#[from] TransportError),
    /// A counter could not be made.
    #[error("Alertmanager counters")]
    Metrics(#[from] MetricsError),
}

/// All about the Alertmanagers.
#[derive(Clone, PartialEq, Debug)]
pub struct AlertmanagerOptions {
    /// The configuration's part; its labels never replace the agent's own.
    pub delivery: config::Alertmanager,
    /// This host's name, the label `instance`, the same that Prometheus gives its series.
    pub node: String,
    /// Where active alerts are kept over a restart; without it they are not.
    pub state_directory: Option<PathBuf>,
}

/// The sink before it is started.
pub struct Alertmanager {
    options: AlertmanagerOptions,
    transports: Vec<transport::HttpPeer>,
    clock: Clock,
    random: Random,
}

impl std::fmt::Debug for Alertmanager {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Alertmanager")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl Alertmanager {
    /// Makes the clients; nothing is sent yet.
    pub fn new(
        options: AlertmanagerOptions,
        clock: Clock,
        random: Random,
    ) -> Result<Self, AlertmanagerError> {
        let transports = options
            .delivery
            .urls
            .iter()
            .map(|url| transport::HttpPeer::new(url, &options.delivery))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            options,
            transports,
            clock,
            random,
        })
    }

    pub(super) fn start(self, metrics: &Arc<Metrics>) -> Result<Outlet, AlertmanagerError> {
        let wants = |record: &RecordKind| matches!(record, RecordKind::Alert(_) | RecordKind::State(_));
        let (outlet, inlet) = Outlet::new(SinkName::Alertmanager, wants, QUEUE);
        let mut peers = Vec::new();
        for (index, transport) in self.transports.into_iter().enumerate() {
            let queue = Arc::new(queue::PeerQueue::new(
                self.options.delivery.queue,
                metrics.peer(index)?,
            ));
            let random = Arc::clone(&self.random);
            let peer = peer::Peer {
                index,
                queue: Arc::clone(&queue),
                transport,
                random,
            };
            peers.push((queue, tokio::spawn(peer.run())));
        }
        let dispatch = dispatch::Dispatch::new(&self.options, self.clock, Arc::clone(metrics), peers);
        tokio::spawn(dispatch.run(inlet));
        Ok(outlet)
    }
}
