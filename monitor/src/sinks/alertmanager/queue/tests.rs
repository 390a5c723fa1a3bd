//! The queue of one peer: what waits, in which order, what was dropped.

use super::*;
use crate::telemetry::Metrics;

fn post(name: &str, state: u32) -> Post {
    Post {
        labels: [("alertname".to_owned(), name.to_owned())].into(),
        annotations: [("state".to_owned(), state.to_string())].into(),
        starts_at: jiff::Timestamp::UNIX_EPOCH,
        ends_at: jiff::Timestamp::UNIX_EPOCH,
    }
}

fn posts(names: &str, state: u32) -> Vec<Post> {
    names.chars().map(|name| post(&name.to_string(), state)).collect()
}

fn queue(capacity: usize) -> PeerQueue {
    PeerQueue::new(capacity, Metrics::new().unwrap().peer(0).unwrap())
}

/// All that waits, as `a1 b2`.
fn shown(queue: &PeerQueue) -> String {
    let all = queue.lock().take(usize::MAX);
    let shown: Vec<String> = all
        .iter()
        .map(|post| format!("{}{}", post.labels["alertname"], post.annotations["state"]))
        .collect();
    shown.join(" ")
}

#[test]
fn the_oldest_makes_room_and_a_newer_state_takes_the_olders_place() {
    for (pushes, dropped, waiting) in [
        (vec![("abc", 1)], 0, "a1 b1 c1"),
        (vec![("abcd", 1)], 1, "b1 c1 d1"),
        (vec![("abc", 1), ("b", 2)], 0, "a1 b2 c1"),
        (vec![("abc", 1), ("bde", 2)], 2, "c1 d2 e2"),
        (vec![("abcdefgh", 1)], 5, "f1 g1 h1"),
    ] {
        let queue = queue(3);
        let mut total = 0;
        for (names, state) in pushes {
            total += queue.push(&posts(names, state));
        }
        let length = queue.metrics.queue_length.get();
        assert_eq!((total, length, shown(&queue).as_str()), (dropped, 3, waiting));
    }
}

#[test]
fn what_was_not_delivered_goes_back_in_front_unless_it_is_stale() {
    for (back, dropped, waiting) in [
        (posts("x", 1), 0, "x1 a2 b2"),
        (posts("a", 1), 0, "a2 b2"),
        (posts("xa", 1), 0, "x1 a2 b2"),
        (posts("xyz", 1), 2, "z1 a2 b2"),
    ] {
        let queue = queue(3);
        queue.push(&posts("ab", 2));
        assert_eq!(queue.put_back(back), dropped);
        assert_eq!(shown(&queue), waiting);
    }
}

#[tokio::test(start_paused = true)]
async fn a_worker_waits_for_alerts_and_for_the_end() {
    let queue = std::sync::Arc::new(queue(10));
    let worker = std::sync::Arc::clone(&queue);
    let taken = tokio::spawn(async move {
        let mut sizes = Vec::new();
        while let Some(posts) = worker.next(2).await {
            sizes.push(posts.len());
        }
        sizes
    });
    tokio::task::yield_now().await;
    queue.push(&posts("abcde", 1));
    queue.close();
    assert_eq!(taken.await.unwrap(), [2, 2, 1]);
    assert_eq!(queue.next(2).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_pause_ends_early_only_with_the_queue() {
    let start = tokio::time::Instant::now();
    let queue = queue(10);
    queue.push(&posts("a", 1));
    queue.pause(std::time::Duration::from_secs(5)).await;
    assert_eq!(start.elapsed().as_secs(), 5);
    queue.close();
    queue.pause(std::time::Duration::from_secs(5)).await;
    assert_eq!(start.elapsed().as_secs(), 5);
}
