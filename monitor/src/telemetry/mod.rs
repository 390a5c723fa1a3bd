//! What the agent says about itself: metrics, log lines, readiness, health.
//!
//! Invariant: a happening is one item that writes the log line and moves the metric, so that the two cannot disagree.
//! Used by every module that does I/O; the pure stages return what happened and their callers report it.

pub mod happenings;
mod health;
mod labels;
mod metrics;
mod notify;
mod readiness;

pub use health::{Health, PATIENCE};
pub use labels::{
    DropReason, Hook, KernelGap, KernelOutcome, KnowledgePart, Label, SinkName, Stage, StageOutcome, Tier,
};
pub(crate) use metrics::state_severity;
pub use metrics::{Inventory, Metrics, MetricsError, PeerMetrics, reference};
pub use notify::{Notice, Notifier, NotifyError, watchdog_interval};
pub use readiness::{Condition, Readiness};
