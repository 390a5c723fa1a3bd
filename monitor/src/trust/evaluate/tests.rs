//! Rows of policy, registries, name: the state, the decision and the reasons of each.

use std::path::{Path, PathBuf};

use super::*;
use crate::model::{Evidence, ImageId, StoreId};

const ACCEPT: &str = r#"{"default":[{"type":"insecureAcceptAnything"}]}"#;
const REJECT: &str = r#"{"default":[{"type":"reject"}]}"#;
const SIGNED: &str = r#"{"default":[{"type":"signedBy","keyType":"GPGKeys","keyPath":"/k"}]}"#;
const LISTED: &str = r#"{"default":[{"type":"insecureAcceptAnything"}],
    "transports":{"docker":{"localhost":[{"type":"reject"}],"bad.example":[{"type":"reject"}]}}}"#;

pub(super) fn host(files: &[(&str, &str)]) -> TrustInputs {
    let root = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = root.path().join(path.trim_start_matches('/'));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    TrustInputs::read(root.path())
}

fn inputs(policy: &str, registries: &str) -> TrustInputs {
    host(&[
        ("/etc/containers/policy.json", policy),
        ("/etc/containers/registries.conf", registries),
    ])
}

pub(super) fn image(names: &[&str], history: &[&str]) -> Image {
    Image {
        store: StoreId::new("overlay@/s"),
        id: ImageId::new("0"),
        digest: None,
        digests: Vec::new(),
        names: names.iter().map(|&name| name.to_owned()).collect(),
        names_history: history.iter().map(|&name| name.to_owned()).collect(),
        layers: Vec::new(),
        mapped_layers: Vec::new(),
        created: None,
        config: None,
    }
}

/// The verdict on an image that has just the name.
fn check(
    inputs: &TrustInputs,
    name: &str,
    provenance: Provenance,
    decision: Decision,
    codes: &[&str],
) -> Verdict {
    let verdict = evaluate(
        inputs,
        Engine::ContainersStorage,
        &image(&[name], &[]),
        Some(name),
    );
    let found: Vec<&str> = verdict
        .reasons
        .iter()
        .map(|reason| reason.code.as_str())
        .collect();
    let expected: Vec<&str> = codes.iter().copied().chain(["inv.none"]).collect();
    assert_eq!(
        (verdict.provenance, verdict.decision, found),
        (provenance, decision, expected),
        "{name}: {verdict:?}"
    );
    assert_eq!(
        (verdict.quality, verdict.name.as_deref()),
        (Grade::Unknown, Some(name))
    );
    verdict
}

#[test]
fn the_policy_decides_as_far_as_it_needs_no_signature() {
    use {Decision as D, Provenance as P};
    let base_layer = r#"{"default":[{"type":"signedBaseLayer","baseLayerIdentity":{"type":"matchExact"}}]}"#;
    for (policy, name, provenance, decision, code) in [
        (
            ACCEPT,
            "example.com/r:1",
            P::Unattested,
            D::Accepted,
            "policy.accept-anything",
        ),
        (
            REJECT,
            "example.com/r:1",
            P::Violates,
            D::Rejected,
            "policy.reject",
        ),
        (
            SIGNED,
            "example.com/r:1",
            P::Unknown,
            D::Unknown,
            "sig.not-evaluated",
        ),
        (
            base_layer,
            "example.com/r:1",
            P::Violates,
            D::Rejected,
            "policy.unimplemented",
        ),
        (
            LISTED,
            "bad.example/r:1",
            P::Violates,
            D::Rejected,
            "policy.reject",
        ),
        (
            LISTED,
            "good.example/r:1",
            P::Unattested,
            D::Accepted,
            "policy.accept-anything",
        ),
        (
            "{}",
            "example.com/r:1",
            P::Unknown,
            D::InvalidPolicy,
            "policy.invalid",
        ),
        (ACCEPT, "not a name", P::Unknown, D::Unknown, "src.name-invalid"),
    ] {
        check(&inputs(policy, ""), name, provenance, decision, &[code]);
    }
}

