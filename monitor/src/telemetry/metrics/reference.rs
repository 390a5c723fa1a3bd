//! docs/metrics.md, made from the registry itself.
//!
//! Invariant: the page lists what `/metrics` serves and nothing else, because it is made from the same text. Used by
//! `layerwatch metrics` and by the test that compares the page in the repository.

use std::collections::{BTreeMap, BTreeSet};

use prometheus::proto::MetricType;

use super::{Metrics, MetricsError};
use crate::telemetry::labels::{Hook, Label, Tier};

const HEAD: &str = "\
# Metrics

Made from the registry by the test `the_reference_is_current`; run it with `UPDATE_DOCS=1` to write this page anew.

Every series exists from the start with the value 0 (those of a hook from its attachment on), so `increase()` sees the
first event. Labels come from closed sets: no path, user, image name or address is ever a label. Label `peer` is the
place of the Alertmanager in the configuration, from 0. In `layerwatch_kernel_events_total` the outcomes of a hook add up
to what it saw.

";

/// The page, with one Alertmanager and every hook.
pub fn reference() -> Result<String, MetricsError> {
    let metrics = Metrics::new()?;
    metrics.kernel_attached(Tier::B, Hook::VALUES);
    metrics.peer(0)?;
    let mut page = HEAD.to_owned();
    page.push_str("| name | type | labels | meaning |\n|---|---|---|---|\n");
    for family in metrics.registry.gather() {
        let mut labels: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for metric in family.get_metric() {
            for pair in metric.get_label() {
                labels
                    .entry(pair.name().to_owned())
                    .or_default()
                    .insert(pair.value().to_owned());
            }
        }
        let kind = match family.get_field_type() {
            MetricType::COUNTER => "counter",
            MetricType::GAUGE => "gauge",
            MetricType::HISTOGRAM => "histogram",
            MetricType::SUMMARY | MetricType::UNTYPED => "untyped",
        };
        let labels = describe(&labels);
        page.extend([
            "| `",
            family.name(),
            "` | ",
            kind,
            " | ",
            &labels,
            " | ",
            family.help(),
            " |\n",
        ]);
    }
    Ok(page)
}

fn describe(labels: &BTreeMap<String, BTreeSet<String>>) -> String {
    let mut shown = Vec::new();
    for (name, values) in labels {
        let fixed = !matches!(name.as_str(), "version" | "revision");
        let values = values.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        shown.push(if fixed {
            format!("`{name}`: {values}")
        } else {
            format!("`{name}`")
        });
    }
    shown.join("; ")
}
