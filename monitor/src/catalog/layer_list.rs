//! JSON has no structured keys: the map of layers travels as the list of its layers, which carry their keys.
//!
//! Invariant: what is read is what was written. Used by serde for `Catalog`.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serializer};

use crate::model::{Layer, LayerKey};

pub(super) fn serialize<S: Serializer>(
    layers: &BTreeMap<LayerKey, Layer>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(layers.values())
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<LayerKey, Layer>, D::Error> {
    let layers = Vec::<Layer>::deserialize(deserializer)?;
    Ok(layers
        .into_iter()
        .map(|layer| (layer.key.clone(), layer))
        .collect())
}
