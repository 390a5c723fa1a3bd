//! Paths in JSON: as text where they are text, else escaped as `text::printable` does, so that no path can stop a
//! line from being written.
//!
//! Invariant: what is read back is the path that was written. Used through `#[serde(with = …)]` by the model's types.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serializer};

use super::text::{printable, unescape};

fn shown(path: &Path) -> String {
    printable(path.as_os_str().as_bytes()).to_string()
}

fn read(text: &str) -> PathBuf {
    OsString::from_vec(unescape(text)).into()
}

pub(super) fn serialize<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&shown(path))
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
    Ok(read(&String::deserialize(deserializer)?))
}

/// The same for a path that may be absent.
pub(super) mod optional {
    use super::{Deserialize, Deserializer, PathBuf, Serializer, read, shown};

    #[expect(clippy::ref_option, reason = "the form that serde calls")]
    pub(in crate::model) fn serialize<S: Serializer>(
        path: &Option<PathBuf>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match path {
            Some(path) => serializer.serialize_some(&shown(path)),
            None => serializer.serialize_none(),
        }
    }

    pub(in crate::model) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<PathBuf>, D::Error> {
        Ok(Option::<String>::deserialize(deserializer)?.map(|text| read(&text)))
    }
}

/// The same for paths with their inodes.
pub(super) mod keyed {
    use super::{Deserialize, Deserializer, PathBuf, Serializer, read, shown};
    use crate::model::DevIno;

    pub(in crate::model) fn serialize<S: Serializer>(
        paths: &[(PathBuf, DevIno)],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(paths.iter().map(|(path, key)| (shown(path), key)))
    }

    pub(in crate::model) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<(PathBuf, DevIno)>, D::Error> {
        let pairs = Vec::<(String, DevIno)>::deserialize(deserializer)?;
        Ok(pairs.into_iter().map(|(text, key)| (read(&text), key)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{DevIno, KernelDev};

    #[derive(serde::Serialize, serde::Deserialize, PartialEq, Debug)]
    struct Paths {
        #[serde(with = "super")]
        one: PathBuf,
        #[serde(with = "super::optional", default)]
        maybe: Option<PathBuf>,
        #[serde(with = "super::keyed")]
        keyed: Vec<(PathBuf, DevIno)>,
    }

    #[test]
    fn any_path_is_written_and_read_back() {
        for bytes in [
            &b"/var/lib"[..],
            b"/caf\xc3\xa9",
            b"/bad\xff\xfe",
            b"/a\nb\x1b[31m",
            b"",
        ] {
            let path: PathBuf = OsString::from_vec(bytes.to_vec()).into();
            let key = DevIno {
                dev: KernelDev(1),
                ino: 2,
            };
            for maybe in [None, Some(path.clone())] {
                let paths = Paths {
                    one: path.clone(),
                    maybe,
                    keyed: vec![(path.clone(), key)],
                };
                let json = serde_json::to_string(&paths).unwrap();
                assert!(!json.contains('\u{1b}'));
                assert_eq!(serde_json::from_str::<Paths>(&json).unwrap(), paths);
            }
        }
    }
}
