//! The worker that brings alerts to one peer.
//!
//! Invariant: a request that failed (no answer, 5xx, 429) is repeated after a growing, spread pause and its alerts stay
//! in the queue; one that was refused (other 4xx) is counted and not repeated, because Alertmanager has already stored
//! the good alerts of it. One task per peer, so that a dead peer delays no other.

use std::sync::Arc;
use std::time::Duration;

use super::active::Post;
use super::queue::PeerQueue;
use super::transport::{Answer, Transport};
use crate::sinks::Random;
use crate::telemetry::happenings::{AlertsDelivered, Delivery};

/// How many alerts go into one request.
pub(super) const BATCH: usize = 64;
/// The first pause after a failure.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// One peer.
pub(super) struct Peer<T> {
    pub(super) index: usize,
    pub(super) queue: Arc<PeerQueue>,
    pub(super) transport: T,
    pub(super) random: Random,
}

impl<T: Transport> Peer<T> {
    /// Works until the queue is closed and empty, or closed and the peer does not answer.
    pub(super) async fn run(self) {
        let mut failures = 0;
        while let Some(posts) = self.queue.next(BATCH).await {
            if self.deliver(posts).await {
                failures = 0;
                continue;
            }
            if self.queue.is_closed() {
                return;
            }
            self.queue.pause(pause(failures, (self.random)())).await;
            failures += 1;
        }
    }

    /// Whether the peer answered.
    async fn deliver(&self, posts: Vec<Post>) -> bool {
        let count = posts.len() as u64;
        match self.transport.post(&posts).await {
            Answer::Accepted => self.report(count, Delivery::Accepted),
            Answer::Rejected(error) => self.report(count, Delivery::Rejected { error: &error }),
            Answer::Failed(error) => {
                self.report(count, Delivery::Failed { error: &error });
                let dropped = self.queue.put_back(posts);
                if dropped > 0 {
                    self.report(dropped, Delivery::Dropped);
                }
                return false;
            }
        }
        true
    }

    fn report(&self, count: u64, delivery: Delivery<'_>) {
        let peer = self.index;
        AlertsDelivered {
            peer,
            count,
            delivery,
        }
        .report(&self.queue.metrics);
    }
}

/// 1 s, 2 s, 4 s … 30 s, each cut by up to a half.
fn pause(failures: u32, random: f64) -> Duration {
    let whole = FIRST_PAUSE
        .saturating_mul(2_u32.saturating_pow(failures))
        .min(LONGEST_PAUSE);
    whole.mul_f64(0.5 + 0.5 * random.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests;
