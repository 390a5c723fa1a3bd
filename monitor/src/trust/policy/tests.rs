//! Rows of valid and invalid policies: what each option rule accepts, and where a fault is said to be.

use super::*;

const ACCEPT: &str = r#"{"type":"insecureAcceptAnything"}"#;

/// Parses a policy whose default is the one requirement given.
fn with_default(requirement: &str) -> Result<Policy, PolicyError> {
    Policy::parse(format!(r#"{{"default":[{requirement}]}}"#).as_bytes())
}

/// The place of the fault, or `None` for a valid policy.
fn check(text: &str, place: Option<&str>) {
    let parsed = Policy::parse(text.replace("ACCEPT", ACCEPT).as_bytes());
    assert_eq!(
        parsed.as_ref().err().map(PolicyError::place).as_deref(),
        place,
        "{text}: {parsed:?}"
    );
}

fn check_requirements(rows: &[(&str, bool)]) {
    for (requirement, good) in rows {
        let parsed = with_default(requirement);
        assert_eq!(parsed.is_ok(), *good, "{requirement}: {parsed:?}");
    }
}

#[test]
fn the_frame_is_strict_and_faults_have_a_place() {
    for (text, place) in [
        (r#"{"default":[ACCEPT]}"#, None),
        (r#"{"default":[ACCEPT],"transports":{}}"#, None),
        (
            r#"{"default":[ACCEPT],"transports":{"docker":{"":[ACCEPT],"exa*.com":[ACCEPT]}}}"#,
            None,
        ),
        (
            r#"{"default":[ACCEPT],"transports":{"no-such":{"/..":[ACCEPT]}}}"#,
            None,
        ),
        ("{}", Some("default")),
        (r#"{"transports":{}}"#, Some("default")),
        ("[]", Some("top level")),
        ("null", Some("top level")),
        ("", Some("line 1 column 0")),
        (r#"{"default":[ACCEPT]} x"#, Some("line 1 column 49")),
        (
            r#"{"default":[ACCEPT],"default":[ACCEPT]}"#,
            Some("line 1 column 56"),
        ),
        (r#"{"default":[]}"#, Some("default")),
        (r#"{"default":null}"#, Some("default")),
        (r#"{"default":ACCEPT}"#, Some("default")),
        (r#"{"default":[null]}"#, Some("default[0]")),
        (r#"{"default":[ACCEPT,{"type":"nothing"}]}"#, Some("default[1]")),
        (r#"{"default":[{}]}"#, Some("default[0]")),
        (r#"{"default":[{"type":1}]}"#, Some("default[0].type")),
        (r#"{"default":[{"type":"reject","x":1}]}"#, Some("default[0]")),
        (r#"{"default":[{"Type":"reject"}]}"#, Some("default[0]")),
        (r#"{"default":[ACCEPT],"x":1}"#, Some("top level")),
        (r#"{"default":[ACCEPT],"transports":null}"#, Some("transports")),
        (
            r#"{"default":[ACCEPT],"transports":{"docker":null}}"#,
            Some("transports.docker"),
        ),
        (
            r#"{"default":[ACCEPT],"transports":{"docker":{"a.b/c":[]}}}"#,
            Some(r#"transports.docker."a.b/c""#),
        ),
        (
            r#"{"default":[ACCEPT],"transports":{"dir":{"/":[ACCEPT]}}}"#,
            Some(r#"transports.dir."/""#),
        ),
        (
            r#"{"default":[ACCEPT],"transports":{"containers-storage":{"/s":[ACCEPT]}}}"#,
            Some(r#"transports.containers-storage."/s""#),
        ),
        (
            "{\"default\":[ACCEPT],\"transports\":{\"docker\":{\"\\u001b[31m\":[]}}}",
            Some(r#"transports.docker."\x1b[31m""#),
        ),
    ] {
        check(text, place);
    }
}

#[test]
fn signed_by_takes_exactly_one_key_source() {
    check_requirements(&[
        (r#"{"type":"signedBy","keyType":"GPGKeys","keyPath":"/k"}"#, true),
        (
            r#"{"type":"signedBy","keyType":"GPGKeys","keyPaths":["/k","/l"]}"#,
            true,
        ),
        (r#"{"type":"signedBy","keyType":"GPGKeys","keyPaths":[]}"#, true),
        (
            r#"{"type":"signedBy","keyType":"GPGKeys","keyData":"AAEC"}"#,
            true,
        ),
        (
            r#"{"type":"signedBy","keyType":"GPGKeys","keyData":"AA\nEC"}"#,
            true,
        ),
        (r#"{"type":"signedBy","keyType":"GPGKeys","keyData":""}"#, true),
        (
            r#"{"type":"signedBy","keyType":"GPGKeys","keyData":[0,1,255]}"#,
            true,
        ),
        (
            r#"{"type":"signedBy","keyType":"GPGKeys","keyData":[256]}"#,
            false,
        ),
        (
            r#"{"type":"signedBy","keyType":"GPGKeys","keyData":"AAE"}"#,
            false,
        ),
        (r#"{"type":"signedBy","keyType":"GPGKeys","keyData":null}"#, false),
        (r#"{"type":"signedBy","keyType":"GPGKeys","keyPath":""}"#, false),
        (
            r#"{"type":"signedBy","keyType":"GPGKeys","keyPath":"","keyData":"AAEC"}"#,
            false,
        ),
        (
            r#"{"type":"signedBy","keyType":"GPGKeys","keyPath":"/k","keyPaths":["/l"]}"#,
            false,
        ),
        (r#"{"type":"signedBy","keyType":"GPGKeys"}"#, false),
        (r#"{"type":"signedBy","keyPath":"/k"}"#, false),
        (r#"{"type":"signedBy","keyType":"gpgkeys","keyPath":"/k"}"#, false),
        (r#"{"type":"signedBy","keyType":"GPGKeys","keyPath":7}"#, false),
        (
            r#"{"type":"signedBy","keyType":"GPGKeys","keyPaths":["/k",7]}"#,
            false,
        ),
        (
            r#"{"type":"signedBy","keyType":"GPGKeys","keyDatas":["AAEC"]}"#,
            false,
        ),
        (
            r#"{"type":"signedBy","keyType":"signedByX509CAs","keyPath":"/k"}"#,
            true,
        ),
        (
            r#"{"type":"signedBaseLayer","baseLayerIdentity":{"type":"matchExact"}}"#,
            true,
        ),
        (r#"{"type":"signedBaseLayer"}"#, false),
    ]);
}

#[test]
fn sigstore_signed_takes_one_authority_and_the_log_that_it_needs() {
    let fulcio = r#""fulcio":{"caPath":"/c","oidcIssuer":"https://i","subjectEmail":"a@b"}"#;
    let pki = r#""pki":{"caRootsPath":"/r","subjectEmail":"a@b"}"#;
    for (options, good) in [
        (r#""keyPath":"/k""#, true),
        (r#""keyPath":"","keyData":"AAEC""#, true),
        (r#""keyPaths":["/k"]"#, true),
        (r#""keyDatas":["AAEC","AAED"]"#, true),
        (r#""keyPath":"/k","rekorPublicKeyPath":"/r""#, true),
        (r#""keyPath":"/k","rekorPublicKeyDatas":["AAEC"]"#, true),
        (r#""keyPaths":[]"#, false),
        (r#""keyPath":"/k","keyDatas":[]"#, false),
        (r#""keyPath":"/k","rekorPublicKeyPaths":[]"#, false),
        (r#""keyPath":"/k","keyData":"AAEC""#, false),
        (
            r#""keyPath":"/k","rekorPublicKeyPath":"/r","rekorPublicKeyData":"AAEC""#,
            false,
        ),
        (r#""keyType":"GPGKeys","keyPath":"/k""#, false),
        (r#""rekorPublicKeyPath":"/r""#, false),
        ("FULCIO,\"rekorPublicKeyPath\":\"/r\"", true),
        ("FULCIO", false),
        ("FULCIO,\"keyPath\":\"/k\",\"rekorPublicKeyPath\":\"/r\"", false),
        ("PKI", true),
        ("PKI,\"rekorPublicKeyPath\":\"/r\"", false),
        (r#""fulcio":null,"rekorPublicKeyPath":"/r""#, false),
        (
            r#""fulcio":{"caPath":"/c","caData":"AAEC","oidcIssuer":"i","subjectEmail":"e"},"rekorPublicKeyPath":"/r""#,
            false,
        ),
        (
            r#""fulcio":{"caPath":"/c","oidcIssuer":"","subjectEmail":"e"},"rekorPublicKeyPath":"/r""#,
            false,
        ),
        (
            r#""fulcio":{"caPath":"/c","oidcIssuer":"i"},"rekorPublicKeyPath":"/r""#,
            false,
        ),
        (
            r#""fulcio":{"caPath":"/c","oidcIssuer":"i","subjectEmail":"e","x":1},"rekorPublicKeyPath":"/r""#,
            false,
        ),
        (r#""pki":{"caRootsPath":"/r"}"#, false),
        (r#""pki":{"subjectEmail":"e"}"#, false),
        (
            r#""pki":{"caRootsData":"AAEC","caIntermediatesData":"AAEC","subjectHostname":"h"}"#,
            true,
        ),
        (
            r#""pki":{"caRootsPath":"/r","caIntermediatesPath":"/i","caIntermediatesData":"AAEC","subjectHostname":"h"}"#,
            false,
        ),
    ] {
        let options = options.replace("FULCIO", fulcio).replace("PKI", pki);
        check_requirements(&[(&format!(r#"{{"type":"sigstoreSigned",{options}}}"#), good)]);
    }
}

#[test]
fn identities_are_parsed_and_validated() {
    for (identity, good) in [
        (r#"{"type":"matchExact"}"#, true),
        (r#"{"type":"matchRepoDigestOrExact"}"#, true),
        (r#"{"type":"matchRepository"}"#, true),
        (r#"{"type":"matchExact","x":1}"#, false),
        (r#"{"type":"unknown"}"#, false),
        ("{}", false),
        ("null", false),
        (
            r#"{"type":"exactReference","dockerReference":"example.com/r:1"}"#,
            true,
        ),
        (
            r#"{"type":"exactReference","dockerReference":"example.com/r"}"#,
            false,
        ),
        (r#"{"type":"exactReference","dockerReference":"UPPER"}"#, false),
        (r#"{"type":"exactReference"}"#, false),
        (
            r#"{"type":"exactRepository","dockerRepository":"example.com/r"}"#,
            true,
        ),
        (r#"{"type":"exactRepository","dockerRepository":"/"}"#, false),
        (
            r#"{"type":"remapIdentity","prefix":"example.com:5000","signedPrefix":"other.example/ns"}"#,
            true,
        ),
        (
            r#"{"type":"remapIdentity","prefix":"example.com/NS","signedPrefix":"other.example"}"#,
            false,
        ),
        (r#"{"type":"remapIdentity","prefix":"example.com"}"#, false),
        (
            r#"{"type":"remapIdentity","prefix":"example.com/","signedPrefix":"other.example"}"#,
            false,
        ),
    ] {
        check_requirements(&[(
            &format!(
                r#"{{"type":"signedBy","keyType":"GPGKeys","keyPath":"/k","signedIdentity":{identity}}}"#
            ),
            good,
        )]);
    }
}

#[test]
fn what_is_read_is_what_stands_there() {
    let policy = with_default(r#"{"type":"signedBy","keyType":"GPGKeys","keyData":"AAEC"}"#).unwrap();
    let expected = Requirement::SignedBy(SignedBy {
        key_type: KeyType::GpgKeys,
        keys: KeySource::Inline(vec![0, 1, 2]),
        identity: SignedIdentity::MatchRepoDigestOrExact,
    });
    assert_eq!(policy.default, [expected]);
    assert_eq!(policy.transports, BTreeMap::new());
}

#[test]
fn the_most_specific_scope_alone_applies() {
    let text = r#"{"default":[{"type":"reject"}],"transports":{
        "docker":{"":[ACCEPT],"example.com":[{"type":"reject"}],"example.com/ns/r:1":[ACCEPT],"*.example.com":[{"type":"reject"}]},
        "atomic":{"":[ACCEPT]}}}"#
        .replace("ACCEPT", ACCEPT);
    let policy = Policy::parse(text.as_bytes()).unwrap();
    for (name, place) in [
        ("example.com/ns/r:1", r#"transports.docker."example.com/ns/r:1""#),
        ("example.com/ns/r:2", r#"transports.docker."example.com""#),
        ("example.com:5000/r:2", r#"transports.docker."""#),
        ("a.b.example.com:5000/r:2", r#"transports.docker."*.example.com""#),
        ("busybox:1", r#"transports.docker."""#),
    ] {
        let identity = ImageIdentity::docker(&Reference::parse(name).unwrap()).unwrap();
        assert_eq!(
            policy.requirements_for(&identity).place.to_string(),
            place,
            "{name}"
        );
    }
    let elsewhere = policy.requirements_for(&ImageIdentity::directory("/a"));
    assert_eq!(
        (elsewhere.place.to_string().as_str(), elsewhere.scope),
        ("default", None)
    );
}

#[test]
fn one_requirement_that_rejects_decides() {
    let signed = r#"{"type":"signedBy","keyType":"GPGKeys","keyPath":"/k"}"#;
    let reject = r#"{"type":"reject"}"#;
    let base = r#"{"type":"signedBaseLayer","baseLayerIdentity":{"type":"matchExact"}}"#;
    let x509 = r#"{"type":"signedBy","keyType":"X509Certificates","keyPath":"/k"}"#;
    for (list, outcome) in [
        (vec![ACCEPT], Outcome::Accepted),
        (vec![ACCEPT, ACCEPT], Outcome::Accepted),
        (vec![ACCEPT, reject], Outcome::Rejected(1)),
        (vec![signed, reject], Outcome::Rejected(1)),
        (vec![ACCEPT, signed, signed], Outcome::NeedsSignature(1)),
        (vec![signed, base], Outcome::Unimplemented(1)),
        (vec![x509], Outcome::Unimplemented(0)),
    ] {
        let policy = with_default(&list.join(",")).unwrap();
        assert_eq!(Outcome::of(&policy.default), outcome, "{list:?}");
    }
}

proptest::proptest! {
    #[test]
    fn parsing_is_total(bytes: Vec<u8>, text in "[\\[\\]{}:,\"a-zA-Z0-9 ]{0,80}") {
        // A policy without a default is no policy, whatever else it is.
        proptest::prop_assert!(Policy::parse(&bytes).is_err() || bytes.len() > 20);
        proptest::prop_assert!(Policy::parse(text.as_bytes()).is_err() || text.contains("default"));
    }

    #[test]
    fn a_cut_policy_is_invalid(cut in 0_usize..70) {
        let whole = format!(r#"{{"default":[{ACCEPT}],"transports":{{"docker":{{}}}}}}"#);
        proptest::prop_assert!(Policy::parse(whole.as_bytes()).is_ok());
        proptest::prop_assert!(Policy::parse(&whole.as_bytes()[..cut]).is_err());
    }
}
