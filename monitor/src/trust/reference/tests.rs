//! Rows of the public grammar's behaviour: what is a name, what it expands to, what is refused.

use super::*;

const HEX: &str = "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff";

/// Parses `text` and compares registry, path, tag and whether there is a digest with the row; `None` is a refusal.
fn check(text: &str, expected: Option<(&str, &str, Option<&str>, bool)>) {
    let text = text.replace("HEX", HEX);
    let parsed = Reference::parse(&text);
    let found = parsed
        .as_ref()
        .ok()
        .map(|r| (r.domain(), r.path(), r.tag(), r.digest().is_some()));
    assert_eq!(found, expected, "{text}: {parsed:?}");
}

/// Written name, registry, path, tag, digest; `-` is none.
const NAMES: &str = "
busybox  docker.io  library/busybox  -  -
busybox:1.36  docker.io  library/busybox  1.36  -
docker.io/busybox  docker.io  library/busybox  -  -
index.docker.io/busybox  docker.io  library/busybox  -  -
index.docker.io/library/busybox  docker.io  library/busybox  -  -
user/app  docker.io  user/app  -  -
docker.io/user/app:v1  docker.io  user/app  v1  -
localhost/app:2  localhost  app  2  -
localhost:5000/app  localhost:5000  app  -  -
example.com/app  example.com  app  -  -
example:5000/repo  example:5000  repo  -  -
192.168.0.1:80  docker.io  library/192.168.0.1  80  -
test.com:5000  docker.io  library/test.com  5000  -
LOCALDOMAIN/debian  LOCALDOMAIN  debian  -  -
Docker/docker  Docker  docker  -  -
UPPER/case:T  UPPER  case  T  -
lowercase:Uppercase  docker.io  library/lowercase  Uppercase  -
repo@sha256:HEX  docker.io  library/repo  -  digest
test:5000/repo:tag@sha256:HEX  test:5000  repo  tag  digest
b.gcr.io/test.example.com/my-app:test.example.com  b.gcr.io  test.example.com/my-app  test.example.com  -
xn--n3h.com/myimage:xn--n3h.com  xn--n3h.com  myimage  xn--n3h.com  -
foo_bar.com:8080  docker.io  library/foo_bar.com  8080  -
foo/foo_bar.com:8080  docker.io  foo/foo_bar.com  8080  -
foo_bar.com/x  -  foo_bar.com/x  -  -
doc/docker  docker.io  doc/docker  -  -
docker---rules/dock__er  docker.io  docker---rules/dock__er  -  -
docker.io/HEX  docker.io  library/HEX  -  -
";

#[test]
fn short_names_are_expanded_and_no_tag_is_added() {
    let rows: Vec<Vec<&str>> = NAMES
        .lines()
        .skip(1)
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(rows.len(), 27);
    for row in rows {
        let [text, domain, path, tag, digest] = row[..] else {
            panic!("{row:?}")
        };
        let absent = |field| (field != "-").then_some(field);
        let path = path.replace("HEX", HEX);
        check(
            text,
            Some((
                absent(domain).unwrap_or_default(),
                &path,
                absent(tag),
                absent(digest).is_some(),
            )),
        );
    }
}

#[test]
fn ipv6_hosts_stand_in_brackets() {
    for (text, expected) in [
        ("[2001:db8::1]/repo", Some(("[2001:db8::1]", None))),
        (
            "[2001:db8::1]:5000/repo:tag",
            Some(("[2001:db8::1]:5000", Some("tag"))),
        ),
        (
            "[2001:db8:1:2:3:4:5:6]/repo:tag",
            Some(("[2001:db8:1:2:3:4:5:6]", Some("tag"))),
        ),
        ("[2001:db8::]:5000/repo", Some(("[2001:db8::]:5000", None))),
        ("[::]/repo", Some(("[::]", None))),
        ("[2001:db8::1]", None),
        ("[2001:db8::1]:5000", None),
        ("[2001:db8::1]:tag", None),
        ("[fe80::1%eth0]:5000/repo", None),
        ("[fe80::1%@invalidzone]:5000/repo", None),
        ("[2001:db8:3:4::192.0.2.33]:5000/repo", None),
        ("fc00::1:5000/debian", None),
        ("[]/repo", None),
        ("[::1]:/repo", None),
    ] {
        check(text, expected.map(|(domain, tag)| (domain, "repo", tag, false)));
    }
}

