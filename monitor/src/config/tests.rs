//! The configuration as a whole: precedence, origins, suggestions, rules, and the files made from the table.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::*;

const FILE: &str = "/etc/test.toml";

/// Loads a text as the file, under variables and flags given as `KEY=VALUE`.
fn load_text(text: &str, env: &[&str], flags: &[&str]) -> Result<Config, ConfigError> {
    let split = |pair: &&str| {
        let (name, value) = pair.split_once('=').unwrap();
        (name.to_owned(), value.to_owned())
    };
    let env: BTreeMap<String, String> = env.iter().map(split).collect();
    let mut overrides = FlagOverrides::default();
    for (key, value) in flags.iter().map(split) {
        overrides.set(&key, &value);
    }
    let document = Document::parse(text, Path::new(FILE))?;
    resolve::resolve(settings(document, &env, &overrides)?, &env, "host-1")
}

/// The message for a text that is refused; `None` if it is not.
fn check(text: &str, message: Option<&str>) {
    let found = load_text(text, &[], &[]).err().map(|error| error.to_string());
    assert_eq!(found.as_deref(), message, "{text}");
}

#[test]
fn nothing_set_gives_the_defaults() {
    let config = load_text("", &[], &[]).unwrap();
    assert_eq!(config.node_name, "host-1");
    assert_eq!(config.state_directory, Path::new("/var/lib/layerwatch"));
    assert_eq!(
        config.log,
        Logging {
            level: tracing::Level::INFO,
            format: LogFormat::Text
        }
    );
    assert_eq!(
        config.stores,
        Stores {
            roots: Vec::new(),
            host_root: PathBuf::from("/")
        }
    );
    assert_eq!(
        config.watch,
        Watch {
            tier: TierChoice::Auto,
            exclude_tiers: Vec::new()
        }
    );
    assert_eq!(config.scan.deadline, Duration::from_secs(120));
    assert_eq!(
        config.web.listen,
        ["127.0.0.1:9880".parse::<SocketAddr>().unwrap()]
    );
    assert_eq!(config.alertmanager, None);
    assert_eq!(
        config.log_sink,
        LogSink {
            target: LogTarget::Stdout,
            verbose: false
        }
    );
    assert!(config.privilege.drop_after_attach);
    assert!(
        config
            .settings
            .all
            .iter()
            .all(|setting| setting.origin == Origin::Default)
    );
}

#[test]
fn flags_come_before_variables_before_the_file_before_defaults() {
    let file = "[scan]\ndeadline = '1m'";
    let (variable, flag) = ("LAYERWATCH_SCAN_DEADLINE=2m", "scan.deadline=3m");
    let position = Position {
        path: PathBuf::from(FILE),
        line: 2,
        column: 1,
    };
    for (text, env, flags, minutes, origin) in [
        (file, &[variable][..], &[flag][..], 3, Origin::Flag),
        (
            file,
            &[variable],
            &[],
            2,
            Origin::Environment("LAYERWATCH_SCAN_DEADLINE".to_owned()),
        ),
        (file, &[], &[], 1, Origin::File(position)),
        ("", &[], &[], 2, Origin::Default),
        ("", &[], &["scan.deadline=9m", flag], 3, Origin::Flag),
    ] {
        let config = load_text(text, env, flags).unwrap();
        assert_eq!(config.scan.deadline, Duration::from_secs(60 * minutes));
        assert_eq!(config.settings.origin("scan.deadline"), origin);
    }
}

