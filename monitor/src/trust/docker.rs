//! What `daemon.json` says of registries: whose certificate Docker does not verify, and what it asks instead of Docker
//! Hub.
//!
//! Invariant: as `registry/config.go` and `registry/service_v2.go` of moby decide, without a look-up of any name: where
//! only the address of a host would tell, the answer is that nobody knows. Flags of a running daemon are not seen. Used
//! by `evaluate`.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::host_file;
use super::network::{LOOPBACK, Network};
use crate::bounded::BoundedError;

/// Where the configuration lies.
pub(super) const FILE: &str = "/etc/docker/daemon.json";
/// No administrator writes a longer one.
const LIMIT: u64 = 1 << 20;
/// The registry whose certificate is verified whatever the file says, and the only one with mirrors.
const DOCKER_HUB: &str = "docker.io";

/// Why `daemon.json` says nothing.
#[derive(Debug, thiserror::Error)]
pub enum DaemonConfigError {
    /// It is there and cannot be read.
    #[error("read the daemon's configuration")]
    Read(#[source] BoundedError),
    /// It is no JSON, or a key has a value of another type: the daemon would not start with it.
    #[error("parse the daemon's configuration")]
    Parse(#[source] serde_json::Error),
}

/// How Docker reaches registries.
#[derive(Debug)]
pub struct DockerRegistries {
    /// The file that says so, whether it is there or not.
    pub file: PathBuf,
    hosts: Vec<String>,
    networks: Vec<Network>,
    mirrors: Vec<String>,
}

/// Whether Docker verifies who answers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Connection {
    /// TLS with a certificate that is verified.
    Verified,
    /// TLS is not verified and plain HTTP is tried, by this rule.
    Insecure(String),
    /// It depends on the host's address, which is not looked up; by this rule.
    Unresolved(String),
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case", default)]
struct Raw {
    insecure_registries: Option<Vec<String>>,
    registry_mirrors: Option<Vec<String>>,
}

impl DockerRegistries {
    /// Reads the file of the host whose file system is mounted at `root`; without it the defaults hold.
    pub fn read(root: &Path) -> Result<Self, DaemonConfigError> {
        match host_file::read(root, Path::new(FILE), LIMIT) {
            Ok(bytes) => Self::parse(&bytes),
            Err(error) if error.is_not_found() => Self::parse(b"{}"),
            Err(error) => Err(DaemonConfigError::Read(error)),
        }
    }

    fn parse(bytes: &[u8]) -> Result<Self, DaemonConfigError> {
        // A list would do for serde's structs; the daemon wants an object.
        let object: serde_json::Map<String, serde_json::Value> =
            serde_json::from_slice(bytes).map_err(DaemonConfigError::Parse)?;
        let raw: Raw = serde_json::from_value(object.into()).map_err(DaemonConfigError::Parse)?;
        let mut registries = Self {
            file: PathBuf::from(FILE),
            hosts: Vec::new(),
            networks: Vec::new(),
            mirrors: raw.registry_mirrors.unwrap_or_default(),
        };
        for entry in raw.insecure_registries.unwrap_or_default() {
            let entry = without_scheme(&entry);
            match Network::parse(entry) {
                Some(network) => registries.networks.push(network),
                None => registries.hosts.push(entry.to_owned()),
            }
        }
        Ok(registries)
    }

    /// How the registry `host[:port]` is reached.
    pub fn connection(&self, registry: &str) -> Connection {
        if registry == DOCKER_HUB {
            return Connection::Verified;
        }
        if self.hosts.iter().any(|host| host == registry) {
            return Connection::Insecure(registry.to_owned());
        }
        match address(registry) {
            Some(address) => {
                let mut networks = LOOPBACK.iter().chain(&self.networks);
                networks
                    .find(|network| network.contains(address))
                    .map_or(Connection::Verified, |network| {
                        Connection::Insecure(network.to_string())
                    })
            }
            // A name that leads to a loopback address is of no use to anybody else, so it is not suspected.
            None => self.networks.first().map_or(Connection::Verified, |network| {
                Connection::Unresolved(network.to_string())
            }),
        }
    }

    /// The mirrors that are asked before the registry, each with how it is reached.
    pub fn mirrors(&self, registry: &str) -> Vec<(&str, Connection)> {
        let asked = self.mirrors.iter().filter(|_| registry == DOCKER_HUB);
        asked
            .map(|mirror| {
                let host = without_scheme(mirror);
                let host = host.split('/').next().unwrap_or(host);
                let is_plain = !mirror.to_ascii_lowercase().starts_with("https://");
                let connection = if is_plain {
                    Connection::Insecure(mirror.clone())
                } else {
                    self.connection(host)
                };
                (mirror.as_str(), connection)
            })
            .collect()
    }
}

fn without_scheme(entry: &str) -> &str {
    let scheme = entry.split_once("://");
    let known =
        scheme.filter(|(scheme, _)| ["http", "https"].contains(&scheme.to_ascii_lowercase().as_str()));
    known.map_or(entry, |(_, rest)| rest)
}

/// The address that a registry's name tells without a look-up.
fn address(registry: &str) -> Option<IpAddr> {
    let host = match registry.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => {
            host.trim_start_matches('[').trim_end_matches(']')
        }
        _ => registry,
    };
    match host {
        "localhost" => Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        host => host.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &[u8] =
        br#"{"insecure-registries": ["weak.example", "http://weak.example:5000", "10.0.0.0/8",
        "2001:db8::/32"], "registry-mirrors": ["https://mirror.example", "http://plain.example:80/",
        "https://10.1.2.3:5000/"], "storage-driver": "overlay2"}"#;

