//! The table of keys: name, type, default, meaning.
//!
//! Invariant: the one definition; the reader, its suggestions, `docs/configuration.md` and `deploy/config.toml` are made
//! from it, and a test holds the raw type to it. A new key is a row here, a field in `raw` and its meaning in `resolved`.

use std::fmt;

use toml::Value;

/// What a key takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Any text.
    Text,
    /// An absolute path; empty for none where the default is empty.
    Path,
    /// `true` or `false`.
    Flag,
    /// A whole number, not negative.
    Count,
    /// A number with a unit, or several.
    Duration,
    /// One of these.
    Choice(&'static [&'static str]),
    /// A list of texts.
    List,
    /// A table of texts.
    Labels,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text => f.write_str("a text"),
            Self::Path => f.write_str("an absolute path"),
            Self::Flag => f.write_str("true or false"),
            Self::Count => f.write_str("a whole number"),
            Self::Duration => f.write_str("a duration such as \"10s\", \"15m\" or \"1h30m\""),
            Self::Choice(choices) => {
                f.write_str("one of ")?;
                for (index, choice) in choices.iter().enumerate() {
                    let separator = if index == 0 { "" } else { ", " };
                    write!(f, "{separator}\"{choice}\"")?;
                }
                Ok(())
            }
            Self::List => f.write_str("a list of texts"),
            Self::Labels => f.write_str("a table of texts"),
        }
    }
}

impl Kind {
    /// The value, if it is of this kind.
    pub(super) fn check(self, value: Value) -> Option<Value> {
        let fits = match self {
            Self::Text => value.is_str(),
            Self::Path => value
                .as_str()
                .is_some_and(|text| text.is_empty() || is_absolute(text)),
            Self::Flag => value.is_bool(),
            Self::Count => value.as_integer().is_some_and(|number| number >= 0),
            Self::Duration => value
                .as_str()
                .is_some_and(|text| super::duration::parse(text).is_some()),
            Self::Choice(choices) => value.as_str().is_some_and(|text| choices.contains(&text)),
            Self::List => value
                .as_array()
                .is_some_and(|items| items.iter().all(Value::is_str)),
            Self::Labels => value
                .as_table()
                .is_some_and(|table| table.values().all(Value::is_str)),
        };
        fits.then_some(value)
    }

    /// The value from a variable or a flag: lists are separated by commas, tables are `name=text,name=text`.
    pub(super) fn read_text(self, text: &str) -> Option<Value> {
        let items = || text.split(',').map(str::trim).filter(|item| !item.is_empty());
        let value = match self {
            Self::Text | Self::Path | Self::Duration | Self::Choice(_) => Value::from(text),
            Self::Flag => Value::from(text.parse::<bool>().ok()?),
            Self::Count => Value::from(text.parse::<i64>().ok()?),
            Self::List => Value::Array(items().map(Value::from).collect()),
            Self::Labels => Value::Table(
                items()
                    .map(|item| {
                        let (name, text) = item.split_once('=')?;
                        Some((name.trim().to_owned(), Value::from(text.trim())))
                    })
                    .collect::<Option<_>>()?,
            ),
        };
        self.check(value)
    }
}

/// A path the agent can use: absolute, or below systemd's directory of credentials.
fn is_absolute(text: &str) -> bool {
    text.starts_with('/') || text.starts_with(super::resolve::CREDENTIALS)
}

/// One key.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// The full name, as in `alertmanager.timeout`.
    pub name: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// The default, as TOML.
    pub default: &'static str,
    /// What it does, one or two sentences.
    pub meaning: &'static str,
}

impl Key {
    /// The variable that sets it.
    pub fn variable(&self) -> String {
        let name = self.name.replace('.', "_").to_uppercase();
        format!("{}{name}", super::VARIABLE_PREFIX)
    }

    /// The section that it stands in, empty for the top of the file, and its name there.
    pub fn section(&self) -> (&'static str, &'static str) {
        self.name.rsplit_once('.').unwrap_or(("", self.name))
    }

    /// The default as a value; `None` only for a row that is wrong.
    pub(super) fn default_value(&self) -> Option<Value> {
        let table: toml::Table = toml::from_str(&format!("value = {}", self.default)).ok()?;
        table
            .get("value")
            .cloned()
            .and_then(|value| self.kind.check(value))
    }
}

/// The key with this full name.
pub(super) fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

const fn row(name: &'static str, kind: Kind, default: &'static str, meaning: &'static str) -> Key {
    Key {
        name,
        kind,
        default,
        meaning,
    }
}

const LEVELS: Kind = Kind::Choice(&["error", "warn", "info", "debug", "trace"]);
const PRIORITIES: Kind = Kind::Choice(&["idle", "low"]);
const FORMATS: Kind = Kind::Choice(&["text", "json"]);

