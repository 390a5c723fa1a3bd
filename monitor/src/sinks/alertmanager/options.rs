//! What can be said about Alertmanagers in the configuration.
//!
//! Invariant: a checked set of options has at least one peer, addresses without credentials in them, and label names that
//! every Alertmanager accepts. Secrets are named by file and read when they are used. Made by `config`.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Why the options cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OptionsError {
    /// The address is no URL.
    #[error("parse the address of Alertmanager {place}")]
    Address {
        /// Which of the list, from 1 (the address itself may hold a password).
        place: usize,
        /// What is wrong with it.
        #[source]
        source: AddressError,
    },
    /// There is nobody to send to.
    #[error("no Alertmanager is configured")]
    NoPeer,
    /// More peers than there are labels for.
    #[error("{count} Alertmanagers are configured, at most 8 are possible")]
    TooManyPeers {
        /// How many.
        count: usize,
    },
    /// A label that Alertmanager refuses.
    #[error("external label {name:?} is not of the form [a-zA-Z_][a-zA-Z0-9_]*")]
    LabelName {
        /// The label.
        name: String,
    },
    /// A certificate without its key, or the other way round.
    #[error("client certificate and client key belong together: only one is configured")]
    HalfIdentity,
}

/// What is wrong with an address.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// Not a URL.
    #[error("not a URL: {0}")]
    Syntax(String),
    /// Another scheme than http or https.
    #[error("scheme {0:?} is neither http nor https")]
    Scheme(String),
    /// A user or a password in the address.
    #[error("credentials belong in files, not in the address")]
    Credentials,
    /// A query or a fragment.
    #[error("an address has no query and no fragment")]
    Query,
}

/// The address of one Alertmanager, such as `https://am-1:9093` or `https://example.com/alertmanager/`.
#[derive(Clone, PartialEq, Eq)]
pub struct PeerUrl(reqwest::Url);

impl PeerUrl {
    /// Parses an address.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let url = reqwest::Url::parse(text).map_err(|error| AddressError::Syntax(error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(AddressError::Scheme(url.scheme().to_owned()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(AddressError::Credentials);
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(AddressError::Query);
        }
        Ok(Self(url))
    }

    /// Where alerts are posted (Alertmanager API v2, `POST /alerts`).
    pub(super) fn alerts(&self) -> reqwest::Url {
        let mut url = self.0.clone();
        let path = format!("{}/api/v2/alerts", url.path().trim_end_matches('/'));
        url.set_path(&path);
        url
    }
}

impl fmt::Debug for PeerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

/// How the agent proves who it is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Auth {
    /// It does not.
    #[default]
    None,
    /// `Authorization: Bearer`, the token read from a file for each request, so that it may be renewed.
    Bearer {
        /// The file.
        token_file: PathBuf,
    },
    /// `Authorization: Basic`, the password read from a file for each request.
    Basic {
        /// The user.
        user: String,
        /// The file.
        password_file: PathBuf,
    },
}

/// Certificates, PEM.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Tls {
    /// The only authorities to trust; without it, the system's.
    pub ca_file: Option<PathBuf>,
    /// The agent's certificate.
    pub cert_file: Option<PathBuf>,
    /// Its key.
    pub key_file: Option<PathBuf>,
}

/// All about Alertmanagers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AlertmanagerOptions {
    /// Every peer of the cluster; never a load balancer in front of them, for peers do not share alerts.
    pub peers: Vec<PeerUrl>,
    /// This host's name, the label `instance`, the same that Prometheus gives its series.
    pub node: String,
    /// Labels on every alert; they never replace the agent's own.
    pub external_labels: BTreeMap<String, String>,
    /// How long an alert lasts after its last read.
    pub hold: Duration,
    /// How often an active alert is sent again.
    pub resend: Duration,
    /// How long a request may take.
    pub timeout: Duration,
    /// How many alerts may wait for one peer.
    pub queue: usize,
    /// Where active alerts are kept over a restart; without it they are not.
    pub state_directory: Option<PathBuf>,
    /// How the agent proves who it is.
    pub auth: Auth,
    /// Certificates.
    pub tls: Tls,
}

