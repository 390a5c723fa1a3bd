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
        scan: Scan {
            deadline: rules.duration("scan.deadline", &raw.scan.deadline)?,
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

    fn stores(&self, raw: &RawStores) -> Result<Stores, ConfigError> {
        if !raw.roots.iter().all(|root| root.starts_with('/')) {
            return Err(self.broken("stores.roots", "an entry is no absolute path"));
        }
        Ok(Stores {
            roots: raw.roots.iter().map(PathBuf::from).collect(),
            host_root: self.needed_path("stores.host_root", &raw.host_root)?,
        })
    }

    fn watch(&self, raw: &RawWatch) -> Result<Watch, ConfigError> {
        let tier = tier(&raw.tier);
        let exclude_tiers = raw
            .exclude_tiers
            .iter()
            .map(|name| {
                tier_of_list(name)
                    .ok_or_else(|| self.broken("watch.exclude_tiers", "an entry is neither b nor d"))
            })
            .collect::<Result<Vec<_>, _>>()?;
        let excludes = |tier| exclude_tiers.contains(&tier);
        let rule = match tier {
            TierChoice::Only(tier) if excludes(tier) => "it excludes the tier that watch.tier asks for",
            TierChoice::Auto if excludes(Tier::B) && excludes(Tier::D) => "it leaves no tier",
            TierChoice::Only(_) | TierChoice::Auto => return Ok(Watch { tier, exclude_tiers }),
        };
        Err(self.broken("watch.exclude_tiers", rule))
    }
}

fn tier(name: &str) -> TierChoice {
    tier_of_list(name).map_or(TierChoice::Auto, TierChoice::Only)
}

fn tier_of_list(name: &str) -> Option<Tier> {
    match name {
        "b" => Some(Tier::B),
        "d" => Some(Tier::D),
        _ => None,
    }
}
