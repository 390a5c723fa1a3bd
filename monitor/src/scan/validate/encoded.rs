//! Keys in an encoding with a structure of its own: Bech32, `Base58Check`, base64 with a known inside, `OpenVPN`'s hex.
//!
//! Invariant: what has a checksum is verified; base64 must decode to as much as its format says. Sources: BIP 173 (age
//! uses its checksum), Bitcoin's `Base58Check`, minisign's and signify's file formats.

use base64::Engine as _;
use sha2::{Digest as _, Sha256};

use super::pem::{LENIENT, der_sequence, is_base64};
use super::token::distinct;
use super::{Accepted, Match, value};

const BECH32: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
const BASE58: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";

/// The whole match is Bech32 with a right checksum.
pub(super) fn judge_bech32(matched: &Match<'_>) -> Option<Accepted> {
    let text = matched.haystack.get(matched.whole.clone())?.to_ascii_lowercase();
    is_bech32(&text).then(|| matched.accept_group())
}

fn is_bech32(text: &[u8]) -> bool {
    let Some(at) = text.iter().rposition(|b| *b == b'1') else {
        return false;
    };
    let (prefix, data) = (
        text.get(..at).unwrap_or_default(),
        text.get(at + 1..).unwrap_or_default(),
    );
    let values: Option<Vec<u32>> = data
        .iter()
        .map(|b| u32::try_from(BECH32.iter().position(|c| c == b)?).ok())
        .collect();
    let Some(values) = values.filter(|values| values.len() >= 6) else {
        return false;
    };
    let high = prefix.iter().map(|b| u32::from(*b >> 5));
    let low = prefix.iter().map(|b| u32::from(*b & 31));
    let all = high.chain([0]).chain(low).chain(values);
    all.fold(1, polymod) == 1
}

fn polymod(checksum: u32, value: u32) -> u32 {
    const GENERATOR: [u32; 5] = [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3];
    let top = checksum >> 25;
    let mixed = ((checksum & 0x01ff_ffff) << 5) ^ value;
    GENERATOR
        .iter()
        .enumerate()
        .filter(|(bit, _)| top >> bit & 1 == 1)
        .fold(mixed, |mixed, (_, generator)| mixed ^ generator)
}

/// The whole match is Base58 whose last four bytes are the double SHA-256 of those before.
pub(super) fn judge_base58(matched: &Match<'_>) -> Option<Accepted> {
    let bytes = base58(matched.haystack.get(matched.whole.clone())?)?;
    let (body, checksum) = bytes.split_last_chunk::<4>()?;
    let digest = Sha256::digest(Sha256::digest(body));
    (digest.get(..4)? == checksum).then(|| matched.accept_group())
}

fn base58(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes: Vec<u8> = Vec::with_capacity(text.len());
    for digit in text.get(..text.len().min(128))? {
        let mut carry = u32::try_from(BASE58.iter().position(|b| b == digit)?).ok()?;
        for byte in &mut bytes {
            carry += u32::from(*byte) * 58;
            *byte = u8::try_from(carry & 0xff).ok()?;
            carry >>= 8;
        }
        while carry > 0 {
            bytes.push(u8::try_from(carry & 0xff).ok()?);
            carry >>= 8;
        }
    }
    bytes.reverse();
    Some(bytes)
}

/// Base64 of bytes that look random, twelve or more; line breaks and indentation inside are no matter.
pub(super) fn judge_base64(matched: &Match<'_>) -> Option<Accepted> {
    let text: Vec<u8> = matched
        .bytes()
        .iter()
        .copied()
        .filter(|b| !b.is_ascii_whitespace())
        .collect();
    let decoded = LENIENT.decode(&text).ok()?;
    (decoded.len() >= 12
        && distinct(&decoded) >= (decoded.len() / 2).min(20)
        && !value::is_placeholder(&text))
    .then(|| matched.accept(matched.secret.len(), decoded))
}

/// Base64 of a plain private key in DER (PKCS #1 or PKCS #8), not of a certificate.
pub(super) fn judge_base64_der(matched: &Match<'_>) -> Option<Accepted> {
    let tail = matched.tail();
    let length = tail.iter().position(|byte| *byte == b'"')?;
    let decoded = LENIENT.decode(tail.get(..length)?).ok()?;
    let content = der_sequence(&decoded)?;
    (content.get(..2)? == [0x02, 0x01] && matches!(content.get(2)?, 0 | 1))
        .then(|| matched.accept(length, decoded))
}

