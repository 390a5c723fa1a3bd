//! From the configuration to running sinks.
//!
//! Invariant: a sink that cannot be started is an error at start, not a silence later. Called by `app`.

use std::sync::Arc;

use anyhow::{Context, Result};

use super::now;
use crate::config::Config;
use crate::sinks::{Alertmanager, AlertmanagerOptions, JsonLog, Sinks, Web};
use crate::telemetry::Metrics;

/// The sinks that the configuration asks for, started.
pub(super) fn sinks(config: &Config, metrics: Arc<Metrics>) -> Result<Sinks> {
    let mut sinks = Sinks::new(metrics);
    sinks
        .add_json_log(JsonLog(config.log_sink.clone()))
        .context("start the JSON log")?;
    if let Some(alertmanager) = &config.alertmanager {
        let options = AlertmanagerOptions {
            delivery: alertmanager.clone(),
            node: config.node_name.clone(),
            state_directory: Some(config.state_directory.clone()),
        };
        let random = Arc::new(random_fraction);
        let alertmanager =
            Alertmanager::new(options, Arc::new(now), random).context("reach the Alertmanagers")?;
        sinks
            .add_alertmanager(alertmanager)
            .context("start the delivery to Alertmanager")?;
    }
    Ok(sinks)
}

/// The web servers that the configuration asks for, bound.
pub(super) async fn web(config: &Config) -> Result<Vec<Web>> {
    let mut servers = Vec::new();
    for address in &config.web.listen {
        servers.push(
            Web::bind(*address)
                .await
                .with_context(|| format!("listen on {address}"))?,
        );
    }
    Ok(servers)
}

/// A number from 0 to 1, to spread retries; the middle if the system has no random bytes.
fn random_fraction() -> f64 {
    let mut bytes = [0; 4];
    match rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()) {
        Ok(_) => f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX),
        Err(_) => 0.5,
    }
}
