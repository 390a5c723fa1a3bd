//! Where an image's big-data items lie: its manifest, its configuration, its signatures.
//!
//! Invariant: the file is in the given directory whatever the key is. Called by `images`.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The file of a big-data item (`makeBigDataBaseName`, storage/store.go): the key, or `=` and its base64.
pub(super) fn big_data_file(directory: &Path, key: &str) -> Option<PathBuf> {
    let plain = key.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.'));
    let name = if plain {
        key.to_owned()
    } else {
        format!("={}", STANDARD.encode(key))
    };
    let is_component = !matches!(name.as_str(), "" | "." | "..") && !name.contains('/') && name.len() <= 255;
    is_component.then(|| directory.join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn big_data_keys_become_names_in_the_directory() {
        for (key, name) in [
            ("manifest", Some("manifest")),
            ("sha256:ab", Some("=c2hhMjU2OmFi")),
            ("manifest-sha256:a", Some("=bWFuaWZlc3Qtc2hhMjU2OmE=")),
            ("../x", Some("=Li4veA==")),
            ("..", None),
            ("", None),
            // Base64 itself may hold a slash.
            ("ab?", None),
        ] {
            let file = big_data_file(Path::new("/d"), key);
            assert_eq!(file, name.map(|name| Path::new("/d").join(name)), "{key}");
        }
    }
}
