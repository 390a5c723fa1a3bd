//! From the configuration to running sinks.
//!
//! Invariant: a sink that cannot be started is an error at start, not a silence later. Called by `app`.

use std::sync::Arc;

use anyhow::{Context, Result};

use super::now;
use crate::config::{self, Config};
use crate::sinks::alertmanager::{Auth, Tls};
use crate::sinks::{Alertmanager, AlertmanagerOptions, JsonLog, JsonLogOptions, LogTarget, Sinks, Web};
use crate::telemetry::Metrics;

/// The sinks that the configuration asks for, started.
pub(super) fn sinks(config: &Config, metrics: Arc<Metrics>) -> Result<Sinks> {
    let mut sinks = Sinks::new(metrics);
    let target = match &config.log_sink.target {
        config::LogTarget::Stdout => LogTarget::Stdout,
        config::LogTarget::File(path) => LogTarget::File(path.clone()),
    };
    sinks
        .add_json_log(JsonLog(JsonLogOptions {
            target,
            accesses: config.log_sink.verbose,
        }))
        .context("start the JSON log")?;
    if let Some(alertmanager) = &config.alertmanager {
        let options = alertmanager_options(config, alertmanager)?;
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

fn alertmanager_options(config: &Config, section: &config::Alertmanager) -> Result<AlertmanagerOptions> {
    let peers = AlertmanagerOptions::parse_peers(section.urls.iter().map(reqwest::Url::as_str))
        .context("read the addresses of the Alertmanagers")?;
    let identity = section.client_certificate.as_ref();
    Ok(AlertmanagerOptions {
        external_labels: section.external_labels.clone(),
        hold: section.hold,
        resend: section.resend,
        timeout: section.timeout,
        queue: section.queue,
        state_directory: Some(config.state_directory.clone()),
        auth: match &section.authentication {
            None => Auth::None,
            Some(config::Authentication::Bearer(token_file)) => Auth::Bearer {
                token_file: token_file.clone(),
            },
            Some(config::Authentication::Basic {
                username,
                password_file,
            }) => Auth::Basic {
                user: username.clone(),
                password_file: password_file.clone(),
            },
        },
        tls: Tls {
            ca_file: section.ca_file.clone(),
            cert_file: identity.map(|identity| identity.cert_file.clone()),
            key_file: identity.map(|identity| identity.key_file.clone()),
        },
        ..AlertmanagerOptions::new(peers, &config.node_name)
    })
}

/// A number from 0 to 1, to spread retries; the middle if the system has no random bytes.
fn random_fraction() -> f64 {
    let mut bytes = [0; 4];
    match rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()) {
        Ok(_) => f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX),
        Err(_) => 0.5,
    }
}
