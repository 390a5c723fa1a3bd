//! What an alert is called at the Alertmanager, and what is said with it.
//!
//! Invariant: labels are the alert's identity, so they are few and the same for each repeat: no process id, file or
//! command line; an exposure is named by the directory that opens it. Those are annotations, which may change with each repeat. Every value is one printable line of bounded
//! length. Used by `dispatch`.

use std::collections::BTreeMap;

use crate::model::text::printable;
use crate::model::{Alert, AlertKind, Exposure, Reader, Severity, StateReport};
use crate::telemetry::state_severity;

/// Names and values; as labels they are the identity.
pub(super) type Pairs = BTreeMap<String, String>;

/// The longest label value in characters.
const LABEL_LENGTH: usize = 200;
/// The longest annotation in characters.
const ANNOTATION_LENGTH: usize = 2000;
/// Hex digits of a digest or id that name it for people.
const SHORT: usize = 12;

/// The identity of an alert on this node.
pub(super) fn of_alert(alert: &Alert, node: &str, external: &Pairs) -> Pairs {
    let image = alert.images.first();
    let finding = alert.finding.as_ref();
    let user = alert
        .subject
        .user
        .clone()
        .unwrap_or_else(|| alert.subject.uid.to_string());
    with_external(
        external,
        [
            ("alertname", Some(alert.alert.as_str().to_owned())),
            ("alert_source", Some("agent".to_owned())),
            ("severity", Some(severity(alert.severity).to_owned())),
            ("instance", Some(node.to_owned())),
            ("user", Some(user)),
            ("rule", finding.map(|finding| finding.rule.to_string())),
            (
                "category",
                finding.map(|finding| finding.category.as_str().to_owned()),
            ),
            (
                "image",
                image.and_then(|image| image.name.as_deref()).map(repository),
            ),
            (
                "image_digest",
                image
                    .and_then(|image| image.digest.as_ref())
                    .map(|digest| short(digest.hex())),
            ),
            (
                "layer",
                alert.layer.as_ref().map(|layer| short(&layer.id.to_string())),
            ),
        ],
    )
}

/// The identity of an alert about a state: the agent's own, or that of a store by its opening component.
pub(super) fn of_state(state: &StateReport, node: &str, external: &Pairs) -> Pairs {
    let (kind, exposed) = (state.alert, state.exposed.as_ref());
    let fixed = state_severity(kind).or(exposed.map(|exposed| exposed.severity));
    let level = severity(fixed.unwrap_or(Severity::Medium));
    with_external(
        external,
        [
            ("alertname", Some(kind.as_str().to_owned())),
            ("alert_source", Some("agent".to_owned())),
            ("severity", Some(level.to_owned())),
            ("instance", Some(node.to_owned())),
            ("store", exposed.map(|exposed| exposed.store.to_string())),
            (
                "component",
                exposed.map(|exposed| shown(exposed.component.as_os_str().as_encoded_bytes())),
            ),
        ],
    )
}

/// What is said about one read; `first` and the alert's own time span the repeats.
pub(super) fn describe_alert(alert: &Alert, first: jiff::Timestamp) -> Pairs {
    let finding = alert.finding.as_ref();
    let images: Vec<&str> = alert
        .images
        .iter()
        .filter_map(|image| image.name.as_deref())
        .collect();
    annotations([
        ("summary", Some(summary(alert))),
        ("description", Some(alert.why.clone())),
        ("remedy", Some(alert.remedy.clone())),
        ("event_id", Some(alert.id.clone())),
        ("count", Some(alert.count.to_string())),
        ("first_seen", Some(first.to_string())),
        ("last_seen", Some(alert.time.to_string())),
        ("uid", Some(alert.subject.uid.to_string())),
        ("loginuid", alert.subject.loginuid.map(|uid| uid.to_string())),
        ("pid", Some(alert.process.pid.to_string())),
        (
            "process",
            Some(alert.process.exe.as_ref().unwrap_or(&alert.process.comm).clone()),
        ),
        ("cmdline", alert.process.cmdline.clone()),
        ("ancestors", Some(alert.process.ancestors.join(" < "))),
        (
            "container",
            alert.container.as_ref().map(|container| container.id.clone()),
        ),
        (
            "pod",
            alert
                .container
                .as_ref()
                .and_then(|container| container.pod.clone()),
        ),
        ("path", Some(alert.access.path.clone())),
        ("path_in_layer", alert.access.path_in_layer.clone()),
        ("allowed", Some(alert.access.allowed.to_string())),
        ("store", alert.layer.as_ref().map(|layer| layer.store.to_string())),
        ("layer", alert.layer.as_ref().map(|layer| layer.id.to_string())),
        (
            "diff_id",
            alert
                .layer
                .as_ref()
                .and_then(|layer| layer.diff_id.as_ref())
                .map(ToString::to_string),
        ),
        ("images", Some(images.join(", "))),
        ("shadowed", finding.map(|finding| finding.shadowed.to_string())),
        ("readers", alert.exposure.as_ref().map(readers)),
        ("provenance", Some(alert.trust.provenance.as_str().to_owned())),
        ("quality", Some(alert.trust.quality.as_str().to_owned())),
    ])
}

