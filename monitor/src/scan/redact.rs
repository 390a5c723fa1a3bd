//! The one place where a secret becomes something that may leave: a keyed fingerprint and a masked excerpt.
//!
//! Invariant: `Secret` has neither Debug nor Display nor Serialize and overwrites itself; an excerpt is masked before it
//! is cut, so that a cut never uncovers anything. Called by `engine` for each match it keeps.

use std::fmt;
use std::ops::Range;

use hmac::{Hmac, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::rules::hex;
use crate::model::{Fingerprint, text};

/// The longest excerpt, characters.
pub(super) const MAX_EXCERPT: usize = 120;
/// A fingerprint's length in hex digits: 96 bits.
pub(super) const FINGERPRINT_DIGITS: usize = 24;
const MASK: &[u8] = b"****";

/// Bytes that must not leave this module's parent; overwritten when dropped.
pub(super) struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// The node's own key for fingerprints: without it a fingerprint of a weak password cannot be tried out.
#[derive(Clone)]
pub struct FingerprintKey(Zeroizing<[u8; 32]>);

impl FingerprintKey {
    /// Takes 32 random bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The key in hex, for the worker's pipe only.
    pub(super) fn to_hex(&self) -> Secret {
        Secret::new(hex(&*self.0).into_bytes())
    }

    pub(super) fn from_hex(text: &str) -> Option<Self> {
        let mut key = Zeroizing::new([0; 32]);
        let digits = text.as_bytes();
        if digits.len() != 2 * key.len() {
            return None;
        }
        for (byte, pair) in key.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(Self(key))
    }

    /// HMAC-SHA256 of a secret (RFC 2104), its first 96 bits in hex.
    pub(super) fn fingerprint(&self, secret: &[u8]) -> Fingerprint {
        // HMAC takes a key of any length, so there is no error to handle.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&*self.0) else {
            return Fingerprint(String::new());
        };
        mac.update(secret);
        let mut digits = hex(&mac.finalize().into_bytes());
        digits.truncate(FINGERPRINT_DIGITS);
        Fingerprint(digits)
    }

    /// HMAC-SHA256 of parts of a kept result; never equal to a fingerprint's, whatever the parts are.
    pub(super) fn seal(&self, parts: &[&[u8]]) -> [u8; 32] {
        self.sealing(parts)
            .map_or([0; 32], |mac| mac.finalize().into_bytes().into())
    }

    /// Whether a seal is that of these parts.
    pub(super) fn is_seal(&self, seal: &[u8], parts: &[&[u8]]) -> bool {
        self.sealing(parts)
            .is_some_and(|mac| mac.verify_slice(seal).is_ok())
    }

    fn sealing(&self, parts: &[&[u8]]) -> Option<Hmac<Sha256>> {
        // Under a key that is derived, so that no secret's fingerprint can be made to pass for a seal.
        let mut derived = Hmac::<Sha256>::new_from_slice(&*self.0).ok()?;
        derived.update(b"layerwatch sealed results");
        let mut mac = Hmac::<Sha256>::new_from_slice(&derived.finalize().into_bytes()).ok()?;
        for part in parts {
            mac.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
            mac.update(part);
        }
        Some(mac)
    }
}

impl fmt::Debug for FingerprintKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FingerprintKey(..)")
    }
}

/// The first line of `whole` with all `secrets` masked, at most [`MAX_EXCERPT`] characters of printable text.
///
/// Only the match itself is shown, never what stands around it: that may be a secret which no rule knows.
pub(super) fn excerpt(haystack: &[u8], whole: &Range<usize>, secrets: &[Range<usize>]) -> String {
    let mut masked = Vec::new();
    let mut at = whole.start;
    while at < whole.end {
        if let Some(end) = secrets.iter().filter(|s| s.contains(&at)).map(|s| s.end).max() {
            if !masked.ends_with(MASK) {
                masked.extend_from_slice(MASK);
            }
            at = end;
            continue;
        }
        match haystack.get(at) {
            Some(b'\n' | b'\r') if masked.is_empty() => {}
            None | Some(b'\n' | b'\r') => break,
            Some(byte) => masked.push(*byte),
        }
        at += 1;
    }
    if !masked.ends_with(MASK) && !contains(&masked, MASK) {
        masked.extend_from_slice(MASK);
    }
    let printable = text::printable(masked.trim_ascii()).to_string();
    cut(&printable)
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

fn cut(text: &str) -> String {
    if text.chars().count() <= MAX_EXCERPT {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(MAX_EXCERPT - 1).collect();
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_masks_every_secret_and_shows_one_line() {
        for (text, secrets, shown) in [
            ("password=hunter22", vec!["hunter22"], "password=****"),
            ("a=one b=two", vec!["one", "two"], "a=**** b=****"),
            (
                "-----BEGIN KEY-----\nAAAA\nBBBB",
                vec!["AAAA\nBBBB"],
                "-----BEGIN KEY-----",
            ),
            ("\n  token: abc\x1b[31m", vec!["abc"], "token: ****\\x1b[31m"),
            ("overlapsecret", vec!["lapsec", "secret"], "over****"),
        ] {
            let ranges: Vec<_> = secrets
                .iter()
                .map(|secret| {
                    let at = text.find(secret).unwrap();
                    at..at + secret.len()
                })
                .collect();
            let excerpt = excerpt(text.as_bytes(), &(0..text.len()), &ranges);
            assert_eq!(
                excerpt.trim_end_matches('*'),
                shown.trim_end_matches('*'),
                "{text}"
            );
            assert!(secrets.iter().all(|secret| !excerpt.contains(secret)));
        }
    }

    #[test]
    fn cutting_comes_after_masking() {
        let text = format!("{}secret-at-the-end", "x".repeat(115));
        let shown = excerpt(
            text.as_bytes(),
            &(0..text.len()),
            std::slice::from_ref(&(115..text.len())),
        );
        assert_eq!(shown, format!("{}****", "x".repeat(115)));
        let long = format!("{}=secret", "x".repeat(300));
        let shown = excerpt(
            long.as_bytes(),
            &(0..long.len()),
            std::slice::from_ref(&(301..long.len())),
        );
        assert_eq!((shown.chars().count(), shown.ends_with('…')), (MAX_EXCERPT, true));
    }

    #[test]
    fn a_fingerprint_depends_on_key_and_secret_only() {
        let (one, two) = (FingerprintKey::new([1; 32]), FingerprintKey::new([2; 32]));
        // Computed with `printf secret | openssl dgst -sha256 -mac HMAC -macopt hexkey:0101…`.
        assert_eq!(one.fingerprint(b"secret").0, "d0f96e0e09173c52da5ecd22");
        assert_ne!(one.fingerprint(b"secret"), two.fingerprint(b"secret"));
        assert_ne!(one.fingerprint(b"secret"), one.fingerprint(b"secreu"));
        assert_eq!(format!("{one:?}"), "FingerprintKey(..)");
        let hex = one.to_hex();
        let back = FingerprintKey::from_hex(std::str::from_utf8(hex.bytes()).unwrap()).unwrap();
        assert_eq!(back.fingerprint(b"x"), one.fingerprint(b"x"));
        assert!(FingerprintKey::from_hex("00").is_none());
        assert!(FingerprintKey::from_hex(&"zz".repeat(32)).is_none());
    }
}