/// Secret keys of minisign (158 bytes, `Ed`) and signify (104 bytes, `EdBK`).
pub(super) fn judge_signer(matched: &Match<'_>) -> Option<Accepted> {
    let decoded = LENIENT.decode(matched.bytes()).ok()?;
    let known = match decoded.len() {
        158 => decoded.starts_with(b"Ed") && decoded.get(4..6)? == b"B2",
        104 => decoded.starts_with(b"EdBK"),
        _ => false,
    };
    (known && distinct(&decoded) >= 24).then(|| matched.accept(matched.secret.len(), decoded))
}

/// `OpenVPN`'s static keys: 256 bytes in hex between the marks; its tls-crypt-v2 keys are base64.
pub(super) fn judge_openvpn(matched: &Match<'_>) -> Option<Accepted> {
    let tail = matched.tail();
    let length = super::pem::find(tail, b"-----END ")?;
    let digits: Vec<u8> = tail
        .get(..length)?
        .iter()
        .copied()
        .filter(|b| !b.is_ascii_whitespace())
        .collect();
    let is_hex = digits.len() == 512 && digits.iter().all(u8::is_ascii_hexdigit);
    let is_base64 = digits.len() >= 160 && digits.iter().all(|b| is_base64(*b));
    ((is_hex || is_base64) && distinct(&digits) >= 12).then(|| matched.accept(length, digits))
}

/// The body of an Ansible vault: lines of 80 hex digits that hold hex again.
pub(super) fn judge_vault(matched: &Match<'_>) -> Option<Accepted> {
    let tail = matched.tail();
    let is_part = |b: &u8| b.is_ascii_hexdigit() || b.is_ascii_whitespace();
    let length = tail.iter().position(|b| !is_part(b)).unwrap_or(tail.len());
    let digits: Vec<u8> = tail
        .get(..length)?
        .iter()
        .copied()
        .filter(u8::is_ascii_hexdigit)
        .collect();
    // Salt, HMAC and at least one block, as hex digits of hex digits.
    (digits.len() >= 2 * (64 + 1 + 64 + 1 + 32) && distinct(&digits) >= 8)
        .then(|| matched.accept(length, digits))
}

/// A value of a Kubernetes `Secret`'s `data`: base64 of something that is no placeholder and not public by its name.
pub(super) fn judge_secret_data(matched: &Match<'_>) -> Option<Accepted> {
    const PUBLIC: [&[u8]; 14] = [
        b"username",
        b"user",
        b"host",
        b"port",
        b"namespace",
        b"ca.crt",
        b"tls.crt",
        b"database",
        b"dbname",
        b"email",
        b"url",
        b"release",
        b"server",
        b"name",
    ];
    let before = matched.haystack.get(matched.whole.start..matched.secret.start)?;
    let name: Vec<u8> = before
        .iter()
        .copied()
        .filter(|b| !b.is_ascii_whitespace() && !matches!(b, b'"' | b'\'' | b':' | b'{' | b','))
        .map(|b| b.to_ascii_lowercase())
        .collect();
    let decoded = LENIENT.decode(matched.bytes()).ok()?;
    let text = decoded.trim_ascii();
    let is_text = text
        .iter()
        .all(|b| b.is_ascii_graphic() || matches!(b, b' ' | b'\n' | b'\r' | b'\t'));
    let is_secret = if is_text {
        value::is_password(text) && distinct(text) >= 5
    } else {
        decoded.len() >= 16 && distinct(&decoded) >= 12
    };
    (is_secret && !PUBLIC.contains(&name.as_slice()))
        .then(|| matched.accept(matched.secret.len(), text.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_the_documents() {
        // BIP 173 and BIP 32, their own test vectors.
        for (text, good) in [
            ("a12uel5l", true),
            ("abcdef1qpzry9x8gf2tvdw0s3jn54khce6mua7lmqqqxw", true),
            ("abcdef1qpzry9x8gf2tvdw0s3jn54khce6mua7lmqqqxv", false),
            ("nothing", false),
            ("1", false),
        ] {
            assert_eq!(is_bech32(text.as_bytes()), good, "{text}");
        }
        let key = concat!(
            "xprv9s21ZrQH143K3QTDL4LXw2F7HEK3wJUD2nW2nRk4stbPy6cq3jPPqjiChkVvvNKm",
            "PGJxWUtg6LnF5kejMRNNU3TGtRBeJgk33yuGBxrMPHi"
        );
        let judged = |text: &str| {
            judge_base58(&Match {
                haystack: text.as_bytes(),
                whole: 0..text.len(),
                secret: 4..text.len(),
            })
            .is_some()
        };
        assert!(judged(key));
        assert!(!judged(&key.replace("GBxr", "GBxs")));
        assert!(!judged("xprv0OIl"));
    }
}
