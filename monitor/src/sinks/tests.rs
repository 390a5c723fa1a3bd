//! All sinks together: counting, full queues, shutdown, delivery to several peers.

use std::sync::Mutex;

use axum::Router;
use axum::extract::State;
use axum::routing::post;
use serde_json::Value;

use super::*;
use crate::telemetry::Label;

type Heard = Arc<Mutex<Vec<Value>>>;

fn value(metrics: &Metrics, series: &str) -> u64 {
    let text = metrics.encode().unwrap();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no series {series}"))
        .parse()
        .unwrap()
}

#[test]
fn each_record_moves_its_own_counter() {
    for (record, series) in [
        (
            samples::alert_record(),
            "layerwatch_alerts_total{alert=\"SensitiveLayerRead\",severity=\"critical\"}",
        ),
        (
            samples::alert_record(),
            "layerwatch_sensitive_reads_total{category=\"private-key\",severity=\"critical\"}",
        ),
        (
            samples::access_record(),
            "layerwatch_sanctioned_total{sanction=\"own-root-file-system\"}",
        ),
        (
            samples::pull_record(),
            "layerwatch_pulls_total{engine=\"containers-storage\"}",
        ),
        (
            samples::state_record(),
            "layerwatch_alerts_total{alert=\"MonitorBlind\",severity=\"critical\"}",
        ),
    ] {
        let metrics = Arc::new(Metrics::new().unwrap());
        let sinks = Sinks::new(Arc::clone(&metrics));
        assert_eq!(value(&metrics, series), 0);
        sinks.emit(&record);
        assert_eq!(value(&metrics, series), 1, "{series}");
    }
}

#[test]
fn a_full_queue_loses_records_and_never_waits() {
    for sink in SinkName::VALUES {
        let metrics = Arc::new(Metrics::new().unwrap());
        let mut sinks = Sinks::new(Arc::clone(&metrics));
        let (outlet, mut inlet) = Outlet::new(*sink, |_| true, 2);
        sinks.outlets.push(outlet);
        for _ in 0..5 {
            sinks.emit(&samples::alert_record());
        }
        let lost = format!("layerwatch_sink_dropped_total{{sink=\"{}\"}}", sink.value());
        assert_eq!(value(&metrics, &lost), 3);
        assert_eq!(*inlet.receiver.blocking_recv().unwrap(), samples::alert_record());
        sinks.emit(&samples::alert_record());
        assert_eq!(value(&metrics, &lost), 3);
    }
}

#[test]
fn the_log_tells_what_it_has_room_for_and_what_is_settled() {
    let mut sinks = Sinks::new(Arc::new(Metrics::new().unwrap()));
    assert!(sinks.log_has_room(1000), "no log holds nothing up");
    let (outlet, mut inlet) = Outlet::new(SinkName::JsonLog, |_| true, 2);
    sinks.outlets.push(outlet);
    let told = |sinks: &Sinks| (sinks.logged(), sinks.log_settled(), sinks.log_has_room(1));
    assert_eq!(told(&sinks), (0, 0, true));
    for _ in 0..3 {
        sinks.emit(&samples::alert_record());
    }
    assert_eq!(
        told(&sinks),
        (2, 0, false),
        "the third did not fit and is counted as lost"
    );
    inlet.receiver.blocking_recv().unwrap();
    inlet.settled.fetch_add(1, Ordering::Release);
    assert_eq!(told(&sinks), (2, 1, true));
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_hangs_is_named_at_the_end() {
    let mut sinks = Sinks::new(Arc::new(Metrics::new().unwrap()));
    let (outlet, inlet) = Outlet::new(SinkName::JsonLog, |_| true, 2);
    sinks.outlets.push(outlet);
    assert_eq!(sinks.shutdown(Duration::from_secs(5)).await, [SinkName::JsonLog]);
    assert!(inlet.stopping.load(Ordering::Acquire));
}

/// An Alertmanager that remembers what it gets.
async fn alertmanager() -> (reqwest::Url, Heard) {
    let heard = Heard::default();
    let answer = |State(heard): State<Heard>, body: String| async move {
        let alerts: Vec<Value> = serde_json::from_str(&body).unwrap();
        heard.lock().unwrap().extend(alerts);
    };
    let router = Router::new()
        .route("/api/v2/alerts", post(answer))
        .with_state(Arc::clone(&heard));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = reqwest::Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, heard)
}

fn pushing(options: AlertmanagerOptions, metrics: &Arc<Metrics>) -> Sinks {
    let time: Timestamp = "2026-03-04T05:06:08Z".parse().unwrap();
    let mut sinks = Sinks::new(Arc::clone(metrics));
    let sink = Alertmanager::new(options, Arc::new(move || time), Arc::new(|| 0.5)).unwrap();
    sinks.add_alertmanager(sink).unwrap();
    sinks
}

#[tokio::test]
async fn every_peer_gets_the_alert_and_a_restart_sends_it_again() {
    let directory = tempfile::tempdir().unwrap();
    let metrics = Arc::new(Metrics::new().unwrap());
    let (first, heard_first) = alertmanager().await;
    let (second, heard_second) = alertmanager().await;
    let options = AlertmanagerOptions {
        delivery: samples::delivery(vec![first, second]),
        node: "node-1".to_owned(),
        state_directory: Some(directory.path().to_owned()),
    };
    let sinks = pushing(options.clone(), &metrics);
    sinks.emit(&samples::alert_record());
    sinks.emit(&samples::pull_record());
    sinks.emit(&samples::access_record());
    assert_eq!(sinks.shutdown(Duration::from_secs(10)).await, []);
    for heard in [&heard_first, &heard_second] {
        let alerts = heard.lock().unwrap();
        assert_eq!(alerts.len(), 1);
        assert_eq!(alerts[0]["startsAt"], "2026-03-04T05:06:07.089Z");
        assert_eq!(alerts[0]["endsAt"], "2026-03-04T05:21:08Z");
        assert_eq!(alerts[0]["labels"]["alertname"], "SensitiveLayerRead");
        assert_eq!(alerts[0]["labels"]["instance"], "node-1");
    }
    assert_eq!(
        value(
            &metrics,
            "layerwatch_alertmanager_notifications_total{peer=\"1\"}"
        ),
        1
    );
    assert_eq!(value(&metrics, "layerwatch_alertmanager_active_alerts"), 1);

    let restarted = pushing(options, &metrics);
    let before = heard_first.lock().unwrap()[0].clone();
    let twice = async {
        while heard_second.lock().unwrap().len() < 2 || heard_first.lock().unwrap().len() < 2 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), twice)
        .await
        .unwrap();
    assert_eq!(heard_first.lock().unwrap()[1], before);
    assert_eq!(restarted.shutdown(Duration::from_secs(10)).await, []);
}

#[tokio::test]
async fn a_state_file_that_cannot_be_written_delays_no_alert() {
    let directory = tempfile::tempdir().unwrap();
    let metrics = Arc::new(Metrics::new().unwrap());
    let (peer, heard) = alertmanager().await;
    let options = AlertmanagerOptions {
        delivery: samples::delivery(vec![peer]),
        node: "node-1".to_owned(),
        state_directory: Some(directory.path().join("missing")),
    };
    let sinks = pushing(options, &metrics);
    sinks.emit(&samples::state_record());
    assert_eq!(sinks.shutdown(Duration::from_secs(10)).await, []);
    assert_eq!(heard.lock().unwrap().len(), 1);
    assert!(value(&metrics, "layerwatch_sink_errors_total{sink=\"alertmanager\"}") > 0);
}
