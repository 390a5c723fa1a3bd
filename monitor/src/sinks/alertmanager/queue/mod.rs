//! The alerts that wait for one peer.
//!
//! Invariant: never more than its capacity; the oldest makes room and is counted. An alert waits once: a newer state of
//! it takes the place of the older, so a peer that was away for a day gets what is true now. Filled by `dispatch`,
//! emptied by `peer`.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::active::Post;
use super::labels::Pairs;
use crate::telemetry::PeerMetrics;

#[derive(Debug, Default)]
struct Waiting {
    order: VecDeque<Pairs>,
    posts: BTreeMap<Pairs, Post>,
    closed: bool,
}

impl Waiting {
    fn take(&mut self, most: usize) -> Vec<Post> {
        let count = most.min(self.order.len());
        let keys = self.order.drain(..count);
        keys.filter_map(|key| self.posts.remove(&key)).collect()
    }
}

/// The queue.
#[derive(Debug)]
pub(super) struct PeerQueue {
    waiting: Mutex<Waiting>,
    wake: Notify,
    capacity: usize,
    /// The peer's counters.
    pub(super) metrics: PeerMetrics,
}

impl PeerQueue {
    pub(super) fn new(capacity: usize, metrics: PeerMetrics) -> Self {
        let capacity = capacity.max(1);
        metrics
            .queue_capacity
            .set(i64::try_from(capacity).unwrap_or(i64::MAX));
        Self {
            waiting: Mutex::default(),
            wake: Notify::new(),
            capacity,
            metrics,
        }
    }

    /// Adds alerts at the end; how many had to make room.
    pub(super) fn push(&self, posts: &[Post]) -> u64 {
        let mut waiting = self.lock();
        let mut dropped = 0;
        for post in posts {
            if waiting.posts.insert(post.labels.clone(), post.clone()).is_some() {
                continue;
            }
            waiting.order.push_back(post.labels.clone());
            if waiting.order.len() > self.capacity {
                dropped += u64::from(!waiting.take(1).is_empty());
            }
        }
        self.show(waiting);
        self.wake.notify_one();
        dropped
    }

    /// Puts alerts that were not delivered back in front, unless a newer state of them waits; how many were dropped.
    pub(super) fn put_back(&self, posts: Vec<Post>) -> u64 {
        let mut waiting = self.lock();
        let mut dropped = 0;
        for post in posts.into_iter().rev() {
            if waiting.posts.contains_key(&post.labels) {
                continue;
            }
            if waiting.order.len() >= self.capacity {
                dropped += 1;
                continue;
            }
            waiting.order.push_front(post.labels.clone());
            waiting.posts.insert(post.labels.clone(), post);
        }
        self.show(waiting);
        dropped
    }

    /// Waits for alerts, at most `most` of them; none when the queue is closed and empty.
    pub(super) async fn next(&self, most: usize) -> Option<Vec<Post>> {
        loop {
            let woken = self.wake.notified();
            {
                let mut waiting = self.lock();
                let posts = waiting.take(most);
                let closed = waiting.closed;
                self.show(waiting);
                if !posts.is_empty() {
                    return Some(posts);
                }
                if closed {
                    return None;
                }
            }
            woken.await;
        }
    }

    /// Nothing more will come.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.wake.notify_one();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Waits until the queue is closed or `pause` is over.
    pub(super) async fn pause(&self, pause: std::time::Duration) {
        let over = tokio::time::Instant::now() + pause;
        while !self.is_closed() && tokio::time::timeout_at(over, self.wake.notified()).await.is_ok() {}
    }

    fn show(&self, waiting: MutexGuard<'_, Waiting>) {
        self.metrics
            .queue_length
            .set(i64::try_from(waiting.order.len()).unwrap_or(i64::MAX));
        drop(waiting);
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // No code panics while it holds the lock; if it did, the queue would still be whole.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
