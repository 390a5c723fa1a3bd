//! SSH's own key files: `OpenSSH` (PROTOCOL.key of `OpenSSH`) and `PuTTY` (its manual, appendix C).
//!
//! Invariant: a key is accepted only with its magic and a cipher name, which says whether a passphrase protects it.

use super::pem::{LENIENT, is_base64};
use super::{Accepted, Match};
use base64::Engine as _;

const MAGIC: &[u8] = b"openssh-key-v1\0";

/// Whether a decoded `OpenSSH` key has a passphrase; nothing if it is no such key.
pub(super) fn openssh_is_encrypted(decoded: &[u8]) -> Option<bool> {
    let rest = decoded.strip_prefix(MAGIC)?;
    let (cipher, rest) = string(rest)?;
    let (_kdf, rest) = string(rest)?;
    let (_options, rest) = string(rest)?;
    let (count, rest) = rest.split_first_chunk::<4>()?;
    let (_public, rest) = string(rest)?;
    let (private, _) = string(rest)?;
    (*count == [0, 0, 0, 1] && private.len() >= 32).then_some(cipher != b"none")
}

/// A length of four bytes and as many bytes (RFC 4251, section 5).
fn string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)
}

/// Judges a match whose secret begins after the line `PuTTY-User-Key-File-…`: with its private lines, encrypted or not.
pub(super) fn judge_putty(matched: &Match<'_>, encrypted: bool) -> Option<Accepted> {
    let tail = matched.tail();
    let mut base64 = Vec::new();
    let mut wanted = None;
    let mut is_encrypted = None;
    let mut read = 0;
    for line in tail.split_inclusive(|b| *b == b'\n').take(400) {
        let text = line.trim_ascii();
        read += line.len();
        if let Some(cipher) = text.strip_prefix(b"Encryption: ") {
            is_encrypted = Some(cipher != b"none");
        } else if let Some(count) = text.strip_prefix(b"Private-Lines: ") {
            wanted = Some(std::str::from_utf8(count).ok()?.parse::<usize>().ok()?);
        } else if let Some(left) = wanted {
            if text.is_empty() || !text.iter().all(|b| is_base64(*b)) {
                return None;
            }
            base64.extend_from_slice(text);
            wanted = Some(left.checked_sub(1)?);
        }
        if wanted == Some(0) {
            break;
        }
    }
    let decoded = LENIENT.decode(&base64).ok()?;
    (is_encrypted == Some(encrypted) && wanted == Some(0) && decoded.len() >= 32)
        .then(|| matched.accept(read, decoded))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(cipher: &[u8], private: usize) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        for (field, before) in [
            (cipher, &b""[..]),
            (b"none", b""),
            (b"", b""),
            (b"pub", &[0, 0, 0, 1]),
        ] {
            bytes.extend_from_slice(before);
            bytes.extend_from_slice(&u32::try_from(field.len()).unwrap().to_be_bytes());
            bytes.extend_from_slice(field);
        }
        bytes.extend_from_slice(&u32::try_from(private).unwrap().to_be_bytes());
        bytes.resize(bytes.len() + private, 7);
        bytes
    }

    #[test]
    fn the_cipher_name_tells_whether_a_passphrase_protects_a_key() {
        for (bytes, encrypted) in [
            (key(b"none", 64), Some(false)),
            (key(b"aes256-ctr", 64), Some(true)),
            (key(b"none", 8), None),
            (key(b"none", 64)[..60].to_vec(), None),
            (b"openssh-key-v2\0".to_vec(), None),
            (MAGIC.iter().copied().chain([0xff; 8]).collect(), None),
        ] {
            assert_eq!(openssh_is_encrypted(&bytes), encrypted);
        }
    }
}
