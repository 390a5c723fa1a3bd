//! Identities: what a thing is called by the kernel, by a store and by a registry.
//!
//! Invariant: an id that exists is well formed; parsing is the only way in. Ids of stores, layers and images are data
//! from outside and may hold any character; they are printed through `text::printable`.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A device number as the kernel keeps it in `super_block.s_dev`: `major << 20 | minor` (`include/linux/kdev_t.h`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KernelDev(pub u32);

impl KernelDev {
    /// From `stat.st_dev`, which user space sees in the wider encoding of `makedev(3)`.
    pub fn from_stat(st_dev: u64) -> Self {
        let (major, minor) = (rustix::fs::major(st_dev), rustix::fs::minor(st_dev));
        Self((major << 20) | (minor & 0x000f_ffff))
    }

    /// From two numbers; absent where the kernel's own encoding has no room for them (`MKDEV`, `include/linux/kdev_t.h`).
    pub fn from_numbers(major: u32, minor: u32) -> Option<Self> {
        (major < 1 << 12 && minor < 1 << 20).then_some(Self((major << 20) | minor))
    }

    /// The major number.
    pub fn major(self) -> u32 {
        self.0 >> 20
    }

    /// The minor number.
    pub fn minor(self) -> u32 {
        self.0 & 0x000f_ffff
    }
}

impl fmt::Display for KernelDev {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.major(), self.minor())
    }
}

/// An inode, as the kernel programs match it: device and inode number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct DevIno {
    /// The file system's device.
    pub dev: KernelDev,
    /// The inode number.
    pub ino: u64,
}

impl DevIno {
    /// The identity of the file that `metadata` describes.
    pub fn of(metadata: &impl std::os::unix::fs::MetadataExt) -> Self {
        Self {
            dev: KernelDev::from_stat(metadata.dev()),
            ino: metadata.ino(),
        }
    }
}

/// A thread group id: what user space calls a process id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tgid(pub u32);

/// A content digest, `algorithm:hex` (OCI image spec, descriptor.md, "Digests").
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(transparent)]
pub struct Digest(Arc<str>);

/// The text is not a digest.
#[derive(Debug, thiserror::Error)]
#[error("not a digest of the form algorithm:hex: {0:?}")]
pub struct DigestError(String);

impl Digest {
    /// Parses `sha256:…` or `sha512:…` with lower-case hex of the algorithm's length.
    pub fn parse(text: &str) -> Result<Self, DigestError> {
        let well_formed = text.split_once(':').is_some_and(|(algorithm, hex)| {
            let length = match algorithm {
                "sha256" => 64,
                "sha384" => 96,
                "sha512" => 128,
                _ => return false,
            };
            hex.len() == length && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        });
        if well_formed {
            Ok(Self(text.into()))
        } else {
            Err(DigestError(text.chars().take(80).collect()))
        }
    }

    /// The whole text, `algorithm:hex`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part after the colon.
    pub fn hex(&self) -> &str {
        self.0.split_once(':').map_or("", |(_, hex)| hex)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes the text as it is.
            pub fn new(text: &str) -> Self {
                Self(text.into())
            }

            /// The text as the store has it; print it through `text::printable`.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&super::text::printable(self.0.as_bytes()), f)
            }
        }
    };
}

text_id!(
    /// A layer's id as its store names it (containers/storage: 64 hex digits).
    LayerId
);
text_id!(
    /// An image's id as its store names it: the hex of its configuration's digest.
    ImageId
);
text_id!(
    /// A store on this host: `<driver>@<root>`, the form of containers/storage references.
    StoreId
);

/// A layer of a store; the same layer id in two stores is two layers on the disk.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct LayerKey {
    /// The store that holds it.
    pub store: StoreId,
    /// Its id there.
    pub layer: LayerId,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_device_becomes_the_kernels() {
        // st_dev 0xfe00 is 254:0, which the kernel keeps as 0xfe00000; 259:65537 needs the wide encoding.
        for (st_dev, kernel, shown) in [
            (0xfe00, 0x0fe0_0000, "254:0"),
            (rustix::fs::makedev(0, 41), 41, "0:41"),
            (
                rustix::fs::makedev(259, 65537),
                (259 << 20) | 0x0001_0001,
                "259:65537",
            ),
        ] {
            let dev = KernelDev::from_stat(st_dev);
            assert_eq!((dev.0, dev.to_string().as_str()), (kernel, shown));
        }
    }

    #[test]
    fn only_well_formed_digests_parse() {
        let hex = "a".repeat(64);
        for (text, good) in [
            (format!("sha256:{hex}"), true),
            (format!("sha512:{hex}{hex}"), true),
            (format!("sha256:{}", "A".repeat(64)), false),
            (format!("sha256:{}", "a".repeat(63)), false),
            (format!("md5:{hex}"), false),
            (hex, false),
            ("sha256:\u{1b}[31m".to_owned(), false),
        ] {
            assert_eq!(Digest::parse(&text).is_ok(), good, "{text}");
        }
        assert_eq!(
            Digest::parse(&format!("sha256:{}", "b".repeat(64)))
                .unwrap()
                .hex(),
            "b".repeat(64)
        );
    }
}
