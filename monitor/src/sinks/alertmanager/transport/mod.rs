//! One request to one Alertmanager.
//!
//! Invariant: an answer is one of accepted, refused, failed; nothing of a secret, of the address or more than a short,
//! escaped piece of the body gets into the text. No redirect is followed and no proxy is asked: the alerts name files
//! and users. Used by `peer`.

use std::future::Future;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{StatusCode, Url};

use super::active::Post;
use crate::bounded::{self, BoundedError};
use crate::config::{self, Authentication, ClientCertificate};
use crate::model::text::printable;
use crate::telemetry::happenings::chain;

/// The largest certificate, key or secret file.
const FILE_LIMIT: u64 = 1 << 20;
/// How much of an error's body is shown.
const BODY_SHOWN: usize = 300;

/// Why no client could be made.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// A file could not be read.
    #[error("read {what}")]
    File {
        /// Which.
        what: &'static str,
        /// Why.
        #[source]
        source: BoundedError,
    },
    /// A file is not the PEM it should be.
    #[error("parse {what} {}", path.display())]
    Pem {
        /// Which.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// The client could not be made.
    #[error("make an HTTP client")]
    Client(#[source] reqwest::Error),
}

/// What came back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Answer {
    Accepted,
    /// Refused for what it is.
    Rejected(String),
    /// Not answered, or to be repeated.
    Failed(String),
}

/// A way to one peer.
pub(super) trait Transport: Send + Sync + 'static {
    fn post(&self, posts: &[Post]) -> impl Future<Output = Answer> + Send;
}

/// The real one.
pub(super) struct HttpPeer {
    client: reqwest::Client,
    url: Url,
    authentication: Option<Authentication>,
}

impl HttpPeer {
    pub(super) fn new(url: &Url, options: &config::Alertmanager) -> Result<Self, TransportError> {
        let builder = reqwest::Client::builder()
            .timeout(options.timeout)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .user_agent(concat!("layerwatch/", env!("CARGO_PKG_VERSION")));
        let client = with_certificates(builder, options)?
            .build()
            .map_err(TransportError::Client)?;
        Ok(Self {
            client,
            url: alerts(url),
            authentication: options.authentication.clone(),
        })
    }

    async fn send(&self, posts: &[Post]) -> Result<Answer, String> {
        let mut request = self.client.post(self.url.clone()).json(posts);
        if let Some(value) = authorization(self.authentication.as_ref())? {
            request = request.header(AUTHORIZATION, value);
        }
        let response = request
            .send()
            .await
            .map_err(|error| chain(&error.without_url()))?;
        let status = response.status();
        if status.is_success() {
            return Ok(Answer::Accepted);
        }
        let text = format!("{status}: {}", beginning(response).await);
        Ok(if is_final(status) {
            Answer::Rejected(text)
        } else {
            Answer::Failed(text)
        })
    }
}

impl Transport for HttpPeer {
    async fn post(&self, posts: &[Post]) -> Answer {
        self.send(posts).await.unwrap_or_else(Answer::Failed)
    }
}

/// Where alerts are posted (Alertmanager API v2, `POST /alerts`), below the path that the peer's address has.
fn alerts(peer: &Url) -> Url {
    let mut url = peer.clone();
    let path = format!("{}/api/v2/alerts", url.path().trim_end_matches('/'));
    url.set_path(&path);
    url
}

/// Whether the same request would get the same answer again.
fn is_final(status: StatusCode) -> bool {
    let again = [StatusCode::TOO_MANY_REQUESTS, StatusCode::REQUEST_TIMEOUT];
    !status.is_server_error() && !again.contains(&status)
}

async fn beginning(mut response: reqwest::Response) -> String {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        body.extend_from_slice(&chunk);
        if body.len() >= BODY_SHOWN {
            break;
        }
    }
    body.truncate(BODY_SHOWN);
    printable(&body).to_string()
}

fn with_certificates(
    mut builder: reqwest::ClientBuilder,
    options: &config::Alertmanager,
) -> Result<reqwest::ClientBuilder, TransportError> {
    if let Some(path) = &options.ca_file {
        let what = "CA certificates";
        let pem = read(path, what)?;
        let roots =
            reqwest::Certificate::from_pem_bundle(&pem).map_err(|source| pem_error(what, path, source))?;
        builder = builder.tls_built_in_root_certs(false);
        for root in roots {
            builder = builder.add_root_certificate(root);
        }
    }
    if let Some(ClientCertificate { cert_file, key_file }) = &options.client_certificate {
        let mut pem = read(cert_file, "client certificate")?;
        pem.push(b'\n');
        pem.extend(read(key_file, "client key")?);
        let what = "client certificate and key";
        let identity =
            reqwest::Identity::from_pem(&pem).map_err(|source| pem_error(what, cert_file, source))?;
        builder = builder.identity(identity);
    }
    Ok(builder)
}

fn read(path: &Path, what: &'static str) -> Result<Vec<u8>, TransportError> {
    bounded::read(path, FILE_LIMIT).map_err(|source| TransportError::File { what, source })
}

fn pem_error(what: &'static str, path: &Path, source: reqwest::Error) -> TransportError {
    let path = path.to_owned();
    TransportError::Pem { what, path, source }
}

/// The header's value, from the files as they are now.
fn authorization(authentication: Option<&Authentication>) -> Result<Option<HeaderValue>, String> {
    let secret = |path: &Path| bounded::read_text(path, FILE_LIMIT).map_err(|error| chain(&error));
    let text = match authentication {
        None => return Ok(None),
        Some(Authentication::Bearer(file)) => format!("Bearer {}", secret(file)?.trim()),
        Some(Authentication::Basic {
            username: user,
            password_file,
        }) => {
            let pair = format!("{user}:{}", secret(password_file)?.trim_end_matches(['\r', '\n']));
            format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
        }
    };
    let mut value = HeaderValue::from_str(&text)
        .map_err(|_secret| "the secret's file holds characters that no header may have".to_owned())?;
    value.set_sensitive(true);
    Ok(Some(value))
}

#[cfg(test)]
mod tests;
