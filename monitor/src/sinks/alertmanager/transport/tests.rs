//! The HTTP client against a real server on loopback.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode as Code, header};
use axum::routing::post;

use super::*;
use crate::sinks::samples;

type Heard = Arc<Mutex<Vec<(Option<String>, String)>>>;

/// A server on loopback that answers all posts the same and remembers the authorization and the body.
async fn server(status: u16, body: &'static str) -> (Url, Heard) {
    let heard = Heard::default();
    let answer = move |State(heard): State<Heard>, headers: HeaderMap, text: String| async move {
        let secret = headers
            .get(AUTHORIZATION)
            .map(|value| value.to_str().unwrap().to_owned());
        heard.lock().unwrap().push((secret, text));
        (
            Code::from_u16(status).unwrap(),
            [(header::LOCATION, "/elsewhere")],
            body,
        )
    };
    let router = Router::new()
        .route("/api/v2/alerts", post(answer))
        .with_state(Arc::clone(&heard));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, heard)
}

fn options(authentication: Option<Authentication>) -> config::Alertmanager {
    config::Alertmanager {
        authentication,
        ..samples::delivery(Vec::new())
    }
}

fn alert() -> Post {
    Post {
        labels: [("alertname".to_owned(), "A".to_owned())].into(),
        annotations: [("summary".to_owned(), "s".to_owned())].into(),
        starts_at: "2026-01-01T00:00:00Z".parse().unwrap(),
        ends_at: "2026-01-01T00:15:00Z".parse().unwrap(),
    }
}

#[tokio::test]
async fn answers_are_told_apart() {
    for (status, answer) in [
        (200, Answer::Accepted),
        (400, Answer::Rejected("400 Bad Request: bad\\nlabel".to_owned())),
        (
            422,
            Answer::Rejected("422 Unprocessable Entity: bad\\nlabel".to_owned()),
        ),
        (401, Answer::Rejected("401 Unauthorized: bad\\nlabel".to_owned())),
        (
            307,
            Answer::Rejected("307 Temporary Redirect: bad\\nlabel".to_owned()),
        ),
        (
            429,
            Answer::Failed("429 Too Many Requests: bad\\nlabel".to_owned()),
        ),
        (
            500,
            Answer::Failed("500 Internal Server Error: bad\\nlabel".to_owned()),
        ),
        (
            503,
            Answer::Failed("503 Service Unavailable: bad\\nlabel".to_owned()),
        ),
    ] {
        let (peer, heard) = server(status, "bad\nlabel").await;
        let http = HttpPeer::new(&peer, &options(None)).unwrap();
        assert_eq!(http.post(&[alert()]).await, answer);
        assert_eq!(heard.lock().unwrap().len(), 1, "{status}: asked once");
    }
}

#[tokio::test]
async fn the_body_is_what_the_api_takes() {
    let (peer, heard) = server(200, "").await;
    let http = HttpPeer::new(&peer, &options(None)).unwrap();
    http.post(&[alert()]).await;
    let body: serde_json::Value = serde_json::from_str(&heard.lock().unwrap()[0].1).unwrap();
    let expected = serde_json::json!([{
        "labels": {"alertname": "A"},
        "annotations": {"summary": "s"},
        "startsAt": "2026-01-01T00:00:00Z",
        "endsAt": "2026-01-01T00:15:00Z",
    }]);
    assert_eq!(body, expected);
}

#[tokio::test]
async fn secrets_come_from_files_as_they_are_now() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("secret");
    std::fs::write(&file, "one\n").unwrap();
    let basic = Authentication::Basic {
        username: "agent".to_owned(),
        password_file: file.clone(),
    };
    let bearer = Authentication::Bearer(file.clone());
    for (auth, first, second) in [
        (bearer, "Bearer one", "Bearer two"),
        (basic, "Basic YWdlbnQ6b25l", "Basic YWdlbnQ6dHdv"),
    ] {
        std::fs::write(&file, "one\n").unwrap();
        let (peer, heard) = server(200, "").await;
        let http = HttpPeer::new(&peer, &options(Some(auth))).unwrap();
        http.post(&[alert()]).await;
        std::fs::write(&file, "two").unwrap();
        http.post(&[alert()]).await;
        let heard: Vec<Option<String>> = heard
            .lock()
            .unwrap()
            .iter()
            .map(|(secret, _)| secret.clone())
            .collect();
        assert_eq!(heard, [Some(first.to_owned()), Some(second.to_owned())]);
    }
}

#[tokio::test]
async fn a_secret_that_cannot_be_used_is_not_shown() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("secret");
    std::fs::write(&file, "hun\nter2").unwrap();
    let (peer, heard) = server(200, "").await;
    let auth = Authentication::Bearer(file);
    let http = HttpPeer::new(&peer, &options(Some(auth))).unwrap();
    let Answer::Failed(text) = http.post(&[alert()]).await else {
        panic!("accepted")
    };
    assert_eq!(text, "the secret's file holds characters that no header may have");
    assert_eq!(heard.lock().unwrap().len(), 0);
}

#[tokio::test]
async fn nobody_there_and_no_answer_in_time_are_failures() {
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = closed.local_addr().unwrap();
    let silent = Url::parse(&format!("http://{address}")).unwrap();
    let hasty = config::Alertmanager {
        timeout: Duration::from_millis(200),
        ..options(None)
    };
    let http = HttpPeer::new(&silent, &hasty).unwrap();
    assert!(matches!(http.post(&[alert()]).await, Answer::Failed(_)));
    drop(closed);
    let Answer::Failed(text) = http.post(&[alert()]).await else {
        panic!("accepted")
    };
    assert!(text.contains("onnection refused"), "{text}");
    assert!(!text.contains(&address.to_string()), "{text}");
}

#[test]
fn certificates_that_are_none_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ca.pem");
    let peer = Url::parse("https://am").unwrap();
    let options = config::Alertmanager {
        ca_file: Some(file.clone()),
        ..options(None)
    };
    let missing = HttpPeer::new(&peer, &options).err().unwrap();
    assert_eq!(missing.to_string(), "read CA certificates");
    std::fs::write(
        &file,
        "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n",
    )
    .unwrap();
    let broken = HttpPeer::new(&peer, &options).err().unwrap();
    assert!(
        matches!(broken, TransportError::Pem { .. } | TransportError::Client(_)),
        "{broken:?}"
    );
}

#[test]
fn alerts_are_posted_below_the_peers_address() {
    for (peer, posted) in [
        ("http://127.0.0.1:9093", "http://127.0.0.1:9093/api/v2/alerts"),
        (
            "https://am.example/prefix/",
            "https://am.example/prefix/api/v2/alerts",
        ),
        ("http://[::1]:9093/", "http://[::1]:9093/api/v2/alerts"),
    ] {
        assert_eq!(alerts(&Url::parse(peer).unwrap()).as_str(), posted);
    }
}
