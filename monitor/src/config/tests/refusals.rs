//! What is refused, with which words: unknown keys, values that do not fit, broken files.

use super::*;

/// The message for a text that is refused; `None` if it is not.
fn check(text: &str, message: Option<&str>) {
    let found = load_text(text, &[], &[]).err().map(|error| error.to_string());
    assert_eq!(found.as_deref(), message, "{text}");
}

#[test]
fn an_unknown_key_is_refused_with_its_place_and_the_nearest_one() {
    for (text, message) in [
        (
            "[alertmanager]\n  timout = '1s'",
            r#"/etc/test.toml:2:3: unknown key "alertmanager.timout", did you mean "alertmanager.timeout"?"#,
        ),
        (
            "[alertmanger]\ntimeout = '1s'",
            r#"/etc/test.toml:1:2: unknown key "alertmanger", did you mean "alertmanager"?"#,
        ),
        (
            "alertmanager.basic.usrname = ''",
            r#"/etc/test.toml:1:20: unknown key "alertmanager.basic.usrname", did you mean "alertmanager.basic.username"?"#,
        ),
        (
            "tier = 'b'",
            r#"/etc/test.toml:1:1: unknown key "tier", did you mean "watch.tier"?"#,
        ),
        (
            "[log]\nlisten = []",
            r#"/etc/test.toml:2:1: unknown key "log.listen", did you mean "web.listen"?"#,
        ),
        ("zzzzzz = 1", r#"/etc/test.toml:1:1: unknown key "zzzzzz""#),
        (
            "log = 'info'",
            r#"/etc/test.toml:1:1: "log" is a section, not a key: write [log]"#,
        ),
        (
            "\"a\\u001b[31m\" = 1",
            r#"/etc/test.toml:1:1: unknown key "a\x1b[31m""#,
        ),
    ] {
        check(text, Some(message));
    }
    let flag = load_text("", &[], &["web.listn=x"]).unwrap_err().to_string();
    assert_eq!(
        flag,
        r#"command line: unknown key "web.listn", did you mean "web.listen"?"#
    );
}

/// A file and the message that refuses it; `hunter2` stands for what nobody may see.
const VALUES: &[(&str, &str)] = &[
    (
        "[scan]\ndeadline = 10",
        "/etc/test.toml:2:1: scan.deadline: expected a duration such as \"10s\", \"15m\" or \"1h30m\"",
    ),
    (
        "[scan]\ndeadline = '0s'",
        "/etc/test.toml:2:1: scan.deadline: it must be longer than nothing",
    ),
    (
        "schema = 2",
        "/etc/test.toml:1:1: schema: only version 1 of the format exists",
    ),
    (
        "state_directory = 'var'",
        "/etc/test.toml:1:1: state_directory: expected an absolute path",
    ),
    (
        "state_directory = ''",
        "/etc/test.toml:1:1: state_directory: it must not be empty",
    ),
    (
        "[watch]\ntier = 'hunter2'",
        "/etc/test.toml:2:1: watch.tier: an entry is no tier: a, b, c or d",
    ),
    (
        "[watch]\ntier = ''",
        "/etc/test.toml:2:1: watch.tier: an entry is no tier: a, b, c or d",
    ),
    (
        "[watch]\ntier = '!a,!b,!c,!d'",
        "/etc/test.toml:2:1: watch.tier: it leaves no tier",
    ),
    (
        "[watch]\nexclude_tiers = ['hunter2']",
        "/etc/test.toml:2:1: watch.exclude_tiers: an entry is no tier: a, b, c or d",
    ),
    (
        "[watch]\nexclude_tiers = ['a', 'b', 'c', 'd']",
        "/etc/test.toml:2:1: watch.exclude_tiers: it leaves no tier",
    ),
    (
        "[watch]\ntier = 'b'\nexclude_tiers = ['b']",
        "/etc/test.toml:3:1: watch.exclude_tiers: it excludes the tier that watch.tier asks for",
    ),
    (
        "[web]\nlisten = ['hunter2']",
        "/etc/test.toml:2:1: web.listen: an entry is no address with a port",
    ),
    (
        "[sinks.log]\npath = 'hunter2'",
        "/etc/test.toml:2:1: sinks.log.path: it is neither an absolute path nor -",
    ),
    (
        "[stores]\nroots = ['hunter2']",
        "/etc/test.toml:2:1: stores.roots: an entry is no absolute path",
    ),
    (
        "[alertmanager]\nqueue = 0",
        "/etc/test.toml:2:1: alertmanager.queue: it must be between 1 and 1000000",
    ),
    (
        "[alertmanager]\nqueue = -1",
        "/etc/test.toml:2:1: alertmanager.queue: expected a whole number",
    ),
    (
        "[alertmanager]\nhold = '1m'",
        "/etc/test.toml:2:1: alertmanager.hold: it must be longer than alertmanager.resend",
    ),
    (
        "[alertmanager]\nenabled = true",
        "default: alertmanager.urls: it is empty, and alertmanager.enabled is true",
    ),
    (
        "[alertmanager]\nurls = ['ftp://hunter2']",
        "/etc/test.toml:2:1: alertmanager.urls: an entry is neither http nor https",
    ),
    (
        "[alertmanager]\nurls = ['http://u:hunter2@h']",
        "/etc/test.toml:2:1: alertmanager.urls: an entry holds credentials; use alertmanager.basic or alertmanager.bearer_file",
    ),
    (
        "[alertmanager]\nurls = ['http://h?hunter2']",
        "/etc/test.toml:2:1: alertmanager.urls: an entry has a query or a fragment",
    ),
    (
        "[alertmanager]\ncert_file = '/c'",
        "/etc/test.toml:2:1: alertmanager.cert_file: alertmanager.key_file is missing",
    ),
    (
        "[alertmanager.basic]\nusername = 'hunter2'",
        "/etc/test.toml:2:1: alertmanager.basic.username: alertmanager.basic.password_file is missing",
    ),
    (
        "[alertmanager]\nbearer_file = '/b'\nbasic = { username = 'u', password_file = '/p' }",
        "/etc/test.toml:2:1: alertmanager.bearer_file: a token and alertmanager.basic cannot be used together",
    ),
    (
        "[alertmanager]\nbearer_file = '${CREDENTIALS_DIRECTORY}/b'",
        "/etc/test.toml:2:1: alertmanager.bearer_file: CREDENTIALS_DIRECTORY is not set",
    ),
    (
        "[alertmanager.external_labels]\n__x = ''",
        "/etc/test.toml:1:15: alertmanager.external_labels: a name is no label name of Prometheus",
    ),
    (
        "[alertmanager]\nexternal_labels = { a = 1 }",
        "/etc/test.toml:2:1: alertmanager.external_labels: expected a table of texts",
    ),
];

#[test]
fn values_that_do_not_fit_are_refused_without_being_shown() {
    for (text, message) in VALUES {
        check(text, Some(message));
        assert!(!message.contains("hunter2"));
    }
    let variable = load_text("", &["LAYERWATCH_LOG_LEVEL=hunter2"], &[])
        .unwrap_err()
        .to_string();
    let levels = r#"expected one of "error", "warn", "info", "debug", "trace""#;
    assert_eq!(variable, format!("LAYERWATCH_LOG_LEVEL: log.level: {levels}"));
}

#[test]
fn a_broken_file_is_refused_with_its_place_and_without_its_content() {
    for (text, line, column) in [
        ("a = hunter2", 1, 5),
        ("schema = 1\nnode_name = 'hunter2", 2, 21),
        ("[log\nlevel = 'hunter2'", 1, 5),
        ("node_name = 'a'\nnode_name = 'hunter2'", 2, 1),
        ("node_name = \"hunter2\\q\"", 1, 22),
        ("é = 'hunter2'", 1, 1),
        ("hunter2", 1, 8),
    ] {
        let error = load_text(text, &[], &[]).unwrap_err();
        let ConfigError::Syntax { at, what } = &error else {
            panic!("{text}: {error:?}")
        };
        assert_eq!((at.line, at.column), (line, column), "{text}: {what}");
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
    }
}
