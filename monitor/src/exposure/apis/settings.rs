//! What an engine was told of its API: by its command line and its configuration file (dockerd(8), podman-system-service(1),
//! containerd-config.toml(5), buildkitd.toml).
//!
//! Invariant: total and bounded; a file that cannot be read says nothing. Files are read below the process's own root. Used by
//! `apis`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::listening::Listening;
use crate::bounded;
use crate::catalog::Host;

const MAX_LINE: u64 = 1 << 20;
const MAX_CONFIG: u64 = 1 << 20;
/// More than the kernel lets a process begin with.
const MAX_ENVIRONMENT: u64 = 4 << 20;
/// Of sockets that were handed over (`sd_listen_fds(3)`).
const FIRST_DESCRIPTOR: u32 = 3;

/// Where a program is told things.
struct Program {
    name: &'static str,
    /// Flags that name an address.
    hosts: &'static [&'static str],
    /// The flag by which clients must have a certificate.
    verify: &'static str,
    config_flags: &'static [&'static str],
    config: &'static str,
    /// The keys of address and of what makes it ask for a certificate.
    keys: [&'static [&'static str]; 2],
}

const PROGRAMS: [Program; 4] = [
    Program {
        name: "dockerd",
        hosts: &["--host", "-H"],
        verify: "--tlsverify",
        config_flags: &["--config-file"],
        config: "/etc/docker/daemon.json",
        keys: [&["hosts"], &["tlsverify"]],
    },
    Program {
        name: "podman",
        hosts: &[],
        verify: "--tls-client-ca",
        config_flags: &[],
        config: "",
        keys: [&[], &[]],
    },
    Program {
        name: "containerd",
        hosts: &[],
        verify: "",
        config_flags: &["--config", "-c"],
        config: "/etc/containerd/config.toml",
        keys: [&["grpc", "tcp_address"], &["grpc", "tcp_tls_ca"]],
    },
    Program {
        name: "buildkitd",
        hosts: &["--addr"],
        verify: "--tlscacert",
        config_flags: &["--config"],
        config: "/etc/buildkit/buildkitd.toml",
        keys: [&["grpc", "address"], &["grpc", "tls", "ca"]],
    },
];

/// The engine that a process of this name is.
pub(super) fn program(name: &str) -> Option<&'static str> {
    let mut programs = PROGRAMS.iter();
    programs
        .find(|program| program.name == name)
        .map(|program| program.name)
}

/// See the module.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Settings {
    ports: BTreeSet<u16>,
    /// Descriptors below this one were handed over for the API.
    handed_over: u32,
    pub(super) asks_for_certificates: bool,
}

impl Settings {
    pub(super) fn read(process: &Path, name: &str) -> Self {
        let Some(program) = PROGRAMS.iter().find(|program| program.name == name) else {
            return Self::default();
        };
        let line = bounded::read(&process.join("cmdline"), MAX_LINE).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        let words: Vec<&str> = line.split('\0').filter(|word| !word.is_empty()).collect();
        let mut addresses = values(&words, program.hosts);
        // podman system service ADDRESS
        if program.name == "podman" && words.contains(&"service") {
            addresses.extend(
                words
                    .iter()
                    .filter(|word| word.starts_with("tcp:"))
                    .map(|word| (*word).to_owned()),
            );
        }
        let mut asks = !program.verify.is_empty() && words.iter().any(|word| is_set(word, program.verify));
        let named = values(&words, program.config_flags).pop();
        let config = PathBuf::from(named.unwrap_or_else(|| program.config.to_owned()));
        let config = config_of(process, &config).unwrap_or_default();
        let [address_key, verify_key] = program.keys;
        let texts = |key| value_at(&config, key).map(texts).unwrap_or_default();
        addresses.extend(texts(address_key));
        asks |= texts(verify_key)
            .iter()
            .any(|text| !text.is_empty() && text != "false");
        let has_descriptors = addresses.iter().any(|address| address.starts_with("fd://"));
        Self {
            ports: addresses
                .iter()
                .filter_map(|address| port(address, program.name))
                .collect(),
            handed_over: if has_descriptors { handed_over(process) } else { 0 },
            asks_for_certificates: asks,
        }
    }

