//! A row of `exposure`: what one component opens.

use serde::Serialize;

use crate::cli::output::Item;
use crate::cli::tone::{Entry, reader};
use crate::model::{Bypass, Exposure, Means};

/// What one component opens.
#[derive(Debug, Serialize)]
pub(super) struct OpenRow {
    pub(super) store: String,
    /// How many layers have this exposure.
    pub(super) layers: usize,
    /// A path that has it.
    pub(super) example: String,
    #[serde(flatten)]
    pub(super) exposure: Exposure,
}

impl Item for OpenRow {
    const KIND: &'static str = "exposure";
    const LIST: &'static str = "exposures";
    const COLUMNS: &'static [&'static str] = &[
        "STORE",
        "LAYERS",
        "OPEN TO",
        "ROOT'S EQUALS",
        "OPENED BY",
        "CVE",
        "CLOSE WITH",
    ];

    fn rows(&self) -> Vec<Vec<Entry>> {
        let exposure = &self.exposure;
        let gate = exposure.opened_by.as_ref();
        let mut ports = exposure.bypasses.iter().filter(|one| one.by == Means::ApiPort);
        let opened = gate.map_or_else(
            || {
                ports
                    .next()
                    .map_or_else(|| "-".to_owned(), |port| port.via.clone())
            },
            |gate| format!("{} ({:o})", gate.path.display(), gate.mode),
        );
        let cve = exposure.cause.as_ref().and_then(|cause| cause.cve.clone());
        vec![vec![
            Entry::outside(&self.store),
            Entry::plain(self.layers),
            Entry::exposed(&exposure.exposed_to),
            Entry::plain(equals(&exposure.bypasses)),
            Entry::plain(opened),
            Entry::plain(cve.as_deref().unwrap_or("-")),
            Entry::outside(exposure.remedy.as_deref().unwrap_or("-")),
        ]]
    }
}

/// Root's equals in words, each once.
fn equals(bypasses: &[Bypass]) -> String {
    let names = bypasses
        .iter()
        .filter(|one| one.root_equivalent)
        .map(|one| reader(&one.reader));
    let names: std::collections::BTreeSet<String> = names.collect();
    if names.is_empty() {
        "-".to_owned()
    } else {
        names.into_iter().collect::<Vec<_>>().join(", ")
    }
}
