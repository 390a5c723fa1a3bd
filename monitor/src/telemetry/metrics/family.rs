//! A metric with a member for each value of a closed set, made when the program starts.
//!
//! Invariant: each member exists from the start with the value 0 (a counter born at 1 is invisible to `increase()`), and
//! is found by its typed key: no text is compared and nothing can be missing. Used by the parts of `metrics`.

use std::collections::BTreeMap;

use prometheus::core::Collector;
use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use super::MetricsError;
use crate::telemetry::labels::Label;

/// One or two labels.
pub(super) trait Key: Copy + Ord {
    fn names() -> Vec<&'static str>;
    fn values(self) -> Vec<&'static str>;
}

/// Marks a single label as a key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct One<A>(pub(super) A);

impl<A: Label> Key for One<A> {
    fn names() -> Vec<&'static str> {
        vec![A::NAME]
    }
    fn values(self) -> Vec<&'static str> {
        vec![self.0.value()]
    }
}

impl<A: Label, B: Label> Key for (A, B) {
    fn names() -> Vec<&'static str> {
        vec![A::NAME, B::NAME]
    }
    fn values(self) -> Vec<&'static str> {
        vec![self.0.value(), self.1.value()]
    }
}

/// All values of one label.
pub(super) fn each<A: Label>() -> impl Iterator<Item = One<A>> {
    A::VALUES.iter().copied().map(One)
}

/// All pairs of two labels.
pub(super) fn pairs<A: Label, B: Label>() -> impl Iterator<Item = (A, B)> {
    A::VALUES
        .iter()
        .flat_map(|a| B::VALUES.iter().map(move |b| (*a, *b)))
}

/// The members of one metric.
#[derive(Debug)]
pub(super) struct Family<K, M> {
    members: BTreeMap<K, M>,
}

impl<K: Key> Family<K, IntCounter> {
    pub(super) fn counters(
        registry: &Registry,
        name: &'static str,
        help: &str,
        keys: impl Iterator<Item = K>,
    ) -> Result<Self, MetricsError> {
        let vector = counter_vector(registry, name, help, &K::names())?;
        let members = keys
            .map(|key| Ok((key, vector.get_metric_with_label_values(&key.values())?)))
            .collect::<Result<_, prometheus::Error>>()
            .map_err(|source| MetricsError::Member { name, source })?;
        Ok(Self { members })
    }

    pub(super) fn add(&self, key: K, count: u64) {
        if let Some(counter) = self.members.get(&key) {
            counter.inc_by(count);
        }
    }
}

impl<K: Key> Family<K, IntGauge> {
    pub(super) fn gauges(
        registry: &Registry,
        name: &'static str,
        help: &str,
        keys: impl Iterator<Item = K>,
    ) -> Result<Self, MetricsError> {
        let vector = gauge_vector(registry, name, help, &K::names())?;
        let members = keys
            .map(|key| Ok((key, vector.get_metric_with_label_values(&key.values())?)))
            .collect::<Result<_, prometheus::Error>>()
            .map_err(|source| MetricsError::Member { name, source })?;
        Ok(Self { members })
    }

    pub(super) fn set(&self, key: K, value: u64) {
        if let Some(gauge) = self.members.get(&key) {
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        }
    }
}

/// A registered vector of counters.
pub(super) fn counter_vector(
    registry: &Registry,
    name: &'static str,
    help: &str,
    labels: &[&str],
) -> Result<IntCounterVec, MetricsError> {
    register(registry, name, IntCounterVec::new(Opts::new(name, help), labels))
}

/// A registered vector of gauges.
pub(super) fn gauge_vector(
    registry: &Registry,
    name: &'static str,
    help: &str,
    labels: &[&str],
) -> Result<IntGaugeVec, MetricsError> {
    register(registry, name, IntGaugeVec::new(Opts::new(name, help), labels))
}

/// Registers a metric and hands it back.
pub(super) fn register<C: Collector + Clone + 'static>(
    registry: &Registry,
    name: &'static str,
    metric: prometheus::Result<C>,
) -> Result<C, MetricsError> {
    let metric = metric.map_err(|source| MetricsError::Define { name, source })?;
    registry
        .register(Box::new(metric.clone()))
        .map_err(|source| MetricsError::Register { name, source })?;
    Ok(metric)
}
