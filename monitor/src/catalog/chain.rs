//! How Docker and containerd name a layer on top of others: the chain id (OCI image spec, config.md, "Layer `ChainID`").
//!
//! Invariant: pure. Here a chain id is the hex alone, as the directories of `layerdb` are called. Used by the readers of
//! layers and images of both.

use sha2::{Digest as _, Sha256};

use crate::model::Digest;

/// The chain id of a layer with this diff id on the layer of another chain id.
pub(super) fn on(parent: Option<&str>, diff_id: &Digest) -> String {
    match parent {
        None => diff_id.hex().to_owned(),
        Some(parent) => {
            let both = format!("sha256:{parent} {diff_id}");
            format!("{:x}", Sha256::digest(both))
        }
    }
}

/// The chain ids of an image's layers, base first.
pub(super) fn fold(diff_ids: &[Digest]) -> Vec<String> {
    let mut chain: Vec<String> = Vec::with_capacity(diff_ids.len());
    for diff_id in diff_ids {
        let next = on(chain.last().map(String::as_str), diff_id);
        chain.push(next);
    }
    chain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_is_named_as_docker_names_it() {
        // The layers of tests/fixtures/docker/store.json.
        let diff_ids = [
            "814847b567917b80b9f5389ae6458ed2eeb81e2e5ff702032e3e1add33104ebe",
            "bd9468bd19f9e4bf78acdec523fb95269a3acbb836839e149b00af8f2622ef92",
            "95f7e532e9a90321b55972b9d99ab44716eef49b7f83d2c60133410cfd4f0aa3",
        ]
        .map(|hex| Digest::parse(&format!("sha256:{hex}")).unwrap());
        let chain = [
            "814847b567917b80b9f5389ae6458ed2eeb81e2e5ff702032e3e1add33104ebe",
            "5095c735cf934958a4cb44c229f7c70043b3f56c7f42d64d1b5440117f6a6f47",
            "e7f1360769e37b1d6dbcc055da46a17787976044a6a90b80b7c3623761fda364",
        ];
        assert_eq!(fold(&diff_ids), chain);
        assert_eq!(fold(&[]), Vec::<String>::new());
    }
}
