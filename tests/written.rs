//! A store in the format of containers/storage that is written by hand, for machines without an engine.
//!
//! Two layers and one image that has both; what is in the lower layer is the caller's.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use base64::Engine as _;
use serde_json::json;

/// Bytes of an Ed25519 private key before the 32 that are the key itself, and how many those are (RFC 8410).
const DER_PREFIX: [u8; 16] = *b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";
const KEY_BYTES: u8 = 32;

/// A private key of the right structure; another one for each number.
pub fn private_key(number: u8) -> String {
    let mut der = DER_PREFIX.to_vec();
    der.extend((0..KEY_BYTES).map(|byte| byte.wrapping_mul(37).wrapping_add(number.wrapping_mul(11))));
    let body = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n")
}

/// See the module.
#[derive(Debug)]
pub struct Store {
    /// The graph root.
    pub root: PathBuf,
    /// The lower layer's id.
    pub lower: String,
    /// The upper layer's id.
    pub upper: String,
}

impl Store {
    /// Writes the store with these files (path in the layer, content) in the lower layer.
    pub fn write(root: &Path, files: &[(&str, String)]) -> Result<Self> {
        let (lower, upper, image) = ("a".repeat(64), "b".repeat(64), "c".repeat(64));
        let store = Self {
            root: root.to_owned(),
            lower,
            upper,
        };
        for directory in ["overlay-layers", "overlay-images", "overlay/l"] {
            fs::create_dir_all(root.join(directory))?;
        }
        for layer in [&store.lower, &store.upper] {
            fs::create_dir_all(store.diff(layer))?;
        }
        for (path, content) in files {
            let file = store.diff(&store.lower).join(path);
            fs::create_dir_all(file.parent().unwrap_or(root))?;
            fs::write(file, content)?;
        }
        let layer = |id: &str, parent: Option<&str>| {
            let digest = format!("sha256:{id}");
            json!({"id": id, "parent": parent, "diff-digest": digest, "created": "2026-01-01T00:00:00Z"})
        };
        let layers = json!([layer(&store.lower, None), layer(&store.upper, Some(&store.lower))]);
        let images = json!([{
            "id": image,
            "digest": format!("sha256:{image}"),
            "names": ["registry.example/shop/api:1"],
            "layer": store.upper,
            "created": "2026-01-01T00:00:00Z",
        }]);
        fs::write(root.join("overlay-layers/layers.json"), layers.to_string())?;
        fs::write(root.join("overlay-images/images.json"), images.to_string())?;
        Ok(store)
    }

    /// A layer's content.
    pub fn diff(&self, layer: &str) -> PathBuf {
        self.root.join("overlay").join(layer).join("diff")
    }
}