#[test]
fn every_key_can_be_set_by_file_variable_and_flag() {
    let text = "
        node_name = 'n'
        [stores]
        roots = ['/a', '/b']
        [alertmanager]
        enabled = true
        urls = ['https://am-1:9093/x', 'http://am-2:9093']
        queue = 5
        external_labels = { cluster = 'dev' }
        cert_file = '/c'
        key_file = '/k'
        basic = { username = 'u', password_file = '${CREDENTIALS_DIRECTORY}/p' }
    ";
    let env = [
        "CREDENTIALS_DIRECTORY=/run/credentials/layerwatch",
        "LAYERWATCH_WATCH_TIER=d",
        "LAYERWATCH_WATCH_EXCLUDE_TIERS=b",
        "LAYERWATCH_WEB_LISTEN=127.0.0.1:1, [::1]:2",
        "LAYERWATCH_SINKS_LOG_VERBOSE=true",
    ];
    let config = load_text(text, &env, &["sinks.log.path=/l", "log.format=json"]).unwrap();
    assert_eq!(config.node_name, "n");
    assert_eq!(config.stores.roots, ["/a", "/b"].map(PathBuf::from));
    assert_eq!(
        config.watch,
        Watch {
            tier: TierChoice::Only(Tier::D),
            exclude_tiers: vec![Tier::B]
        }
    );
    assert_eq!(
        config.web.listen,
        ["127.0.0.1:1", "[::1]:2"].map(|text| text.parse::<SocketAddr>().unwrap())
    );
    assert_eq!(
        config.log_sink,
        LogSink {
            target: LogTarget::File(PathBuf::from("/l")),
            verbose: true
        }
    );
    assert_eq!(config.log.format, LogFormat::Json);
    let alertmanager = config.alertmanager.unwrap();
    let urls: Vec<&str> = alertmanager.urls.iter().map(reqwest::Url::as_str).collect();
    assert_eq!(urls, ["https://am-1:9093/x", "http://am-2:9093/"]);
    assert_eq!(
        (alertmanager.queue, alertmanager.hold),
        (5, Duration::from_secs(900))
    );
    assert_eq!(
        alertmanager.external_labels,
        BTreeMap::from([("cluster".to_owned(), "dev".to_owned())])
    );
    let authentication = Authentication::Basic {
        username: "u".to_owned(),
        password_file: PathBuf::from("/run/credentials/layerwatch/p"),
    };
    assert_eq!(alertmanager.authentication, Some(authentication));
    let labels = load_text("", &["LAYERWATCH_ALERTMANAGER_EXTERNAL_LABELS=a=1,b=2=3"], &[]).unwrap();
    assert_eq!(
        labels
            .settings
            .find("alertmanager.external_labels")
            .unwrap()
            .value
            .to_string(),
        r#"{ a = "1", b = "2=3" }"#
    );
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

#[test]
fn a_variable_that_is_no_key_is_told_and_not_refused() {
    let config = load_text(
        "",
        &["LAYERWATCH_PORT=tcp://10.0.0.1:9880", "LAYERWATCH_LOG_LEVL=debug"],
        &[],
    )
    .unwrap();
    let ignored: Vec<_> = config
        .settings
        .ignored
        .iter()
        .map(|one| (one.name.as_str(), one.suggestion.as_deref()))
        .collect();
    assert_eq!(
        ignored,
        [
            ("LAYERWATCH_LOG_LEVL", Some("LAYERWATCH_LOG_LEVEL")),
            ("LAYERWATCH_PORT", None)
        ]
    );
}

#[test]
fn values_that_do_not_fit_are_refused_without_being_shown() {
    for (text, message) in [
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
            "/etc/test.toml:2:1: watch.tier: expected one of \"auto\", \"b\", \"d\"",
        ),
        (
            "[watch]\nexclude_tiers = ['b', 'd']",
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
    ] {
        check(text, Some(message));
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

#[test]
fn files_are_found_or_named_in_the_error() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("c.toml");
    let (env, flags) = (BTreeMap::new(), FlagOverrides::default());
    let missing = load(Some(&path), &env, &flags).unwrap_err();
    assert!(
        matches!(&missing, ConfigError::Read { source } if source.is_not_found()),
        "{missing:?}"
    );
    std::fs::write(&path, "node_name = 'from-file'").unwrap();
    assert_eq!(load(Some(&path), &env, &flags).unwrap().node_name, "from-file");
}

/// The names of all leaves of a value, in dots.
fn leaves(prefix: &str, value: &toml::Value, names: &mut BTreeSet<String>) {
    match value.as_table() {
        Some(table) if keys::find(prefix).is_none() => {
            for (name, inner) in table {
                let dot = if prefix.is_empty() { "" } else { "." };
                leaves(&format!("{prefix}{dot}{name}"), inner, names);
            }
        }
        _ => {
            names.insert(prefix.to_owned());
        }
    }
}

#[test]
fn the_table_is_sound() {
    let names: BTreeSet<&str> = KEYS.iter().map(|key| key.name).collect();
    let variables: BTreeSet<String> = KEYS.iter().map(Key::variable).collect();
    assert_eq!((names.len(), variables.len()), (KEYS.len(), KEYS.len()));
    for key in KEYS {
        assert!(key.default_value().is_some(), "{}", key.name);
        assert!(key.meaning.ends_with('.'), "{}", key.name);
    }
    // Every key reaches the raw type, and it takes nothing else: see `deny_unknown_fields`.
    assert!(load_text("", &[], &[]).is_ok());
    let mut sections: Vec<&str> = KEYS.iter().map(|key| key.section().0).collect();
    sections.dedup();
    assert_eq!(
        sections.len(),
        sections.iter().collect::<BTreeSet<_>>().len(),
        "{sections:?}"
    );
}

#[test]
fn near_names_are_found_and_far_ones_are_not() {
    let known = ["alertmanager.timeout", "web.listen", "log.level"];
    for (name, expected) in [
        ("alertmanager.timeout", Some("alertmanager.timeout")),
        ("alertmanager.tiemout", Some("alertmanager.timeout")),
        ("timeout", Some("alertmanager.timeout")),
        ("listen", Some("web.listen")),
        ("levle", None),
        ("", None),
        ("completely.different", None),
        (&"x".repeat(10_000), None),
    ] {
        assert_eq!(nearest(name, known.into_iter()), expected, "{name}");
    }
}

/// Compares a file of the repository with what the table makes of it; writes it instead under `UPDATE_DOCS=1`.
fn check_file(path: &str, made: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    if std::env::var_os("UPDATE_DOCS").is_some_and(|value| value == "1") {
        std::fs::write(&path, made).unwrap();
    }
    let found = bounded::read_text(&path, BYTES_MAX).unwrap();
    assert_eq!(
        found,
        made,
        "{}: run this test with UPDATE_DOCS=1",
        path.display()
    );
    found
}

#[test]
fn the_documentation_is_what_the_table_says() {
    let text = check_file("docs/configuration.md", &reference());
    for key in KEYS {
        assert!(
            text.contains(&format!("| `{}`<br>`{}` |", key.name, key.variable())),
            "{}",
            key.name
        );
    }
}

#[test]
fn the_shipped_example_sets_every_key_to_its_default() {
    let text = check_file("deploy/config.toml", &example());
    let mut names = BTreeSet::new();
    leaves("", &toml::from_str(&text).unwrap(), &mut names);
    let known: BTreeSet<String> = KEYS.iter().map(|key| key.name.to_owned()).collect();
    assert_eq!(names, known);
    let (example, mut defaults) = (
        load_text(&text, &[], &[]).unwrap(),
        load_text("", &[], &[]).unwrap(),
    );
    for (ours, default) in example.settings.all.iter().zip(&defaults.settings.all) {
        assert_eq!((ours.key, &ours.value), (default.key, &default.value));
        assert!(matches!(ours.origin, Origin::File(_)), "{}", ours.key);
    }
    defaults.settings = example.settings.clone();
    assert_eq!(example, defaults);
}

proptest::proptest! {
    #[test]
    fn loading_is_total_and_shows_no_value(text in "[a-z.=\\[\\]{}'\"\n\\\\ 0-9é]{0,80}", value: String) {
        let _any = load_text(&text, &[], &[]).is_ok();
        let pair = format!("LAYERWATCH_WEB_LISTEN={value}");
        if let Err(error) = load_text("", &[&pair], &[]) {
            proptest::prop_assert_eq!(error.to_string(), "LAYERWATCH_WEB_LISTEN: web.listen: an entry is no address with a port");
        }
    }
}