#[test]
fn what_is_no_name_is_refused() {
    let long_path = format!("domain.com/{}:tag", "a".repeat(256));
    let long_tag = format!("repo:{}", "t".repeat(129));
    for text in [
        "",
        ":justtag",
        "@sha256:HEX",
        "HEX",
        "repo@sha256:ffffffffffffffffffffffffffffffffff",
        "validname@invaliddigest:HEX",
        "repo@sha256:HEX@sha256:HEX",
        "Uppercase:tag",
        "test:5000/Uppercase/lowercase:tag",
        "docker/Docker",
        "docker.io/docker/Docker",
        "aa/asdf$$^/aa",
        "https://github.com/docker/docker",
        "-docker",
        "-docker/docker",
        "-docker.io/docker/docker",
        "docker///docker",
        "docker/",
        "docker-/docker",
        "____/____",
        "_docker/_docker",
        "dock..er/docker",
        "dock_.er/docker",
        "dock-.er/docker",
        "repo:",
        "repo:-tag",
        "repo:a/b:c:d",
        " repo",
        "repo\n",
        "caf\u{e9}/repo",
        &long_path,
        &long_tag,
    ] {
        check(text, None);
    }
}

#[test]
fn the_kind_of_refusal_is_told() {
    for (text, matches) in [
        (
            HEX,
            (|e| matches!(e, ReferenceError::Identifier)) as fn(&ReferenceError) -> bool,
        ),
        ("docker/Docker", |e| matches!(e, ReferenceError::Uppercase { .. })),
        ("a@sha256:12", |e| matches!(e, ReferenceError::Digest { .. })),
        ("a b", |e| matches!(e, ReferenceError::Format { .. })),
    ] {
        let error = Reference::parse(text).unwrap_err();
        assert!(matches(&error), "{text}: {error:?}");
    }
    let error = Reference::parse("a\u{1b}[31m").unwrap_err().to_string();
    assert_eq!(error, "invalid reference format: \"a\\x1b[31m\"");
}

#[test]
fn only_a_full_name_is_canonical() {
    for (text, canonical) in [
        ("docker.io/library/busybox:1", true),
        ("example.com/ns/app@sha256:HEX", true),
        ("busybox", false),
        ("index.docker.io/library/busybox", false),
    ] {
        assert_eq!(
            Reference::parse_canonical(&text.replace("HEX", HEX)).is_ok(),
            canonical,
            "{text}"
        );
    }
}

#[test]
fn what_the_transport_asks_for_has_one_of_tag_and_digest() {
    for (text, asked) in [
        ("busybox", "docker.io/library/busybox:latest"),
        ("busybox:1", "docker.io/library/busybox:1"),
        ("busybox:1@sha256:HEX", "docker.io/library/busybox@sha256:HEX"),
    ] {
        let reference = Reference::parse(&text.replace("HEX", HEX)).unwrap();
        assert_eq!(
            reference.without_redundant_tag().with_default_tag().to_string(),
            asked.replace("HEX", HEX)
        );
    }
}

proptest::proptest! {
    #[test]
    fn parsing_is_total_and_printing_is_stable(text in "[a-zA-Z0-9._:@/\\[\\]-]{0,60}|\\PC{0,40}") {
        if let Ok(reference) = Reference::parse(&text) {
            let printed = reference.to_string();
            // A first component that is no host has no registry to keep it out of Docker Hub's names.
            if !reference.domain().is_empty() {
                proptest::prop_assert_eq!(Reference::parse(&printed).unwrap().to_string(), printed);
            }
        }
    }
}
