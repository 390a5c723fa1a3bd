//! The rules of Alertmanager's keys.
//!
//! Invariant: delivery that is switched on has a peer, and options that need each other are there together; what is
//! switched off is checked all the same, so that switching it on brings no surprise. Called by `resolve`.

use std::collections::BTreeMap;

use super::ConfigError;
use super::raw::RawAlertmanager;
use super::resolve::Rules;
use super::resolved::{Alertmanager, Authentication, ClientCertificate};

impl Rules<'_> {
    pub(super) fn alertmanager(&self, raw: RawAlertmanager) -> Result<Option<Alertmanager>, ConfigError> {
        let urls = raw
            .urls
            .iter()
            .map(|url| self.url(url))
            .collect::<Result<Vec<_>, _>>()?;
        if raw.enabled && urls.is_empty() {
            return Err(self.broken(
                "alertmanager.urls",
                "it is empty, and alertmanager.enabled is true",
            ));
        }
        let [timeout, resend, hold] = [
            ("alertmanager.timeout", &raw.timeout),
            ("alertmanager.resend", &raw.resend),
            ("alertmanager.hold", &raw.hold),
        ]
        .map(|(key, text)| self.duration(key, text));
        let (timeout, resend, hold) = (timeout?, resend?, hold?);
        if hold <= resend {
            return Err(self.broken("alertmanager.hold", "it must be longer than alertmanager.resend"));
        }
        let queue = usize::try_from(raw.queue)
            .ok()
            .filter(|queue| (1..=1_000_000).contains(queue));
        let alertmanager = Alertmanager {
            urls,
            timeout,
            resend,
            hold,
            queue: queue
                .ok_or_else(|| self.broken("alertmanager.queue", "it must be between 1 and 1000000"))?,
            ca_file: self.path("alertmanager.ca_file", &raw.ca_file)?,
            client_certificate: self.client_certificate(&raw)?,
            authentication: self.authentication(&raw)?,
            external_labels: self.labels(raw.external_labels)?,
        };
        Ok(raw.enabled.then_some(alertmanager))
    }

    fn url(&self, text: &str) -> Result<reqwest::Url, ConfigError> {
        let key = "alertmanager.urls";
        let url: reqwest::Url = self.parsed(key, "an entry is no URL", text)?;
        let rule = if !matches!(url.scheme(), "http" | "https") {
            "an entry is neither http nor https"
        } else if !url.username().is_empty() || url.password().is_some() {
            "an entry holds credentials; use alertmanager.basic or alertmanager.bearer_file"
        } else if url.query().is_some() || url.fragment().is_some() {
            "an entry has a query or a fragment"
        } else {
            return Ok(url);
        };
        Err(self.broken(key, rule))
    }

    fn client_certificate(&self, raw: &RawAlertmanager) -> Result<Option<ClientCertificate>, ConfigError> {
        let cert_file = self.path("alertmanager.cert_file", &raw.cert_file)?;
        let key_file = self.path("alertmanager.key_file", &raw.key_file)?;
        match (cert_file, key_file) {
            (None, None) => Ok(None),
            (Some(cert_file), Some(key_file)) => Ok(Some(ClientCertificate { cert_file, key_file })),
            (Some(_), None) => Err(self.broken("alertmanager.cert_file", "alertmanager.key_file is missing")),
            (None, Some(_)) => Err(self.broken("alertmanager.key_file", "alertmanager.cert_file is missing")),
        }
    }

    fn authentication(&self, raw: &RawAlertmanager) -> Result<Option<Authentication>, ConfigError> {
        let bearer = self.path("alertmanager.bearer_file", &raw.bearer_file)?;
        let password_file = self.path("alertmanager.basic.password_file", &raw.basic.password_file)?;
        let username = (!raw.basic.username.is_empty()).then(|| raw.basic.username.clone());
        match (bearer, username, password_file) {
            (None, None, None) => Ok(None),
            (Some(file), None, None) => Ok(Some(Authentication::Bearer(file))),
            (None, Some(username), Some(password_file)) => Ok(Some(Authentication::Basic {
                username,
                password_file,
            })),
            (None, Some(_), None) => Err(self.broken(
                "alertmanager.basic.username",
                "alertmanager.basic.password_file is missing",
            )),
            (None, None, Some(_)) => Err(self.broken(
                "alertmanager.basic.password_file",
                "alertmanager.basic.username is missing",
            )),
            (Some(_), _, _) => Err(self.broken(
                "alertmanager.bearer_file",
                "a token and alertmanager.basic cannot be used together",
            )),
        }
    }

    /// Label names as Prometheus has them; names that begin with `__` are its own.
    fn labels(&self, labels: BTreeMap<String, String>) -> Result<BTreeMap<String, String>, ConfigError> {
        let is_name = |name: &str| {
            name.bytes()
                .next()
                .is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
                && !name.starts_with("__")
        };
        if labels.keys().all(|name| is_name(name)) {
            Ok(labels)
        } else {
            Err(self.broken(
                "alertmanager.external_labels",
                "a name is no label name of Prometheus",
            ))
        }
    }
}
