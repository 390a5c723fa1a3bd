//! The records of the index files, as containers/storage writes them.
//!
//! Invariant: an unknown key is no error, a known key of the wrong type is. Text stays text here: ids, digests and
//! times are checked where a layer or an image is made of it. Keys: storage/layers.go, images.go, containers.go.

use std::collections::BTreeMap;

use serde::Deserialize;

#[derive(Deserialize, Clone, PartialEq, Eq, Debug, Default)]
#[serde(rename_all = "kebab-case")]
pub(super) struct LayerRecord {
    pub(super) id: String,
    pub(super) parent: Option<String>,
    pub(super) created: Option<String>,
    pub(super) compressed_diff_digest: Option<String>,
    pub(super) toc_digest: Option<String>,
    pub(super) diff_digest: Option<String>,
    pub(super) diff_size: Option<i64>,
    pub(super) flags: Option<BTreeMap<String, serde_json::Value>>,
}

impl LayerRecord {
    /// The flag that stands while a layer is being written, and for good when its writer was killed.
    pub(super) fn is_incomplete(&self) -> bool {
        let flag = self.flags.as_ref().and_then(|flags| flags.get("incomplete"));
        flag.is_some_and(|flag| *flag != serde_json::Value::Bool(false))
    }
}

#[derive(Deserialize, Clone, PartialEq, Eq, Debug, Default)]
#[serde(rename_all = "kebab-case")]
pub(super) struct ImageRecord {
    pub(super) id: String,
    pub(super) digest: Option<String>,
    pub(super) names: Option<Vec<String>>,
    pub(super) names_history: Option<Vec<String>>,
    pub(super) layer: Option<String>,
    pub(super) mapped_layers: Option<Vec<String>>,
    pub(super) big_data_names: Option<Vec<String>>,
    pub(super) big_data_digests: Option<BTreeMap<String, String>>,
    pub(super) created: Option<String>,
}

#[derive(Deserialize, Clone, PartialEq, Eq, Debug, Default)]
#[serde(rename_all = "kebab-case")]
pub(super) struct ContainerRecord {
    pub(super) id: String,
    pub(super) layer: Option<String>,
}
