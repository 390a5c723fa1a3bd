//! The digests that packages record, as they write them down.
//!
//! Invariant: what is no digest of its kind is none. MD5 and SHA-1 are here because dpkg and apk use them: whoever can
//! make a second file of the same digest could as well write the record.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest as _, Sha256};

/// What a file's content should be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Expected {
    Md5([u8; 16]),
    Sha1([u8; 20]),
    Sha256([u8; 32]),
}

impl Expected {
    /// 32 hex digits, as in dpkg's `md5sums`.
    pub(super) fn md5(hex: &[u8]) -> Option<Self> {
        from_hex(hex).map(Self::Md5)
    }

    /// 64 hex digits, as in rpm's database.
    pub(super) fn sha256_in_hex(hex: &[u8]) -> Option<Self> {
        from_hex(hex).map(Self::Sha256)
    }

    /// `Q1` and base64, as in apk's `installed`.
    pub(super) fn apk(text: &[u8]) -> Option<Self> {
        let bytes = STANDARD.decode(text.strip_prefix(b"Q1")?).ok()?;
        Some(Self::Sha1(bytes.try_into().ok()?))
    }

    /// `sha256=` and base64 for addresses, as in Python's `RECORD`.
    pub(super) fn python(text: &[u8]) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text.strip_prefix(b"sha256=")?).ok()?;
        Some(Self::Sha256(bytes.try_into().ok()?))
    }

    pub(super) fn is_of(&self, content: &[u8]) -> bool {
        match self {
            Self::Md5(digest) => Md5::digest(content).as_slice() == digest,
            Self::Sha1(digest) => Sha1::digest(content).as_slice() == digest,
            Self::Sha256(digest) => Sha256::digest(content).as_slice() == digest,
        }
    }
}

fn from_hex<const BYTES: usize>(hex: &[u8]) -> Option<[u8; BYTES]> {
    let mut digest = [0; BYTES];
    if hex.len() != 2 * BYTES {
        return None;
    }
    for (byte, pair) in digest.iter_mut().zip(hex.chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_read_as_packages_write_them() {
        // Of the text `abc`: RFC 1321, FIPS 180-4.
        for (digest, good) in [
            (Expected::md5(b"900150983cd24fb0d6963f7d28e17f72"), true),
            (Expected::apk(b"Q1qZk+NkcGgWq6PiVxeFDCbJzQ2J0="), true),
            (
                Expected::python(b"sha256=ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0"),
                true,
            ),
            (Expected::md5(b"900150983cd24fb0d6963f7d28e17f73"), false),
            (Expected::md5(b"9001"), false),
            (Expected::apk(b"qZk+NkcGgWq6PiVxeFDCbJzQ2J0="), false),
            (Expected::python(b"md5=x"), false),
        ] {
            assert_eq!(
                digest.as_ref().is_some_and(|d| d.is_of(b"abc")),
                good,
                "{digest:?}"
            );
        }
    }
}
