//! A blob that containerd writes: a directory in `ingest` with the data, and what it is to be in `ref`
//! (`plugins/content/local` and `core/metadata/content.go` of containerd).
//!
//! Invariant: total and bounded; a reference that is none makes the data a leftover and no pull's. Called by `look`.

use std::collections::BTreeSet;
use std::path::Path;

use super::{Blob, Found};
use crate::bounded;
use crate::catalog::layout::is_sha256_hex;
use crate::model::Store;

/// A namespace, a number and what the client calls it.
const REFERENCE_LIMIT: u64 = 4096;

/// What of it is a store's: each namespace that is a store has its own, the rest is whoever's comes first.
pub(super) fn found(
    directory: &Path,
    content: &Path,
    store: &Store,
    namespaces: &BTreeSet<String>,
) -> Option<Found> {
    let mut found = Found::at(directory.join("data"))?;
    let text = bounded::read_text(&directory.join("ref"), REFERENCE_LIMIT).unwrap_or_default();
    let Some((namespace, digest)) = reference(text.trim_end()) else {
        return Some(found);
    };
    if namespaces.contains(namespace) && store.namespace.as_deref() != Some(namespace) {
        return None;
    }
    found.blob = digest.map(|digest| Blob {
        pull: namespace.to_owned(),
        lands: Some(content.join("blobs/sha256").join(digest)),
    });
    Some(found)
}

/// The namespace, and what the blob is to be if a pull says so: `<namespace>/<number>/<kind>-sha256:<digest>`.
fn reference(text: &str) -> Option<(&str, Option<&str>)> {
    let mut parts = text.splitn(3, '/');
    let (namespace, number, name) = (parts.next()?, parts.next()?, parts.next()?);
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let digest = name
        .rsplit_once("-sha256:")
        .map(|(_, digest)| digest)
        .filter(|digest| is_sha256_hex(digest));
    is_number.then_some((namespace, digest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_tells_namespace_and_digest() {
        let digest = "ab".repeat(32);
        for (text, expected) in [
            (
                format!("default/1/layer-sha256:{digest}"),
                Some(("default", Some(digest.as_str()))),
            ),
            (
                format!("k8s.io/27/manifest-sha256:{digest}"),
                Some(("k8s.io", Some(digest.as_str()))),
            ),
            ("default/1/layer-sha256:short".to_owned(), Some(("default", None))),
            ("default/1/mine/too".to_owned(), Some(("default", None))),
            (format!("default/layer-sha256:{digest}"), None),
            (format!("layer-sha256:{digest}"), None),
            (String::new(), None),
        ] {
            assert_eq!(reference(&text), expected, "{text}");
        }
    }
}