#[test]
fn every_reason_says_which_file_and_place() {
    let verdict = check(
        &inputs(LISTED, ""),
        "bad.example/r:1",
        Provenance::Violates,
        Decision::Rejected,
        &["policy.reject"],
    );
    let reason = Reason {
        code: "policy.reject".to_owned(),
        detail: "the policy's scope \"bad.example\" rejects it".to_owned(),
        evidence: Some(Evidence {
            file: PathBuf::from("/etc/containers/policy.json"),
            place: Some("transports.docker.\"bad.example\"[0]".to_owned()),
        }),
    };
    assert_eq!(verdict.reasons[0], reason);
    let broken = inputs("{\"default\":[],\n \"default\":[]}", "");
    let verdict = check(
        &broken,
        "a.b/r:1",
        Provenance::Unknown,
        Decision::InvalidPolicy,
        &["policy.invalid"],
    );
    let evidence = verdict.reasons[0].evidence.as_ref().unwrap();
    assert_eq!(evidence.place.as_deref(), Some("line 2 column 10"));
    assert_eq!(
        verdict.reasons[0].detail,
        "not strict JSON: Duplicate key \"default\" at line 2 column 10"
    );
}

const REGISTRIES: &str = r#"
[[registry]]
location = "blocked.example"
blocked = true
[[registry]]
location = "weak.example"
insecure = true
[[registry]]
location = "forced.example"
blocked = true
[[registry.mirror]]
location = "mirror.example"
[[registry]]
location = "mirrored.example"
[[registry.mirror]]
location = "mirror.example"
insecure = true
[[registry]]
prefix = "moved.example"
location = "elsewhere.example"
blocked = true
[[registry]]
prefix = "alias.example"
location = "blocked.example/ns"
blocked = true
"#;

/// Policy, name, state, decision, reasons.
const REGISTRY_ROWS: &str = "
accept blocked.example/r:1  violates   rejected reg.blocked policy.accept-anything
accept weak.example/r:1     weak-path  accepted reg.insecure policy.accept-anything
accept forced.example/r:1   unattested accepted policy.accept-anything
accept mirrored.example/r:1 weak-path  accepted reg.mirror policy.accept-anything
accept moved.example/r:1    violates   accepted reg.blocked policy.accept-anything
accept alias.example/r:1    violates   rejected reg.blocked policy.accept-anything
accept other.example/r:1    unattested accepted policy.accept-anything
signed weak.example/r:1     unknown    unknown  sig.not-evaluated reg.insecure
signed blocked.example/r:1  violates   rejected reg.blocked sig.not-evaluated
";

#[test]
fn registries_add_to_what_the_policy_says() {
    let (accept, signed) = (inputs(ACCEPT, REGISTRIES), inputs(SIGNED, REGISTRIES));
    let rows: Vec<Vec<&str>> = REGISTRY_ROWS
        .lines()
        .skip(1)
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(rows.len(), 9);
    for row in rows {
        let [policy, name, state, decision, codes @ ..] = row.as_slice() else {
            panic!("{row:?}")
        };
        let inputs = if *policy == "accept" { &accept } else { &signed };
        let provenance = Provenance::ALL
            .into_iter()
            .find(|provenance| provenance.as_str() == *state)
            .unwrap();
        let decision = serde_json::from_str(&format!("{decision:?}")).unwrap();
        check(inputs, name, provenance, decision, codes);
    }
    let broken = inputs(ACCEPT, "[[registry]]");
    let codes = ["reg.invalid", "policy.accept-anything"];
    check(&broken, "a.b/r:1", Provenance::Unknown, Decision::Unknown, &codes);
}

#[test]
fn files_that_are_missing_or_unreadable_are_told_apart() {
    use {Decision as D, Provenance as P};
    check(&host(&[]), "a.b/r:1", P::Unknown, D::Unknown, &["policy.missing"]);
    let directory = host(&[("/etc/containers/policy.json/x", "")]);
    check(
        &directory,
        "a.b/r:1",
        P::Unknown,
        D::Unknown,
        &["policy.unreadable"],
    );
    let overridden = host(&[
        ("/etc/containers/policy.json", ACCEPT),
        ("/root/.config/containers/policy.json", REJECT),
    ]);
    let codes = ["policy.accept-anything", "policy.user-override"];
    let verdict = check(&overridden, "a.b/r:1", P::Unattested, D::Accepted, &codes);
    let file = &verdict.reasons[1].evidence.as_ref().unwrap().file;
    assert_eq!(file, Path::new("/root/.config/containers/policy.json"));
}

