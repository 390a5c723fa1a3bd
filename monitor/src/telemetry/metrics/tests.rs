//! The registry: how many series, what moves them, and docs/metrics.md.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use layerwatch_ebpf::Counters;

use super::*;
use crate::telemetry::labels::Label;

fn full() -> Metrics {
    let metrics = Metrics::new().unwrap();
    let tier_b = [
        Hook::Open,
        Hook::Rename,
        Hook::Map,
        Hook::Read,
        Hook::Receive,
        Hook::Process,
    ];
    metrics.kernel_attached(Tier::B, &tier_b);
    metrics.peer(0).unwrap();
    metrics
}

/// The value of one series, named as it is printed.
fn value(metrics: &Metrics, series: &str) -> Option<f64> {
    let text = metrics.encode().unwrap();
    let line = text.lines().find(|line| {
        line.strip_prefix(series)
            .is_some_and(|rest| rest.starts_with(' '))
    })?;
    line.rsplit_once(' ')?.1.parse().ok()
}

fn series(metrics: &Metrics) -> BTreeSet<String> {
    let text = metrics.encode().unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| Some(line.rsplit_once(' ')?.0.to_owned()))
        .collect()
}

#[test]
fn the_largest_configuration_stays_below_200_series() {
    let count = series(&full()).len();
    assert!((150..200).contains(&count), "{count} series");
}

#[test]
fn no_event_makes_a_new_series() {
    let metrics = full();
    let before = series(&metrics);
    for kind in AlertKind::VALUES {
        metrics.alert(*kind, state_severity(*kind).unwrap_or(Severity::Info));
    }
    for (stage, outcome) in family::pairs() {
        metrics.stage(stage, outcome, 1);
    }
    for reason in DropReason::VALUES {
        metrics.stage_dropped(*reason, 1);
    }
    metrics.sensitive_reads(Severity::Info, Category::Generic, 1);
    metrics.canary_seen(jiff::Timestamp::UNIX_EPOCH, Duration::from_millis(3));
    metrics.knowledge_built(
        jiff::Timestamp::UNIX_EPOCH,
        Duration::from_secs(2),
        &Inventory::default(),
    );
    metrics.peer(0).unwrap().sent.inc();
    assert_eq!(series(&metrics), before);
}

#[test]
fn kernel_sums_become_counters_that_never_fall() {
    let metrics = full();
    let seen = "layerwatch_kernel_events_total{hook=\"open\",outcome=\"ring-full\"}";
    let gap = "layerwatch_kernel_incomplete_total{hook=\"open\",reason=\"read-error\"}";
    // (the kernel's sum, what the counter shows): the third sum is that of programs loaded anew.
    for (sum, shown) in [(0, 0.0), (5, 5.0), (2, 7.0), (2, 7.0), (10, 15.0)] {
        let sums = Counters {
            ring_full: sum,
            read_error: sum,
            ..Counters::default()
        };
        metrics.kernel_counters(Hook::Open, &sums, 0);
        assert_eq!(
            (value(&metrics, seen), value(&metrics, gap)),
            (Some(shown), Some(shown)),
            "sum {sum}"
        );
    }
}

#[test]
fn an_event_changes_its_own_series() {
    let metrics = full();
    metrics.alert(AlertKind::MonitorBlind, Severity::Low);
    metrics.stage_dropped(DropReason::FrameVersion, 3);
    metrics.stage(Stage::Correlate, StageOutcome::Parked, 2);
    metrics.hook_attached(Hook::Map, false);
    metrics.config_loaded(Some("2026-01-02T03:04:05.5Z".parse().unwrap()));
    let inventory = Inventory {
        stores: [(crate::model::Driver::Overlay, 2)].into(),
        unscanned: 3,
        provenance: [(crate::model::Provenance::Violates, 1)].into(),
        ..Inventory::default()
    };
    metrics.knowledge_built(
        "2026-01-02T03:04:05Z".parse().unwrap(),
        Duration::from_secs(2),
        &inventory,
    );
    for (series, expected) in [
        (
            "layerwatch_alerts_total{alert=\"MonitorBlind\",severity=\"critical\"}",
            1.0,
        ),
        (
            "layerwatch_stage_dropped_total{reason=\"frame-version\",stage=\"decode\"}",
            3.0,
        ),
        (
            "layerwatch_stage_events_total{outcome=\"dropped\",stage=\"decode\"}",
            3.0,
        ),
        (
            "layerwatch_stage_events_total{outcome=\"parked\",stage=\"correlate\"}",
            2.0,
        ),
        ("layerwatch_probe_attached{hook=\"map\"}", 0.0),
        ("layerwatch_probe_attached{hook=\"rename\"}", 1.0),
        ("layerwatch_tier_info{tier=\"B\"}", 1.0),
        ("layerwatch_stores{driver=\"overlay\"}", 2.0),
        ("layerwatch_unscanned_layers", 3.0),
        ("layerwatch_stores{driver=\"overlay2\"}", 0.0),
        ("layerwatch_image_names{provenance=\"violates\"}", 1.0),
        (
            "layerwatch_knowledge_build_duration_seconds_bucket{le=\"10\"}",
            1.0,
        ),
        (
            "layerwatch_knowledge_last_success_timestamp_seconds",
            1_767_323_045.0,
        ),
        (
            "layerwatch_config_last_reload_success_timestamp_seconds",
            1_767_323_045.5,
        ),
        ("layerwatch_config_last_reload_successful", 1.0),
    ] {
        assert_eq!(value(&metrics, series), Some(expected), "{series}");
    }
}

#[test]
fn a_new_tier_replaces_the_old_one() {
    let metrics = full();
    metrics.kernel_attached(Tier::D, &[Hook::Open]);
    assert_eq!(value(&metrics, "layerwatch_tier_info{tier=\"B\"}"), None);
    assert_eq!(value(&metrics, "layerwatch_tier_info{tier=\"D\"}"), Some(1.0));
}

#[test]
fn the_reference_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics.md");
    let made = reference().unwrap();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    let kept = crate::bounded::read_text(&path, 1 << 20).unwrap();
    assert_eq!(kept, made, "run this test with UPDATE_DOCS=1");
}
