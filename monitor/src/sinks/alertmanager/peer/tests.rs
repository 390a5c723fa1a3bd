//! The worker of one peer against a scripted transport, on a paused clock.

use std::sync::Mutex;

use super::*;
use crate::telemetry::Metrics;
use tokio::time::Instant;

/// Answers from a list, then accepts; remembers when it was asked and for how many alerts.
struct Script {
    answers: Mutex<Vec<Answer>>,
    asked: Arc<Mutex<Vec<(u64, usize)>>>,
    start: Instant,
}

impl Transport for Script {
    async fn post(&self, posts: &[Post]) -> Answer {
        let asked = (self.start.elapsed().as_millis().try_into().unwrap(), posts.len());
        self.asked.lock().unwrap().push(asked);
        let mut answers = self.answers.lock().unwrap();
        if answers.is_empty() {
            Answer::Accepted
        } else {
            answers.remove(0)
        }
    }
}

fn posts(count: usize) -> Vec<Post> {
    let time = jiff::Timestamp::UNIX_EPOCH;
    let numbered = |number: usize| Post {
        labels: [("alertname".to_owned(), number.to_string())].into(),
        annotations: [].into(),
        starts_at: time,
        ends_at: time,
    };
    (0..count).map(numbered).collect()
}

fn failed() -> Answer {
    Answer::Failed("connection refused".to_owned())
}

fn rejected() -> Answer {
    Answer::Rejected("400 Bad Request".to_owned())
}

/// `count` alerts, these answers: when the peer is asked (ms, alerts) and `sent, failed, rejected, dropped` at the end.
async fn check(count: usize, answers: Vec<Answer>, asked: &[(u64, usize)], counters: [u64; 4]) {
    let metrics = Metrics::new().unwrap().peer(0).unwrap();
    let queue = Arc::new(PeerQueue::new(1000, metrics.clone()));
    let seen = Arc::new(Mutex::new(Vec::new()));
    let transport = Script {
        answers: Mutex::new(answers),
        asked: Arc::clone(&seen),
        start: Instant::now(),
    };
    let peer = Peer {
        index: 0,
        queue: Arc::clone(&queue),
        transport,
        random: Arc::new(|| 1.0),
    };
    let worker = tokio::spawn(peer.run());
    queue.push(&posts(count));
    // The clock is paused: this passes as soon as nothing else has anything to do.
    tokio::time::sleep(Duration::from_mins(10)).await;
    queue.close();
    worker.await.unwrap();
    assert_eq!(*seen.lock().unwrap(), asked);
    let shown = [
        &metrics.sent,
        &metrics.failed,
        &metrics.rejected,
        &metrics.dropped,
    ]
    .map(prometheus::IntCounter::get);
    assert_eq!(shown, counters);
    assert_eq!(metrics.queue_length.get(), 0);
}

#[tokio::test(start_paused = true)]
async fn alerts_go_out_in_batches() {
    check(150, vec![], &[(0, 64), (0, 64), (0, 22)], [150, 0, 0, 0]).await;
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_repeated_after_a_growing_pause() {
    let asked = [(0, 3), (1000, 3), (3000, 3), (7000, 3)];
    check(3, vec![failed(), failed(), failed()], &asked, [3, 9, 0, 0]).await;
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_never_repeated() {
    check(70, vec![rejected()], &[(0, 64), (0, 6)], [6, 0, 64, 0]).await;
}

#[tokio::test(start_paused = true)]
async fn a_success_makes_pauses_short_again() {
    let answers = vec![failed(), failed(), Answer::Accepted, failed()];
    let asked = [(0, 64), (1000, 64), (3000, 64), (3000, 1), (4000, 1)];
    check(65, answers, &asked, [65, 129, 0, 0]).await;
}

#[tokio::test(start_paused = true)]
async fn at_the_end_a_dead_peer_is_not_waited_for() {
    let metrics = Metrics::new().unwrap().peer(0).unwrap();
    let queue = Arc::new(PeerQueue::new(1000, metrics.clone()));
    let answers = Mutex::new(vec![failed(); 100]);
    let start = Instant::now();
    let transport = Script {
        answers,
        asked: Arc::default(),
        start,
    };
    let peer = Peer {
        index: 0,
        queue: Arc::clone(&queue),
        transport,
        random: Arc::new(|| 0.0),
    };
    let worker = tokio::spawn(peer.run());
    queue.push(&posts(1));
    queue.close();
    worker.await.unwrap();
    assert!(start.elapsed() < Duration::from_secs(1));
    assert_eq!(metrics.failed.get(), 1);
}

#[test]
fn pauses_grow_to_a_limit_and_are_spread() {
    for (failures, random, milliseconds) in [
        (0, 1.0, 1000),
        (0, 0.0, 500),
        (1, 1.0, 2000),
        (4, 0.5, 12_000),
        (5, 1.0, 30_000),
        (u32::MAX, 1.0, 30_000),
        (5, 7.0, 30_000),
    ] {
        assert_eq!(
            pause(failures, random).as_millis(),
            milliseconds,
            "{failures} {random}"
        );
    }
}
