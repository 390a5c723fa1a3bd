//! Records for the tests of this module: the golden files of the integration tests, read back.

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
