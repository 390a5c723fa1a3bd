//! The page over real connections.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::telemetry::{Condition, PATIENCE};

struct Page {
    address: SocketAddr,
    state: WebState,
    stop: watch::Sender<bool>,
    served: tokio::task::JoinHandle<()>,
}

async fn page() -> Page {
    let state = WebState {
        metrics: Arc::new(Metrics::new().unwrap()),
        readiness: Arc::default(),
        health: Arc::new(Health::new(Instant::now())),
    };
    let web = Web::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = web.address();
    let (stop, stopped) = watch::channel(false);
    let served = tokio::spawn(web.serve(state.clone(), stopped));
    Page {
        address,
        state,
        stop,
        served,
    }
}

/// The answer's head and body.
async fn ask(page: &Page, method: &str, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(page.address).await.unwrap();
    let request = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_ascii_lowercase(), body.to_owned())
}

#[tokio::test]
async fn each_address_answers_to_reading_only() {
    let page = page().await;
    page.state.readiness.meet(Condition::KernelAttached);
    page.state.readiness.meet(Condition::KnowledgeBuilt);
    for (method, path, status, has_body) in [
        ("GET", "/", "200 ok", true),
        ("GET", "/metrics", "200 ok", true),
        ("GET", "/-/healthy", "200 ok", true),
        ("GET", "/-/ready", "200 ok", true),
        ("HEAD", "/metrics", "200 ok", false),
        ("HEAD", "/-/ready", "200 ok", false),
        ("POST", "/metrics", "405 method not allowed", false),
        ("DELETE", "/-/ready", "405 method not allowed", false),
        ("PUT", "/", "405 method not allowed", false),
        ("GET", "/-/reload", "404 not found", false),
        ("GET", "/metrics/../etc/passwd", "404 not found", false),
    ] {
        let (head, body) = ask(&page, method, path).await;
        assert!(
            head.starts_with(&format!("http/1.1 {status}")),
            "{method} {path}: {head}"
        );
        assert_eq!(!body.is_empty(), has_body, "{method} {path}");
        assert_eq!(
            head.contains("allow: get,head"),
            status.starts_with("405"),
            "{head}"
        );
    }
}

#[tokio::test]
async fn metrics_have_the_type_that_prometheus_insists_on() {
    let page = page().await;
    let (head, body) = ask(&page, "GET", "/metrics").await;
    assert!(
        head.contains("content-type: text/plain; version=0.0.4; charset=utf-8\r\n"),
        "{head}"
    );
    assert!(body.contains("\nlayerwatch_build_info{"), "{body}");
}

#[tokio::test]
async fn readiness_says_what_is_missing() {
    let page = page().await;
    let (kernel, knowledge) = (
        Condition::KernelAttached.missing(),
        Condition::KnowledgeBuilt.missing(),
    );
    let (head, body) = ask(&page, "GET", "/-/ready").await;
    assert!(head.starts_with("http/1.1 503"), "{head}");
    assert_eq!(body, format!("{kernel}\n{knowledge}\n"));
    page.state.readiness.meet(Condition::KernelAttached);
    assert_eq!(ask(&page, "GET", "/-/ready").await.1, format!("{knowledge}\n"));
    page.state.readiness.meet(Condition::KnowledgeBuilt);
    assert_eq!(ask(&page, "GET", "/-/ready").await.1, "ready\n");
}

#[tokio::test]
async fn a_silent_loop_is_not_healthy() {
    let mut page = page().await;
    let long_ago = Instant::now()
        .checked_sub(PATIENCE + Duration::from_secs(3))
        .unwrap();
    page.state.health = Arc::new(Health::new(long_ago));
    let response = healthy(State(page.state.clone())).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    page.state.health.beat(Instant::now());
    assert_eq!(healthy(State(page.state.clone())).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_silent_client_is_hung_up_on() {
    let page = page().await;
    let mut stream = TcpStream::connect(page.address).await.unwrap();
    stream.write_all(b"GET /metrics HT").await.unwrap();
    tokio::time::pause();
    let mut rest = Vec::new();
    let closed = tokio::time::timeout(HEAD_TIMEOUT * 2, stream.read_to_end(&mut rest)).await;
    assert!(closed.is_ok(), "the connection is still open");
}

#[tokio::test]
async fn idle_connections_do_not_exceed_their_number() {
    let page = page().await;
    let mut idle = Vec::new();
    for _ in 0..CONNECTIONS {
        idle.push(TcpStream::connect(page.address).await.unwrap());
    }
    // All slots are taken: one more waits in the kernel's backlog, and is served when one of them ends.
    let answer = ask(&page, "GET", "/-/healthy");
    tokio::pin!(answer);
    let early = tokio::time::timeout(Duration::from_millis(300), &mut answer).await;
    assert!(early.is_err(), "served a connection too many");
    idle.clear();
    assert_eq!(answer.await.1, "healthy\n");
}

#[tokio::test]
async fn it_ends_when_told_and_when_nobody_could_tell() {
    let told = page().await;
    told.stop.send(true).unwrap();
    told.served.await.unwrap();
    let orphan = page().await;
    drop(orphan.stop);
    orphan.served.await.unwrap();
}

#[tokio::test]
async fn a_taken_address_is_named() {
    let page = page().await;
    let error = Web::bind(page.address).await.unwrap_err();
    assert_eq!(error.to_string(), format!("listen on {}", page.address));
}
