//! Records for the tests of this module: the golden files of the integration tests, read back.

use std::time::Duration;

use crate::config;
use crate::model::{Alert, Record, RecordKind, StateReport};

fn record(text: &str) -> Record {
    serde_json::from_str(text).unwrap()
}

pub(crate) fn alert_record() -> Record {
    record(include_str!(
        "../../../tests/fixtures/records/sensitive-layer-read.json"
    ))
}

pub(crate) fn access_record() -> Record {
    record(include_str!("../../../tests/fixtures/records/access.json"))
}

pub(crate) fn pull_record() -> Record {
    record(include_str!("../../../tests/fixtures/records/pull.json"))
}

pub(crate) fn state_record() -> Record {
    record(include_str!("../../../tests/fixtures/records/monitor-blind.json"))
}

pub(crate) fn alert() -> Alert {
    let RecordKind::Alert(alert) = alert_record().body else {
        panic!("the golden file of an alert is none");
    };
    alert
}

pub(crate) fn state() -> StateReport {
    let RecordKind::State(state) = state_record().body else {
        panic!("the golden file of a state is none");
    };
    state
}

pub(crate) fn exposed() -> StateReport {
    let text = include_str!("../../../tests/fixtures/records/sensitive-layer-exposed.json");
    let RecordKind::State(state) = record(text).body else {
        panic!("the golden file of an exposure is none");
    };
    state
}

/// The configuration's defaults for these peers.
pub(crate) fn delivery(urls: Vec<reqwest::Url>) -> config::Alertmanager {
    config::Alertmanager {
        urls,
        timeout: Duration::from_secs(10),
        resend: Duration::from_mins(1),
        hold: Duration::from_mins(15),
        queue: 10_000,
        ca_file: None,
        client_certificate: None,
        authentication: None,
        external_labels: [].into(),
    }
}
