//! The configuration as TOML has it: every key there, nothing interpreted.
//!
//! Invariant: field for field the table in `keys`, which has laid the sources over each other already; so no field is
//! optional and an unknown one is refused. Read by `resolved`.

use std::collections::BTreeMap;

use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawConfig {
    pub(super) schema: u64,
    pub(super) node_name: String,
    pub(super) state_directory: String,
    pub(super) log: RawLogging,
    pub(super) stores: RawStores,
    pub(super) watch: RawWatch,
    pub(super) scan: RawScan,
    pub(super) web: RawWeb,
    pub(super) alertmanager: RawAlertmanager,
    pub(super) sinks: RawSinks,
    pub(super) privilege: RawPrivilege,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLogging {
    pub(super) level: String,
    pub(super) format: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawStores {
    pub(super) roots: Vec<String>,
    pub(super) host_root: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawWatch {
    pub(super) tier: String,
    pub(super) exclude_tiers: Vec<String>,
    pub(super) outlive: bool,
    pub(super) pin_directory: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawScan {
    pub(super) rules: Vec<String>,
    pub(super) deadline: String,
    pub(super) priority: String,
    pub(super) bytes_per_second: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawWeb {
    pub(super) listen: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAlertmanager {
    pub(super) enabled: bool,
    pub(super) urls: Vec<String>,
    pub(super) timeout: String,
    pub(super) resend: String,
    pub(super) hold: String,
    pub(super) queue: u64,
    pub(super) ca_file: String,
    pub(super) cert_file: String,
    pub(super) key_file: String,
    pub(super) bearer_file: String,
    pub(super) basic: RawBasic,
    pub(super) external_labels: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawBasic {
    pub(super) username: String,
    pub(super) password_file: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSinks {
    pub(super) log: RawLogSink,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLogSink {
    pub(super) path: String,
    pub(super) verbose: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPrivilege {
    pub(super) drop_after_attach: bool,
}
