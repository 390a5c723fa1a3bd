//! From settings that are complete to a configuration that makes sense.
//!
//! Invariant: each rule that is broken names the key and who set it, and never the value. The rules of Alertmanager's
//! keys stand in `alertmanager`. Called by `load` only.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::raw::{RawConfig, RawStores, RawWatch};
use super::resolved::{
    Config, LogFormat, LogSink, LogTarget, Logging, Privilege, Scan, Stores, Tier, TierChoice, Watch, Web,
};
use super::{ConfigError, Settings, duration};

/// What a path below systemd's directory of credentials begins with (systemd.exec(5), `LoadCredential=`).
pub(super) const CREDENTIALS: &str = "${CREDENTIALS_DIRECTORY}/";

/// Everything a rule may need to take a value or refuse it.
pub(super) struct Rules<'a> {
    settings: &'a Settings,
    env: &'a BTreeMap<String, String>,
}

/// Interprets settings that are complete; `hostname` is the default of `node_name`.
pub(super) fn resolve(
    settings: Settings,
    env: &BTreeMap<String, String>,
    hostname: &str,
) -> Result<Config, ConfigError> {
    let raw = raw(&settings)?;
    let rules = Rules {
        settings: &settings,
        env,
    };
    if raw.schema != 1 {
        return Err(rules.broken("schema", "only version 1 of the format exists"));
    }
    let node_name = if raw.node_name.is_empty() {
        hostname.to_owned()
    } else {
        raw.node_name
    };
    let log_target = match raw.sinks.log.path.as_str() {
        "-" => LogTarget::Stdout,
        path if path.starts_with('/') => LogTarget::File(PathBuf::from(path)),
        _ => return Err(rules.broken("sinks.log.path", "it is neither an absolute path nor -")),
    };
    Ok(Config {
        node_name,
        state_directory: rules.needed_path("state_directory", &raw.state_directory)?,
        log: Logging {
            level: rules.parsed("log.level", "it is no level", &raw.log.level)?,
            format: if raw.log.format == "json" {
                LogFormat::Json
            } else {
                LogFormat::Text
            },
        },
        stores: rules.stores(&raw.stores)?,
        watch: rules.watch(&raw.watch)?,
        pins: rules.pins(&raw.watch)?,
        scan: Scan {
            rules: rules.paths("scan.rules", &raw.scan.rules)?,
            deadline: rules.duration("scan.deadline", &raw.scan.deadline)?,
            idle: raw.scan.priority == "idle",
            bytes_per_second: raw.scan.bytes_per_second,
        },
        web: Web {
            listen: rules.all_parsed(
                "web.listen",
                "an entry is no address with a port",
                &raw.web.listen,
            )?,
        },
        alertmanager: rules.alertmanager(raw.alertmanager)?,
        log_sink: LogSink {
            target: log_target,
            verbose: raw.sinks.log.verbose,
        },
        privilege: Privilege {
            drop_after_attach: raw.privilege.drop_after_attach,
        },
        settings,
    })
}

/// The settings as the nested tables that their names stand for.
fn raw(settings: &Settings) -> Result<RawConfig, ConfigError> {
    let mut top = toml::Table::new();
    for setting in &settings.all {
        let mut table = Some(&mut top);
        let mut parts = setting.key.split('.').peekable();
        while let Some(part) = parts.next() {
            let Some(current) = table.take() else { break };
            if parts.peek().is_some() {
                let inner = current
                    .entry(part)
                    .or_insert_with(|| toml::Value::Table(toml::Table::new()));
                table = inner.as_table_mut();
            } else {
                current.insert(part.to_owned(), setting.value.clone());
            }
        }
    }
    top.try_into().map_err(|source| ConfigError::Table { source })
}

