//! Policies asked about an image in a directory (`dir:`): what makes a file invalid, and which scope applies.
//!
//! Invariant: only what engines of all ages agree on stands here. Left to the rows beside the parser: options that
//! skopeo 1.9 does not know (`keyPaths`, `keyDatas`, `fulcio`, `pki`, `rekor…`), the `atomic` transport, which Debian's
//! builds lack, an empty `keyPath` beside `keyData`, and upper-case registries, which older engines refuse.

use anyhow::Result;
use layerwatch::trust::{ImageIdentity, Outcome, Policy};

use super::{Answer, Bench, fill, report};

/// Policies, with `DIR` for the directory that holds the image, and what is to be said.
const ROWS: &[(&str, Answer)] = &[
    (r#"{"default":[ACCEPT]}"#, Answer::Accepted),
    (r#"{"default":[REJECT]}"#, Answer::Rejected),
    (r#"{"default":[SIGNED]}"#, Answer::NeedsSignature),
    (r#"{"default":[ACCEPT,REJECT]}"#, Answer::Rejected),
    (r#"{"default":[ACCEPT,ACCEPT]}"#, Answer::Accepted),
    (r#"{"default":[ACCEPT,SIGNED]}"#, Answer::NeedsSignature),
    (
        r#"{"default":[REJECT],"transports":{"dir":{"":[ACCEPT]}}}"#,
        Answer::Accepted,
    ),
    (
        r#"{"default":[ACCEPT],"transports":{"dir":{"DIR":[REJECT]}}}"#,
        Answer::Rejected,
    ),
    (
        r#"{"default":[REJECT],"transports":{"dir":{"DIR/image":[ACCEPT],"DIR":[REJECT]}}}"#,
        Answer::Accepted,
    ),
    (
        r#"{"default":[ACCEPT],"transports":{"dir":{"DIR/image":[REJECT],"DIR":[ACCEPT]}}}"#,
        Answer::Rejected,
    ),
    (
        r#"{"default":[ACCEPT],"transports":{"dir":{"DIR/ima":[REJECT]}}}"#,
        Answer::Accepted,
    ),
    (
        r#"{"default":[ACCEPT],"transports":{"docker":{"":[REJECT]}}}"#,
        Answer::Accepted,
    ),
    (
        r#"{"default":[ACCEPT],"transports":{"no-such":{"/..":[REJECT]}}}"#,
        Answer::Accepted,
    ),
    (
        r#"{"default":[ACCEPT],"transports":{"docker":{"exa*.com":[REJECT]}}}"#,
        Answer::Accepted,
    ),
    (
        r#"{"default":[ACCEPT],"transports":{"dir":{}}}"#,
        Answer::Accepted,
    ),
    (
        r#"{"default":[{"type":"signedBaseLayer","baseLayerIdentity":{"type":"matchExact"}}]}"#,
        Answer::Unimplemented,
    ),
    (
        r#"{"default":[{"type":"signedBy","keyType":"signedByX509CAs","keyPath":"/k"}]}"#,
        Answer::Unimplemented,
    ),
    (
        r#"{"default":[{"type":"signedBy","keyType":"GPGKeys","keyData":"AA\nEC"}]}"#,
        Answer::NeedsSignature,
    ),
    (
        r#"{"default":[{"type":"signedBy","keyType":"GPGKeys","keyData":[0,1]}]}"#,
        Answer::NeedsSignature,
    ),
    (
        r#"{"default":[{"type":"signedBy","keyType":"GPGKeys","keyData":[256]}]}"#,
        Answer::InvalidPolicy,
    ),
    (
        r#"{"default":[{"type":"signedBy","keyType":"GPGKeys","keyData":""}]}"#,
        Answer::NeedsSignature,
    ),
    (
        r#"{"default":[{"type":"signedBy","keyType":"GPGKeys","keyData":null}]}"#,
        Answer::InvalidPolicy,
    ),
    (
        r#"{"default":[{"type":"signedBy","keyType":"GPGKeys","keyData":"AAE"}]}"#,
        Answer::InvalidPolicy,
    ),
    (
        r#"{"default":[{"type":"signedBy","keyType":"GPGKeys","keyPath":""}]}"#,
        Answer::InvalidPolicy,
    ),
    (
        r#"{"default":[{"type":"signedBy","keyType":"GPGKeys","keyPath":"","keyData":"AAEC"}]}"#,
        Answer::InvalidPolicy,
    ),
    (
        r#"{"default":[{"type":"signedBy","keyType":"gpg","keyPath":"/k"}]}"#,
        Answer::InvalidPolicy,
    ),
    (
        r#"{"default":[{"type":"signedBy","keyType":"GPGKeys"}]}"#,
        Answer::InvalidPolicy,
    ),
    (
        r#"{"default":[{"type":"signedBy","keyType":"GPGKeys","keyPath":"/k","signedIdentity":null}]}"#,
        Answer::InvalidPolicy,
    ),
    (
        r#"{"default":[{"type":"signedBy","keyType":"GPGKeys","keyPath":"/k","signedIdentity":{"type":"matchRepository"}}]}"#,
        Answer::NeedsSignature,
    ),
    (
        r#"{"default":[{"type":"signedBy","keyType":"GPGKeys","keyPath":"/k","signedIdentity":{"type":"exactReference","dockerReference":"a.b/c"}}]}"#,
        Answer::InvalidPolicy,
    ),
    (
        r#"{"default":[{"type":"signedBy","keyType":"GPGKeys","keyPath":"/k","signedIdentity":{"type":"exactRepository","dockerRepository":"/"}}]}"#,
        Answer::InvalidPolicy,
    ),
    (
        r#"{"default":[{"type":"signedBy","keyType":"GPGKeys","keyPath":"/k","signedIdentity":{"type":"remapIdentity","prefix":"a.b:5","signedPrefix":"c.d/e"}}]}"#,
        Answer::NeedsSignature,
    ),
    (
        r#"{"default":[{"type":"signedBy","keyType":"GPGKeys","keyPath":"/k","signedIdentity":{"type":"remapIdentity","prefix":"a.b/","signedPrefix":"c.d/e"}}]}"#,
        Answer::InvalidPolicy,
    ),
    (
        r#"{"default":[{"type":"sigstoreSigned","keyPath":"/k"}]}"#,
        Answer::NeedsSignature,
    ),
    (
        r#"{"default":[{"type":"sigstoreSigned"}]}"#,
        Answer::InvalidPolicy,
    ),
    (
        r#"{"default":[{"type":"sigstoreSigned","keyPath":"/k","keyData":"AAEC"}]}"#,
        Answer::InvalidPolicy,
    ),
    ("", Answer::InvalidPolicy),
    ("{}", Answer::InvalidPolicy),
    ("[ACCEPT]", Answer::InvalidPolicy),
    ("\u{feff}{\"default\":[ACCEPT]}", Answer::InvalidPolicy),
    (r#"{"default":[ACCEPT]} {}"#, Answer::InvalidPolicy),
    (r#"{"default":[]}"#, Answer::InvalidPolicy),
    (r#"{"default":null}"#, Answer::InvalidPolicy),
    (r#"{"default":[null]}"#, Answer::InvalidPolicy),
    (r#"{"default":ACCEPT}"#, Answer::InvalidPolicy),
    (r#"{"default":[ACCEPT],"x":1}"#, Answer::InvalidPolicy),
    (r#"{"Default":[ACCEPT]}"#, Answer::InvalidPolicy),
    (r#"{"default":[{"Type":"reject"}]}"#, Answer::InvalidPolicy),
    (r#"{"default":[{"type":"reject","x":1}]}"#, Answer::InvalidPolicy),
    (
        r#"{"default":[{"type":"reject","type":"reject"}]}"#,
        Answer::InvalidPolicy,
    ),
    (
        r#"{"default":[ACCEPT],"default":[ACCEPT]}"#,
        Answer::InvalidPolicy,
    ),
    (r#"{"default":[ACCEPT],"transports":null}"#, Answer::InvalidPolicy),
    (
        r#"{"default":[ACCEPT],"transports":{"dir":{"/":[ACCEPT]}}}"#,
        Answer::InvalidPolicy,
    ),
    (
        r#"{"default":[ACCEPT],"transports":{"dir":{"/a/":[ACCEPT]}}}"#,
        Answer::InvalidPolicy,
    ),
    (
        r#"{"default":[ACCEPT],"transports":{"dir":{"/a":[ACCEPT],"/a":[ACCEPT]}}}"#,
        Answer::InvalidPolicy,
    ),
    (
        r#"{"default":[ACCEPT],"transports":{"docker":{"a.b":[]}}}"#,
        Answer::InvalidPolicy,
    ),
    (
        r#"{"default":[ACCEPT],"transports":{"docker-archive":{"x":[ACCEPT]}}}"#,
        Answer::InvalidPolicy,
    ),
    (
        r#"{"default":[ACCEPT],"transports":{"containers-storage":{"/s":[ACCEPT]}}}"#,
        Answer::InvalidPolicy,
    ),
    (
        r#"{"default":[ACCEPT],"transports":{"containers-storage":{"[overlay@/s]":[ACCEPT],"[/s]":[ACCEPT]}}}"#,
        Answer::Accepted,
    ),
    (
        "{\"default\":[ACCEPT],\"transports\":{\"docker\":{\"\\ud800\":[ACCEPT]}}}",
        Answer::Accepted,
    ),
    (
        "{\"default\":[ACCEPT],\"transports\":{\"docker\":{\"\\ud800\":[ACCEPT],\"\\udc00\":[ACCEPT]}}}",
        Answer::InvalidPolicy,
    ),
    (
        "{\"default\":[ACCEPT],\"transports\":{\"docker\":{\"\\ud83d\\udc33\":[ACCEPT],\"\\\\ud800\":[ACCEPT]}}}",
        Answer::Accepted,
    ),
    (
        "{\"default\":[ACCEPT],\"transports\":{\"docker\":{\"\\u0000\":[ACCEPT]}}}",
        Answer::Accepted,
    ),
];

/// What Layerwatch says of the image at `path`.
fn ask(policy: &str, path: &str) -> Answer {
    let Ok(policy) = Policy::parse(policy.as_bytes()) else {
        return Answer::InvalidPolicy;
    };
    let applicable = policy.requirements_for(&ImageIdentity::directory(path));
    match Outcome::of(applicable.requirements) {
        Outcome::Accepted => Answer::Accepted,
        Outcome::Rejected(_) => Answer::Rejected,
        Outcome::Unimplemented(_) => Answer::Unimplemented,
        Outcome::NeedsSignature(_) => Answer::NeedsSignature,
    }
}

#[test]
fn policies_mean_to_skopeo_what_they_mean_here() -> Result<()> {
    let Some(bench) = Bench::new("policies_mean_to_skopeo_what_they_mean_here", &["skopeo"])? else {
        return Ok(());
    };
    let directory = bench.path("").display().to_string();
    let directory = directory.trim_end_matches('/');
    let image = format!("{directory}/image");
    let mut differences = Vec::new();
    for (policy, expected) in ROWS {
        let policy = policy.replace("DIR", directory);
        let ours = ask(&fill(&policy), &image);
        let engine = bench.ask_skopeo(&bench.write_policy(&policy)?, &[], &format!("dir:{image}"))?;
        if ours != *expected || !ours.is_said_as(engine) {
            differences.push(format!(
                "expected {expected:?}, here {ours:?}, skopeo {engine:?}: {policy}"
            ));
        }
    }
    report(&differences, ROWS.len())
}