#[test]
fn what_was_made_here_is_local_unless_the_policy_speaks_of_it() {
    use {Decision as D, Provenance as P};
    for (policy, provenance, decision, codes) in [
        (
            ACCEPT,
            P::Local,
            D::Accepted,
            &["src.loaded", "policy.accept-anything"][..],
        ),
        (REJECT, P::Local, D::Rejected, &["src.loaded", "policy.reject"]),
        (SIGNED, P::Local, D::Unknown, &["src.loaded", "sig.not-evaluated"]),
        (LISTED, P::Violates, D::Rejected, &["policy.reject", "src.loaded"]),
        (
            "{}",
            P::Unknown,
            D::InvalidPolicy,
            &["policy.invalid", "src.loaded"],
        ),
    ] {
        let weak = "[[registry]]\nlocation = 'localhost'\ninsecure = true";
        check(
            &inputs(policy, weak),
            "localhost/app:1",
            provenance,
            decision,
            codes,
        );
    }
}

#[test]
fn a_local_name_or_none_does_not_hide_where_an_image_came_from() {
    let inputs = inputs(LISTED, "");
    let state = |names: &[&str], history: &[&str], name: Option<&str>| {
        let verdict = evaluate(&inputs, Engine::ContainersStorage, &image(names, history), name);
        let codes: Vec<String> = verdict.reasons.into_iter().map(|reason| reason.code).collect();
        (verdict.provenance, codes)
    };
    let rejected = ["policy.reject", "src.retagged", "inv.none"]
        .map(str::to_owned)
        .to_vec();
    for (names, history, name) in [
        (
            &["localhost/app:1"][..],
            &["bad.example/r:1"][..],
            Some("localhost/app:1"),
        ),
        (
            &["localhost/app:1", "bad.example/r:1"],
            &[],
            Some("localhost/app:1"),
        ),
        (&[], &["bad.example/r:1"], None),
    ] {
        assert_eq!(
            state(names, history, name),
            (Provenance::Violates, rejected.clone()),
            "{names:?}"
        );
    }
    let unnamed = ["src.unnamed", "inv.none"].map(str::to_owned).to_vec();
    assert_eq!(
        state(&[], &["localhost/old:1"], None),
        (Provenance::Unknown, unnamed)
    );
}

#[test]
fn the_worst_is_taken_on_each_axis_for_itself() {
    let verdict = |provenance, quality| Verdict {
        name: None,
        provenance,
        quality,
        decision: Decision::Unknown,
        reasons: Vec::new(),
    };
    assert_eq!(worst([]), None);
    for (a, b, provenance, quality) in [
        (
            (Provenance::Verified, Grade::F),
            (Provenance::Local, Grade::A),
            Provenance::Local,
            Grade::F,
        ),
        (
            (Provenance::Violates, Grade::B),
            (Provenance::WeakPath, Grade::Unknown),
            Provenance::Violates,
            Grade::Unknown,
        ),
        (
            (Provenance::Unknown, Grade::Unknown),
            (Provenance::Local, Grade::F),
            Provenance::Unknown,
            Grade::F,
        ),
    ] {
        let verdicts = [verdict(a.0, a.1), verdict(b.0, b.1)];
        let expected = Some(TrustReport { provenance, quality });
        assert_eq!(worst(&verdicts), expected);
        assert_eq!(worst(verdicts.iter().rev()), expected);
    }
}

proptest::proptest! {
    #[test]
    fn a_verdict_is_total_and_has_reasons(name: String, history: String) {
        let inputs = host(&[]);
        let verdict = evaluate(&inputs, Engine::ContainersStorage, &image(&[&name], &[&history]), Some(&name));
        proptest::prop_assert!(!verdict.reasons.is_empty());
        proptest::prop_assert_eq!(verdict.provenance, Provenance::Unknown);
    }
}
