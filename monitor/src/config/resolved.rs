//! The configuration as it is meant: complete, typed, consistent.
//!
//! Invariant: what exists here can be used without another look: paths are absolute, addresses and URLs parsed, options
//! that need each other are there together. Made by `resolve` only; read by `app` and by the parts it starts.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::Settings;

/// The whole configuration.
#[derive(Clone, PartialEq, Debug)]
pub struct Config {
    /// What this host is called in alerts.
    pub node_name: String,
    /// Where the agent keeps its state.
    pub state_directory: PathBuf,
    /// The agent's messages about itself.
    pub log: Logging,
    /// Which stores are watched.
    pub stores: Stores,
    /// How the kernel is asked.
    pub watch: Watch,
    /// Where ring, maps and programs are kept between two runs of the agent; absent when they end with it.
    pub pins: Option<PathBuf>,
    /// The scanner.
    pub scan: Scan,
    /// Metrics and health.
    pub web: Web,
    /// Delivery of alerts; absent when it is switched off.
    pub alertmanager: Option<Alertmanager>,
    /// The JSON lines.
    pub log_sink: LogSink,
    /// What the agent gives up.
    pub privilege: Privilege,
    /// Each key's value and origin, for `config show`.
    pub settings: Settings,
}

/// The agent's messages about itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Logging {
    /// The least severe that are written.
    pub level: tracing::Level,
    /// How.
    pub format: LogFormat,
}

/// How the agent writes its messages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogFormat {
    /// For people.
    Text,
    /// A JSON object in each line.
    Json,
}

/// Which stores are watched.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stores {
    /// Graph roots as the host names them; empty for all that are found.
    pub roots: Vec<PathBuf>,
    /// Where the host's file system is mounted.
    pub host_root: PathBuf,
}

/// A way to look into the kernel (ARCHITECTURE.md, "Kernel side").
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Tier {
    /// The kernel's own security hooks.
    A,
    /// Function exits of the security checks.
    B,
    /// Probes on the same functions.
    C,
    /// System call exits.
    D,
}

impl Tier {
    /// From the best to the last resort.
    pub const ALL: [Self; 4] = [Self::A, Self::B, Self::C, Self::D];
}

/// Which way to take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TierChoice {
    /// The best of those not excluded that is seen to work.
    Auto,
    /// This or none.
    Only(Tier),
}

/// How the kernel is asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Watch {
    /// Which way to take.
    pub tier: TierChoice,
    /// Ways not to try.
    pub exclude_tiers: Vec<Tier>,
}

/// The scanner.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Scan {
    /// Files with the user's own rules.
    pub rules: Vec<PathBuf>,
    /// How long an access waits for the scan of its layer, and a scan for a sign of progress.
    pub deadline: Duration,
    /// Whether the agent's scans leave processor and disk to everybody else.
    pub idle: bool,
    /// How much they read from the disk, bytes a second; 0 for no limit.
    pub bytes_per_second: u64,
}

/// Metrics and health.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Web {
    /// Addresses to listen on; empty for none.
    pub listen: Vec<SocketAddr>,
}

/// Delivery of alerts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Alertmanager {
    /// Every peer, without credentials, query or fragment; at least one.
    pub urls: Vec<reqwest::Url>,
    /// How long one delivery may take.
    pub timeout: Duration,
    /// How often an active alert is sent again.
    pub resend: Duration,
    /// How long an alert stays active after its last access.
    pub hold: Duration,
    /// How many alerts wait for each peer.
    pub queue: usize,
    /// Certificates to verify the peers with instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// What the agent shows to the peers.
    pub client_certificate: Option<ClientCertificate>,
    /// How the agent says who it is.
    pub authentication: Option<Authentication>,
    /// Labels for every alert.
    pub external_labels: BTreeMap<String, String>,
}

/// A certificate and its key, by file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClientCertificate {
    /// The certificate.
    pub cert_file: PathBuf,
    /// The key.
    pub key_file: PathBuf,
}

/// How the agent says who it is; the secret stays in its file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Authentication {
    /// A token in this file.
    Bearer(PathBuf),
    /// A user name and a password.
    Basic {
        /// The name.
        username: String,
        /// The file with the password.
        password_file: PathBuf,
    },
}

/// The JSON lines.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogSink {
    /// Where they go.
    pub target: LogTarget,
    /// Whether accesses without an alert are written too.
    pub verbose: bool,
}

/// Where JSON lines go.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LogTarget {
    /// Standard output.
    Stdout,
    /// The end of this file.
    File(PathBuf),
}

/// What the agent gives up.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Privilege {
    /// The capabilities that only attaching needs, once it is done.
    pub drop_after_attach: bool,
}