/// The alert in one line.
fn summary(alert: &Alert) -> String {
    let finding = alert.finding.as_ref();
    let what = finding.map_or("content", |finding| finding.title.as_str());
    let user = alert.subject.user.as_deref().unwrap_or("no name");
    let image = alert
        .images
        .first()
        .and_then(|image| image.name.as_deref())
        .unwrap_or("an unnamed image");
    let did = match alert.alert {
        AlertKind::CacheApiAccess => "had an engine read",
        AlertKind::SensitiveLayerRead
        | AlertKind::ForeignContainerRead
        | AlertKind::ForeignStoreRead
        | AlertKind::LayerContentRead
        | AlertKind::RawDeviceRead
        | AlertKind::SensitiveLayerExposed
        | AlertKind::MonitorBlind
        | AlertKind::EventsLost
        | AlertKind::CoverageGap => "read",
    };
    format!(
        "uid {} ({user}) {did} {what} in a cached layer of {image}",
        alert.subject.uid
    )
}

/// What is said about the agent's state.
pub(super) fn describe_state(state: &StateReport) -> Pairs {
    let summary = match state.alert {
        AlertKind::MonitorBlind => "Layerwatch does not see what it should",
        AlertKind::EventsLost => "Layerwatch lost events",
        AlertKind::CoverageGap => "Layerwatch does not watch all that it found",
        AlertKind::SensitiveLayerExposed => "Secrets in cached image layers are open to users",
        AlertKind::SensitiveLayerRead
        | AlertKind::ForeignContainerRead
        | AlertKind::ForeignStoreRead
        | AlertKind::LayerContentRead
        | AlertKind::RawDeviceRead
        | AlertKind::CacheApiAccess => "Layerwatch reports a state",
    };
    let exposed = state.exposed.as_ref();
    annotations([
        ("summary", Some(summary.to_owned())),
        ("description", Some(state.detail.clone())),
        ("remedy", exposed.and_then(|exposed| exposed.remedy.clone())),
        ("readers", exposed.map(|exposed| in_words(&exposed.exposed_to))),
        ("findings", exposed.map(|exposed| exposed.findings.to_string())),
        ("images", exposed.map(|exposed| exposed.images.join(", "))),
        ("cve", exposed.and_then(|exposed| exposed.cve.clone())),
    ])
}

/// The three levels that Alertmanager routes are written for.
fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical | Severity::High => "critical",
        Severity::Medium => "warning",
        Severity::Low | Severity::Info => "info",
    }
}

/// The image's name without tag and digest: tags come and go, the alert is about the same image.
fn repository(name: &str) -> String {
    let name = name.split_once('@').map_or(name, |(name, _)| name);
    match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository.to_owned(),
        _ => name.to_owned(),
    }
}

fn shown(bytes: &[u8]) -> String {
    printable(bytes).to_string()
}

fn short(hex: &str) -> String {
    hex.chars().take(SHORT).collect()
}

fn readers(exposure: &Exposure) -> String {
    in_words(&exposure.readers)
}

fn in_words(readers: &[Reader]) -> String {
    let readers = readers.iter().map(|reader| match reader {
        Reader::World => "every user".to_owned(),
        Reader::Group { gid } => format!("group {gid}"),
        Reader::User { uid } => format!("user {uid}"),
    });
    let text = readers.collect::<Vec<_>>().join(", ");
    if text.is_empty() {
        "only root".to_owned()
    } else {
        text
    }
}

/// The agent's own labels win; an empty value would be no label at all.
fn with_external<const N: usize>(external: &Pairs, own: [(&str, Option<String>); N]) -> Pairs {
    let mut labels: Pairs = external
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    labels.extend(bounded(own, LABEL_LENGTH));
    labels
}

fn annotations<const N: usize>(pairs: [(&str, Option<String>); N]) -> Pairs {
    bounded(pairs, ANNOTATION_LENGTH).collect()
}

fn bounded<const N: usize>(
    pairs: [(&str, Option<String>); N],
    length: usize,
) -> impl Iterator<Item = (String, String)> {
    pairs.into_iter().filter_map(move |(name, value)| {
        let value = value.filter(|value| !value.is_empty())?;
        Some((name.to_owned(), one_line(&value, length)))
    })
}

/// Texts of a record are escaped already; one that is not (the host's name, a rule's title) is escaped here.
fn one_line(text: &str, length: usize) -> String {
    let cut = text.chars().take(length);
    if text.chars().any(char::is_control) {
        return printable(cut.collect::<String>().as_bytes()).to_string();
    }
    cut.collect()
}

#[cfg(test)]
mod tests;
