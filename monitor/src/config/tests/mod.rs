//! The configuration as a whole: precedence, origins, what each source can set.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::*;

mod files;
mod refusals;

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
    assert_eq!(config.pins.as_deref(), Some(Path::new("/sys/fs/bpf/layerwatch")));
    assert_eq!(config.scan.deadline, Duration::from_mins(2));
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
        assert_eq!(config.scan.deadline, Duration::from_mins(minutes));
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
        (5, Duration::from_mins(15))
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
fn a_tier_is_asked_for_or_left_out() {
    use Tier::{A, B, C, D};
    for (text, tier, exclude_tiers) in [
        ("auto", TierChoice::Auto, vec![]),
        ("c", TierChoice::Only(C), vec![]),
        ("!a", TierChoice::Auto, vec![A]),
        ("auto, !b,!a", TierChoice::Auto, vec![B, A]),
        ("b,d", TierChoice::Auto, vec![A, C]),
        ("b,d,!d", TierChoice::Auto, vec![D, A, C]),
    ] {
        let variable = format!("LAYERWATCH_WATCH_TIER={text}");
        let expected = Watch { tier, exclude_tiers };
        assert_eq!(
            load_text("", &[&variable], &[]).unwrap().watch,
            expected,
            "{text}"
        );
    }
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