    /// Whether the API is served at a socket.
    pub(super) fn names(&self, socket: &Listening) -> bool {
        let is_handed_over = socket
            .descriptor
            .is_some_and(|descriptor| (FIRST_DESCRIPTOR..self.handed_over).contains(&descriptor));
        is_handed_over || self.ports.contains(&socket.address.port())
    }
}

/// `--flag value`, `--flag=value`; of a flag of one letter also `-fvalue`.
fn values(words: &[&str], flags: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for (at, word) in words.iter().enumerate() {
        for flag in flags {
            let Some(rest) = word.strip_prefix(flag) else {
                continue;
            };
            let value = match rest.strip_prefix('=') {
                Some(value) => Some(value),
                None if rest.is_empty() => words.get(at + 1).copied(),
                None => (!flag.starts_with("--")).then_some(rest),
            };
            found.extend(value.map(ToOwned::to_owned));
        }
    }
    found
}

fn is_set(word: &str, flag: &str) -> bool {
    let value = word
        .strip_prefix(flag)
        .map(|rest| rest.strip_prefix('=').ok_or(rest));
    matches!(value, Some(Ok(value)) if !["false", "0", "f", "F", "FALSE", "False"].contains(&value))
        || matches!(value, Some(Err("")))
}

/// The port of an address; Docker takes one without a scheme for TCP's, and has a port of its own.
fn port(address: &str, program: &str) -> Option<u16> {
    let is_dockers = program == "dockerd";
    let rest = match address.split_once("://") {
        Some(("tcp", rest)) => rest,
        Some(_) => return None,
        None => match address.strip_prefix("tcp:") {
            Some(rest) => rest,
            None if address.starts_with('/') || address.starts_with("unix:") => return None,
            None => address,
        },
    };
    let rest = rest.split('/').next().unwrap_or_default();
    let port = rest.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
    port.or_else(|| is_dockers.then_some(2375))
}

/// The first descriptor that was not handed over.
fn handed_over(process: &Path) -> u32 {
    let environment = bounded::read(&process.join("environ"), MAX_ENVIRONMENT).unwrap_or_default();
    let mut variables = environment.split(|byte| *byte == 0);
    let count = variables.find_map(|variable| variable.strip_prefix(b"LISTEN_FDS="));
    let count = count.and_then(|count| std::str::from_utf8(count).ok()?.parse::<u32>().ok());
    count.map_or(0, |count| FIRST_DESCRIPTOR.saturating_add(count))
}

/// A configuration in JSON or TOML, by its name.
fn config_of(process: &Path, file: &Path) -> Option<serde_json::Value> {
    let host = Host::new(process.join("root"));
    let seen = host.path(host.resolve(file).ok()?);
    let text = bounded::read_text(&seen, MAX_CONFIG).ok()?;
    if file.extension().is_some_and(|extension| extension == "toml") {
        let table: toml::Table = text.parse().ok()?;
        return serde_json::to_value(table).ok();
    }
    serde_json::from_str(&text).ok()
}

fn value_at<'a>(config: &'a serde_json::Value, key: &[&str]) -> Option<&'a serde_json::Value> {
    if key.is_empty() {
        return None;
    }
    key.iter().try_fold(config, |level, name| level.get(name))
}

fn texts(value: &serde_json::Value) -> Vec<String> {
    use serde_json::Value;
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Bool(flag) => vec![flag.to_string()],
        Value::Array(values) => values.iter().flat_map(texts).collect(),
        Value::Null | Value::Number(_) | Value::Object(_) => Vec::new(),
    }
}
