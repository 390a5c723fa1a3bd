//! The agent's web page: `/metrics`, `/-/healthy`, `/-/ready` and a landing page.
//!
//! Invariant: nothing that is served names a path, a user or an image. At most [`CONNECTIONS`] connections, each with a
//! time limit for its request head and for its life, so that idle clients cannot use up the agent's descriptors.
//! Started by `app`; reads the metrics, the latch and the loop's sign of life.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

use crate::telemetry::{Health, Metrics, Readiness};

/// How many connections are served at a time.
const CONNECTIONS: usize = 64;
/// How long a request's head may take, and how long a connection may be idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection may last, slow readers included.
const CONNECTION_LIFE: Duration = Duration::from_mins(10);
/// What Prometheus 3 insists on.
const EXPOSITION: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

/// Why the page cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum WebError {
    /// The address could not be bound.
    #[error("listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

/// What the page shows.
#[derive(Clone, Debug)]
pub struct WebState {
    /// `/metrics`.
    pub metrics: Arc<Metrics>,
    /// `/-/ready`.
    pub readiness: Arc<Readiness>,
    /// `/-/healthy`.
    pub health: Arc<Health>,
}

/// A bound listener.
#[derive(Debug)]
pub struct Web {
    listener: TcpListener,
    address: SocketAddr,
}

impl Web {
    /// Binds the address; port 0 takes a free one.
    pub async fn bind(address: SocketAddr) -> Result<Self, WebError> {
        let failed = |source| WebError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` becomes true or its sender is gone.
    pub async fn serve(self, state: WebState, mut stop: watch::Receiver<bool>) {
        let router = router(state);
        let slots = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            let accepted = tokio::select! {
                accepted = accept(&self.listener, &slots) => accepted,
                _ = stop.wait_for(|stop| *stop) => return,
            };
            let Some((stream, slot)) = accepted else {
                // Out of descriptors, most likely: accepting again at once would spin.
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            let connection = serve_connection(stream, router.clone());
            tokio::spawn(async move {
                // What ends here, a closed connection or its time limit, concerns the client alone.
                drop(tokio::time::timeout(CONNECTION_LIFE, connection).await);
                drop(slot);
            });
        }
    }
}

async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> Option<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots).acquire_owned().await.ok()?;
    let (stream, _) = listener.accept().await.ok()?;
    Some((stream, slot))
}

async fn serve_connection(stream: TcpStream, router: Router) -> hyper::Result<()> {
    hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(16 << 10)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .await
}

fn router(state: WebState) -> Router {
    Router::new()
        .route("/", get(landing))
        .route("/metrics", get(metrics))
        .route("/-/healthy", get(healthy))
        .route("/-/ready", get(ready))
        .with_state(state)
}

async fn landing() -> Response {
    let page = concat!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><title>Layerwatch</title></head><body>\n",
        "<h1>Layerwatch</h1>\n<p>Version ",
        env!("CARGO_PKG_VERSION"),
        "</p>\n<ul>\n<li><a href=\"/metrics\">Metrics</a></li>\n",
        "<li><a href=\"/-/healthy\">Health</a></li>\n<li><a href=\"/-/ready\">Readiness</a></li>\n</ul>\n",
        "</body></html>\n"
    );
    ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], page).into_response()
}

async fn metrics(State(state): State<WebState>) -> Response {
    match state.metrics.encode() {
        Ok(text) => ([(header::CONTENT_TYPE, EXPOSITION)], text).into_response(),
        Err(error) => {
            let text = crate::telemetry::happenings::chain(&error);
            (StatusCode::INTERNAL_SERVER_ERROR, text + "\n").into_response()
        }
    }
}

async fn healthy(State(state): State<WebState>) -> Response {
    let now = Instant::now();
    if state.health.is_alive(now) {
        return "healthy\n".into_response();
    }
    let silent = state.health.silence(now).as_secs();
    let text = format!("the event loop has been silent for {silent} s\n");
    (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}

async fn ready(State(state): State<WebState>) -> Response {
    let missing = state.readiness.missing();
    if missing.is_empty() {
        return "ready\n".into_response();
    }
    let text: String = missing
        .iter()
        .flat_map(|condition| [condition.missing(), "\n"])
        .collect();
    (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}

#[cfg(test)]
mod tests;
