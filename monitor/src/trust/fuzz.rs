//! What an engine's configuration holds, as functions over bytes: policy, registries, references.
//!
//! Invariant: each ends whatever the bytes, and what was accepted means the same when it is read again. Called by
//! `fuzz`; no part of the program.

use std::path::Path;

use super::{Policy, Reference, registries, strict_json};

/// containers-policy.json(5).
pub fn policy(bytes: &[u8]) {
    let first = Policy::parse(bytes);
    assert_eq!(first.is_ok(), Policy::parse(bytes).is_ok());
    assert!(first.is_err() || strict_json::parse(bytes).is_ok());
}

/// containers-registries.conf(5).
pub fn registries_file(bytes: &[u8]) {
    for is_drop_in in [false, true] {
        let first = registries::parse(bytes, Path::new("registries.conf"), is_drop_in);
        assert_eq!(
            first,
            registries::parse(bytes, Path::new("registries.conf"), is_drop_in)
        );
    }
}

/// The name of an image.
pub fn reference(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(reference) = Reference::parse(text) {
        let shown = reference.to_string();
        assert_eq!(Reference::parse(&shown).ok(), Some(reference), "{shown}");
    }
}
