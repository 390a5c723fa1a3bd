//! Which files came with a layer, from the record of its tar that Docker and containers/storage keep to rebuild it.
//!
//! Invariant: bounded in bytes before and after unpacking; a record that is damaged or too long tells nothing, which is
//! less than a wrong layer. Where layers are copies that are not mounted, this alone tells a file's origin. The
//! format is tar-split's: JSON values one after another, those of type 1 with a name and a size. Used by the readers of layers.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use flate2::read::MultiGzDecoder;
use serde::Deserialize;

use crate::bounded;

/// Of a layer with a few hundred thousand files.
const PACKED_LIMIT: u64 = 32 << 20;
const LIMIT: u64 = 256 << 20;
/// Files of one layer.
const MAX_FILES: usize = 1 << 20;
/// A file's entry; the others are the tar's own bytes.
const FILE: u8 = 1;

#[derive(Deserialize)]
struct Entry {
    #[serde(rename = "type")]
    kind: u8,
    #[serde(default)]
    name: String,
    #[serde(default)]
    size: u64,
}

/// What a file is known by: its path below the layer's root and its size, without which a container's own file of the
/// same name would pass for the image's.
pub(super) fn mark(path: &[u8], size: u64) -> u64 {
    let mut hasher = DefaultHasher::new();
    (path, size).hash(&mut hasher);
    hasher.finish()
}

/// The marks of the files of a layer, sorted; `None` where the record does not tell them all.
pub(super) fn marks(file: &Path) -> Option<Arc<[u64]>> {
    let packed = bounded::read_regular(file, PACKED_LIMIT).ok()?;
    let plain = MultiGzDecoder::new(packed.as_slice()).take(LIMIT);
    let entries = serde_json::Deserializer::from_reader(std::io::BufReader::new(plain)).into_iter::<Entry>();
    let mut marks = Vec::new();
    for entry in entries {
        let entry = entry.ok()?;
        if entry.kind == FILE {
            if marks.len() == MAX_FILES {
                return None;
            }
            let name = entry.name.strip_prefix("./").unwrap_or(&entry.name);
            marks.push(mark(name.trim_matches('/').as_bytes(), entry.size));
        }
    }
    marks.sort_unstable();
    Some(marks.into())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn check(text: &str, expected: Option<&[(&str, u64)]>) {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut encoder = flate2::write::GzEncoder::new(&file, flate2::Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap();
        let expected = expected.map(|files| {
            let mut marks: Vec<u64> = files
                .iter()
                .map(|(name, size)| mark(name.as_bytes(), *size))
                .collect();
            marks.sort_unstable();
            Arc::from(marks)
        });
        assert_eq!(marks(file.path()), expected, "{text}");
    }

    #[test]
    fn files_are_told_from_the_tars_own_bytes() {
        check("", Some(&[]));
        let recorded = "{\"type\":2,\"payload\":\"ZXRj\",\"position\":0}\n\
            {\"type\":1,\"name\":\"etc/\",\"payload\":null,\"position\":1}\n\
            {\"type\":1,\"name\":\"./etc/secret.key\",\"size\":119,\"payload\":\"5nfaBqfQ4eg=\",\"position\":3}\n";
        check(recorded, Some(&[("etc", 0), ("etc/secret.key", 119)]));
        check("{\"type\":1,\"name\":\"a\"}{", None);
        check("{\"type\":1,\"name\":7}", None);
        assert_eq!(marks(Path::new("/nowhere")), None);
    }
}
