//! The identity of alerts, and what is said with them, on the golden records.

use super::*;
use crate::sinks::samples;

fn pairs(pairs: &[(&str, &str)]) -> Pairs {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

#[test]
fn the_identity_of_a_read() {
    let expected = pairs(&[
        ("alertname", "SensitiveLayerRead"),
        ("alert_source", "agent"),
        ("severity", "critical"),
        ("instance", "node-1"),
        ("user", "nobody"),
        ("rule", "private-key-openssh"),
        ("category", "private-key"),
        ("image", "registry.example/shop/api"),
        ("image_digest", "abababababab"),
        ("layer", "c0c0c0c0c0c0"),
        ("cluster", "dev"),
    ]);
    // The agent's own labels win over external ones, and an empty one is none.
    let external = pairs(&[("cluster", "dev"), ("severity", "none"), ("zone", "")]);
    assert_eq!(of_alert(&samples::alert(), "node-1", &external), expected);
}

#[test]
fn a_repeat_by_another_process_is_the_same_alert() {
    let first = samples::alert();
    let mut again = first.clone();
    again.id = "other".to_owned();
    again.time = "2026-09-09T09:09:09Z".parse().unwrap();
    again.process.pid = 1;
    again.process.exe = None;
    again.process.cmdline = Some("head -c1 id_ed25519".to_owned());
    again.access.path = "/elsewhere".to_owned();
    again.access.path_in_layer = None;
    again.count = 99;
    again.exposure = None;
    let none = Pairs::new();
    assert_eq!(of_alert(&first, "n", &none), of_alert(&again, "n", &none));
    let mut other_user = first.clone();
    other_user.subject.user = None;
    assert_ne!(of_alert(&first, "n", &none), of_alert(&other_user, "n", &none));
    assert_eq!(of_alert(&other_user, "n", &none)["user"], "65534");
}

#[test]
fn what_is_said_with_a_read() {
    let mut said = describe_alert(&samples::alert(), "2026-03-04T05:00:00Z".parse().unwrap());
    let summary = said.remove("summary").unwrap();
    assert_eq!(
        summary,
        "uid 65534 (nobody) read OpenSSH private key in a cached layer of registry.example/shop/api:1.4"
    );
    for (name, value) in [
        ("count", "3"),
        ("first_seen", "2026-03-04T05:00:00Z"),
        ("last_seen", "2026-03-04T05:06:07.089Z"),
        ("pid", "4711"),
        ("ancestors", "/usr/bin/bash < /usr/sbin/sshd"),
        ("path_in_layer", "root/.ssh/id_ed25519"),
        ("shadowed", "true"),
        ("readers", "every user, group 100, user 1000"),
        ("provenance", "unattested"),
        ("quality", "unknown"),
    ] {
        assert_eq!(said.get(name).map(String::as_str), Some(value), "{name}");
    }
    assert!(said.values().all(|value| !value.is_empty()));
}

#[test]
fn a_state_is_one_alert_per_node() {
    let expected = [
        ("alertname", "MonitorBlind"),
        ("alert_source", "agent"),
        ("severity", "critical"),
        ("instance", "node-1"),
    ];
    assert_eq!(
        of_state(&samples::state(), "node-1", &Pairs::new()),
        pairs(&expected)
    );
    assert_eq!(
        describe_state(&samples::state())["description"],
        "hook fexit-file-open does not fire"
    );
}

#[test]
fn an_exposure_is_one_alert_per_store_and_component() {
    let state = samples::exposed();
    let expected = [
        ("alertname", "SensitiveLayerExposed"),
        ("alert_source", "agent"),
        ("severity", "critical"),
        ("instance", "node-1"),
        ("store", "overlay@/var/lib/containers/storage"),
        ("component", "/var/lib/containers/storage"),
    ];
    assert_eq!(of_state(&state, "node-1", &Pairs::new()), pairs(&expected));
    let said = describe_state(&state);
    for (name, value) in [
        ("remedy", "chmod 700 /var/lib/containers/storage"),
        ("readers", "every user"),
        ("findings", "2"),
        ("cve", "CVE-2021-41091"),
    ] {
        assert_eq!(said[name], value);
    }
}

#[test]
fn an_images_repository_is_its_name_without_tag_and_digest() {
    for (name, shown) in [
        ("docker.io/library/alpine:3.20", "docker.io/library/alpine"),
        ("localhost:5000/app", "localhost:5000/app"),
        ("localhost:5000/app:v1", "localhost:5000/app"),
        ("quay.io/a/b:v1@sha256:0123", "quay.io/a/b"),
        ("quay.io/a/b@sha256:0123", "quay.io/a/b"),
        ("", ""),
    ] {
        assert_eq!(repository(name), shown);
    }
}

#[test]
fn hostile_values_stay_one_bounded_line() {
    let mut alert = samples::alert();
    alert.subject.user = Some("a\nb\u{1b}[31m".to_owned());
    alert.images[0].name = Some("ä".repeat(5000));
    let labels = of_alert(&alert, "n", &Pairs::new());
    assert_eq!(labels["user"], "a\\nb\\x1b[31m");
    assert_eq!(labels["image"], "ä".repeat(LABEL_LENGTH));
}