impl AlertmanagerOptions {
    /// The defaults: hold 15 minutes, send again each minute, 10 seconds per request, 10 000 alerts per queue.
    pub fn new(peers: Vec<PeerUrl>, node: &str) -> Self {
        Self {
            peers,
            node: node.to_owned(),
            external_labels: BTreeMap::new(),
            hold: Duration::from_mins(15),
            resend: Duration::from_mins(1),
            timeout: Duration::from_secs(10),
            queue: 10_000,
            state_directory: None,
            auth: Auth::None,
            tls: Tls::default(),
        }
    }

    /// The addresses of a list, each with its place in an error.
    pub fn parse_peers<'a>(
        addresses: impl IntoIterator<Item = &'a str>,
    ) -> Result<Vec<PeerUrl>, OptionsError> {
        let numbered = (1..).zip(addresses);
        numbered
            .map(|(place, text)| {
                PeerUrl::parse(text).map_err(|source| OptionsError::Address { place, source })
            })
            .collect()
    }

    pub(super) fn check(&self) -> Result<(), OptionsError> {
        if self.peers.is_empty() {
            return Err(OptionsError::NoPeer);
        }
        if self.peers.len() > 8 {
            return Err(OptionsError::TooManyPeers {
                count: self.peers.len(),
            });
        }
        if let Some(name) = self.external_labels.keys().find(|name| !is_label_name(name)) {
            return Err(OptionsError::LabelName { name: name.clone() });
        }
        if self.tls.cert_file.is_some() != self.tls.key_file.is_some() {
            return Err(OptionsError::HalfIdentity);
        }
        Ok(())
    }
}

/// `[a-zA-Z_][a-zA-Z0-9_]*` (Prometheus data model; newer Alertmanagers accept more).
fn is_label_name(name: &str) -> bool {
    let mut characters = name.chars();
    characters
        .next()
        .is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && characters.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_becomes_the_place_to_post_to() {
        for (text, posted) in [
            (
                "http://127.0.0.1:9093",
                Some("http://127.0.0.1:9093/api/v2/alerts"),
            ),
            (
                "https://am.example/prefix/",
                Some("https://am.example/prefix/api/v2/alerts"),
            ),
            ("http://[::1]:9093/", Some("http://[::1]:9093/api/v2/alerts")),
            ("ftp://am.example", None),
            ("http://user:secret@am.example", None),
            ("http://am.example/?a=b", None),
            ("am.example:9093", None),
            ("", None),
        ] {
            let parsed = PeerUrl::parse(text).ok().map(|peer| peer.alerts().to_string());
            assert_eq!(parsed.as_deref(), posted, "{text}");
        }
    }

    #[test]
    fn a_password_in_an_address_is_not_repeated() {
        let error = AlertmanagerOptions::parse_peers(["http://a", "http://u:hunter2@b"]).unwrap_err();
        let shown = format!("{error:?} {}", crate::telemetry::happenings::chain(&error));
        assert!(shown.contains("Alertmanager 2: credentials"), "{shown}");
        assert!(!shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn unusable_options_are_refused() {
        let peers = |count| vec![PeerUrl::parse("http://a").unwrap(); count];
        let good = AlertmanagerOptions::new(peers(2), "node");
        let labelled = |name: &str| AlertmanagerOptions {
            external_labels: [(name.to_owned(), "x".to_owned())].into(),
            ..good.clone()
        };
        let half = Tls {
            cert_file: Some("c.pem".into()),
            ..Tls::default()
        };
        for (options, error) in [
            (good.clone(), None),
            (labelled("cluster_1"), None),
            (
                labelled("1st"),
                Some("external label \"1st\" is not of the form [a-zA-Z_][a-zA-Z0-9_]*"),
            ),
            (
                labelled("a.b"),
                Some("external label \"a.b\" is not of the form [a-zA-Z_][a-zA-Z0-9_]*"),
            ),
            (
                AlertmanagerOptions::new(peers(0), "n"),
                Some("no Alertmanager is configured"),
            ),
            (
                AlertmanagerOptions::new(peers(9), "n"),
                Some("9 Alertmanagers are configured, at most 8 are possible"),
            ),
            (
                AlertmanagerOptions {
                    tls: half,
                    ..good.clone()
                },
                Some("client certificate and client key belong together: only one is configured"),
            ),
        ] {
            assert_eq!(options.check().err().map(|e| e.to_string()).as_deref(), error);
        }
    }
}