    #[test]
    fn a_registry_is_reached_as_docker_would() {
        use Connection::{Insecure, Unresolved, Verified};
        let (plain, full) = (
            DockerRegistries::parse(b"{}").unwrap(),
            DockerRegistries::parse(CONFIG).unwrap(),
        );
        let insecure = |rule: &str| Insecure(rule.to_owned());
        let unresolved = || Unresolved("10.0.0.0/8".to_owned());
        // The registry; without a configuration; with this one.
        for (registry, without, with) in [
            ("docker.io", Verified, Verified),
            ("good.example", Verified, unresolved()),
            ("weak.example", Verified, insecure("weak.example")),
            ("weak.example:5000", Verified, insecure("weak.example:5000")),
            ("weak.example:443", Verified, unresolved()),
            ("10.1.2.3", Verified, insecure("10.0.0.0/8")),
            ("10.1.2.3:5000", Verified, insecure("10.0.0.0/8")),
            ("11.1.2.3:5000", Verified, Verified),
            ("[2001:db8::1]:5000", Verified, insecure("2001:db8::/32")),
            ("[2001:db9::1]:5000", Verified, Verified),
            ("127.0.0.1:5000", insecure("127.0.0.0/8"), insecure("127.0.0.0/8")),
            ("127.255.0.9", insecure("127.0.0.0/8"), insecure("127.0.0.0/8")),
            ("[::1]:5000", insecure("::1/128"), insecure("::1/128")),
            ("localhost:5000", insecure("127.0.0.0/8"), insecure("127.0.0.0/8")),
        ] {
            assert_eq!(
                (plain.connection(registry), full.connection(registry)),
                (without, with),
                "{registry}"
            );
        }
        let mirrors = [
            ("https://mirror.example", unresolved()),
            ("http://plain.example:80/", insecure("http://plain.example:80/")),
            ("https://10.1.2.3:5000/", insecure("10.0.0.0/8")),
        ];
        assert_eq!(full.mirrors("docker.io"), mirrors);
        assert_eq!(full.mirrors("weak.example"), []);
    }

    #[test]
    fn a_configuration_that_the_daemon_refuses_says_nothing() {
        for text in [
            "",
            "{",
            "[]",
            r#"{"insecure-registries": "x"}"#,
            r#"{"registry-mirrors": [1]}"#,
        ] {
            assert!(
                matches!(
                    DockerRegistries::parse(text.as_bytes()),
                    Err(DaemonConfigError::Parse(_))
                ),
                "{text}"
            );
        }
        assert!(DockerRegistries::parse(br#"{"insecure-registries": null}"#).is_ok());
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read(registry: String, entry: String) {
            let config = serde_json::json!({"insecure-registries": [entry], "registry-mirrors": [entry]}).to_string();
            let registries = DockerRegistries::parse(config.as_bytes()).unwrap();
            registries.connection(&registry);
            registries.mirrors("docker.io");
        }
    }
}
