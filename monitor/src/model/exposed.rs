//! What of a store is open: the body of the alert `SensitiveLayerExposed`.
//!
//! Invariant: as the JSON contract (`alert`); one for each store and opening component.

use serde::{Deserialize, Serialize};

use super::exposure::Reader;
use super::finding::Severity;
use super::ids::StoreId;
use super::store::Engine;
use super::text::printable;

/// What of a store is open, by one component of the way to it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ExposedReport {
    /// The store.
    pub store: StoreId,
    /// Its format.
    pub engine: Engine,
    /// The directory, device, socket or mount point that opens the way, as a host path; of an API on a port its address.
    #[serde(with = "super::path")]
    pub component: std::path::PathBuf,
    /// Who can read, besides the owner and root's equals, widest first.
    pub exposed_to: Vec<Reader>,
    /// How many findings.
    pub findings: u64,
    /// The worst of them.
    pub severity: Severity,
    /// Some of the images that hold them, escaped.
    pub images: Vec<String>,
    /// The vulnerability that left it open, where it is one.
    pub cve: Option<String>,
    /// Why it is open, where that is known.
    pub cause: Option<String>,
    /// The command that closes it.
    pub remedy: Option<String>,
    /// Security modules that may still deny it.
    pub security_modules: Vec<String>,
}

impl ExposedReport {
    /// One sentence for people.
    pub fn sentence(&self) -> String {
        let readers = self.exposed_to.iter().map(|reader| match reader {
            Reader::World => "every user".to_owned(),
            Reader::Group { gid } => format!("group {gid}"),
            Reader::User { uid } => format!("user {uid}"),
        });
        let readers: Vec<String> = readers.collect();
        let secrets = if self.findings == 1 { "secret" } else { "secrets" };
        let component = printable(self.component.as_os_str().as_encoded_bytes());
        format!(
            "{} can read {} {secrets} of {}, opened by {component}",
            readers.join(", "),
            self.findings,
            self.store
        )
    }
}