impl Rules<'_> {
    pub(super) fn broken(&self, key: &'static str, rule: &'static str) -> ConfigError {
        ConfigError::Invalid {
            origin: self.settings.origin(key),
            key,
            rule,
        }
    }

    pub(super) fn parsed<T: std::str::FromStr>(
        &self,
        key: &'static str,
        rule: &'static str,
        text: &str,
    ) -> Result<T, ConfigError> {
        text.parse().ok().ok_or_else(|| self.broken(key, rule))
    }

    fn all_parsed<T: std::str::FromStr>(
        &self,
        key: &'static str,
        rule: &'static str,
        texts: &[String],
    ) -> Result<Vec<T>, ConfigError> {
        texts.iter().map(|text| self.parsed(key, rule, text)).collect()
    }

    pub(super) fn duration(&self, key: &'static str, text: &str) -> Result<Duration, ConfigError> {
        duration::parse(text)
            .filter(|duration| !duration.is_zero())
            .ok_or_else(|| self.broken(key, "it must be longer than nothing"))
    }

    /// A path that may be absent, empty for absent.
    pub(super) fn path(&self, key: &'static str, text: &str) -> Result<Option<PathBuf>, ConfigError> {
        let Some(below) = text.strip_prefix(CREDENTIALS) else {
            return Ok((!text.is_empty()).then(|| PathBuf::from(text)));
        };
        match self.env.get("CREDENTIALS_DIRECTORY") {
            Some(directory) => Ok(Some(PathBuf::from(directory).join(below))),
            None => Err(self.broken(key, "CREDENTIALS_DIRECTORY is not set")),
        }
    }

    fn needed_path(&self, key: &'static str, text: &str) -> Result<PathBuf, ConfigError> {
        self.path(key, text)?
            .ok_or_else(|| self.broken(key, "it must not be empty"))
    }

    fn paths(&self, key: &'static str, texts: &[String]) -> Result<Vec<PathBuf>, ConfigError> {
        if !texts.iter().all(|text| text.starts_with('/')) {
            return Err(self.broken(key, "an entry is no absolute path"));
        }
        Ok(texts.iter().map(PathBuf::from).collect())
    }

    fn stores(&self, raw: &RawStores) -> Result<Stores, ConfigError> {
        Ok(Stores {
            roots: self.paths("stores.roots", &raw.roots)?,
            host_root: self.needed_path("stores.host_root", &raw.host_root)?,
        })
    }

    fn pins(&self, raw: &RawWatch) -> Result<Option<PathBuf>, ConfigError> {
        let directory = self.needed_path("watch.pin_directory", &raw.pin_directory)?;
        Ok(raw.outlive.then_some(directory))
    }

    fn watch(&self, raw: &RawWatch) -> Result<Watch, ConfigError> {
        const UNKNOWN: &str = "an entry is no tier: a, b, c or d";
        let (key, excluded_key) = ("watch.tier", "watch.exclude_tiers");
        let mut named = Vec::new();
        let mut exclude_tiers = Vec::new();
        for entry in raw
            .tier
            .split(',')
            .map(str::trim)
            .filter(|entry| *entry != "auto")
        {
            let (list, name) = match entry.strip_prefix('!') {
                Some(name) => (&mut exclude_tiers, name),
                None => (&mut named, entry),
            };
            list.push(tier(name).ok_or_else(|| self.broken(key, UNKNOWN))?);
        }
        for name in &raw.exclude_tiers {
            exclude_tiers.push(tier(name).ok_or_else(|| self.broken(excluded_key, UNKNOWN))?);
        }
        if let [only] = named[..] {
            if exclude_tiers.contains(&only) {
                return Err(self.broken(excluded_key, "it excludes the tier that watch.tier asks for"));
            }
            return Ok(Watch {
                tier: TierChoice::Only(only),
                exclude_tiers,
            });
        }
        if !named.is_empty() {
            exclude_tiers.extend(Tier::ALL.into_iter().filter(|tier| !named.contains(tier)));
        }
        if Tier::ALL.iter().all(|tier| exclude_tiers.contains(tier)) {
            let blamed = if raw.exclude_tiers.is_empty() {
                key
            } else {
                excluded_key
            };
            return Err(self.broken(blamed, "it leaves no tier"));
        }
        Ok(Watch {
            tier: TierChoice::Auto,
            exclude_tiers,
        })
    }
}

fn tier(name: &str) -> Option<Tier> {
    match name {
        "a" => Some(Tier::A),
        "b" => Some(Tier::B),
        "c" => Some(Tier::C),
        "d" => Some(Tier::D),
        _ => None,
    }
}