/// All keys, in the order of the documentation; the keys of a section stand together.
#[rustfmt::skip]
pub const KEYS: &[Key] = &[
    row("schema", Kind::Count, "1", "The version of this file's format. Only 1 exists."),
    row("node_name", Kind::Text, "\"\"", "What this host is called in alerts. Empty means the host name."),
    row("state_directory", Kind::Path, "\"/var/lib/layerwatch\"", "Where the agent keeps its own state, readable by root alone."),
    row("log.level", LEVELS, "\"info\"", "The least severe messages that the agent writes about itself, to stderr."),
    row("log.format", FORMATS, "\"text\"", "How it writes them."),
    row("stores.roots", Kind::List, "[]", "Graph roots to watch, as the host names them. Empty means all that are found."),
    row("stores.host_root", Kind::Path, "\"/\"", "Where the host's file system is mounted: another place than / in a container."),
    row("watch.tier", Kind::Text, "\"auto\"", "How to look into the kernel, of the tiers a, b, c and d. auto takes the best that is seen to work; b is that one or the agent does not start; \"b,d\" is the better of them; \"!a\" is any but that one."),
    row("watch.exclude_tiers", Kind::List, "[]", "Tiers that are not tried either, of a, b, c and d."),
    row("watch.outlive", Kind::Flag, "true", "Whether ring, maps and programs stay in the kernel when the agent ends, so that the next one finds what happened in between. They do nothing once no agent has called for ten minutes; Ctrl-C and `layerwatch uninstall` remove them."),
    row("watch.pin_directory", Kind::Path, "\"/sys/fs/bpf/layerwatch\"", "Where they lie: on a BPF file system, in a directory of each state directory's own."),
    row("scan.rules", Kind::List, "[]", "Files with rules of your own, absolute paths: they come before the built-in ones, replace those of the same id, and may switch others off. layerwatch rules --lint checks one."),
    row("scan.deadline", Kind::Duration, "\"2m\"", "How long an access to a layer that is not scanned yet waits for the scan before it is reported as unknown, and how long a scan may go without a sign of progress."),
    row("scan.priority", PRIORITIES, "\"idle\"", "How the agent's scans compete with the rest of the host: idle leaves processor and disk to everybody else, and falls back to low when a scan does not get on that way; low is only nice."),
    row("scan.bytes_per_second", Kind::Count, "100000000", "How much they read from the disk. What lies in the page cache already costs nothing. 0 means no limit."),
    row("web.listen", Kind::List, "[\"127.0.0.1:9880\"]", "Addresses for /metrics and the health checks. Empty means none."),
    row("alertmanager.enabled", Kind::Flag, "false", "Whether alerts are sent to Alertmanager."),
    row("alertmanager.urls", Kind::List, "[]", "Every peer of the cluster, never a load balancer before them."),
    row("alertmanager.timeout", Kind::Duration, "\"10s\"", "How long one delivery may take."),
    row("alertmanager.resend", Kind::Duration, "\"1m\"", "How often an active alert is sent again."),
    row("alertmanager.hold", Kind::Duration, "\"15m\"", "How long an alert stays active after the last access it counts. Longer than resend."),
    row("alertmanager.queue", Kind::Count, "10000", "How many alerts wait for each peer before the oldest are dropped, and counted."),
    row("alertmanager.ca_file", Kind::Path, "\"\"", "Certificates to verify the peers with. Empty means the system's."),
    row("alertmanager.cert_file", Kind::Path, "\"\"", "The certificate that the agent shows to the peers."),
    row("alertmanager.key_file", Kind::Path, "\"\"", "Its key."),
    row("alertmanager.bearer_file", Kind::Path, "\"\"", "A file with a bearer token. May begin with ${CREDENTIALS_DIRECTORY}/."),
    row("alertmanager.external_labels", Kind::Labels, "{}", "Labels for every alert, such as cluster = \"dev\"."),
    row("alertmanager.basic.username", Kind::Text, "\"\"", "A user name for basic authentication, instead of a token."),
    row("alertmanager.basic.password_file", Kind::Path, "\"\"", "A file with its password. May begin with ${CREDENTIALS_DIRECTORY}/."),
    row("sinks.log.path", Kind::Text, "\"-\"", "Where alerts are written as JSON lines: an absolute path, or - for stdout."),
    row("sinks.log.verbose", Kind::Flag, "false", "Whether accesses that raise no alert are written too."),
    row("privilege.drop_after_attach", Kind::Flag, "true", "Whether the agent gives up the capabilities that it needs only to attach."),
];

/// The name among `known` that a misspelt one most likely means, if any is near enough.
///
/// Near is at most a third of the name's characters away; of a full name its last part alone may be meant, too.
pub fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let last = |name: &'a str| name.rsplit('.').next().unwrap_or(name);
    known
        .filter_map(|candidate| {
            let whole = distance(name, candidate);
            let part = 1 + distance(name.rsplit('.').next().unwrap_or(name), last(candidate));
            let best = if part <= 2 { whole.min(part) } else { whole };
            (best <= name.chars().count().max(3) / 3).then_some((best, whole, candidate))
        })
        .min()
        .map(|(_, _, candidate)| candidate)
}

/// The edits between two names: insertions, deletions, replacements (Levenshtein). Long names are far from everything.
fn distance(a: &str, b: &str) -> usize {
    const LONGEST: usize = 128;
    if a.len() > LONGEST || b.len() > LONGEST {
        return usize::MAX / 2;
    }
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, left) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut before = i + 1;
        for (cell, right) in row.iter_mut().skip(1).zip(b.chars()) {
            let replaced = diagonal + usize::from(left != right);
            diagonal = *cell;
            before = replaced.min(*cell + 1).min(before + 1);
            *cell = before;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}
