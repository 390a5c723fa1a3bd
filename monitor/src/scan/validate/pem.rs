//! Private keys in PEM (RFC 7468, RFC 1421 for encrypted ones) and in `OpenPGP`'s armour (RFC 9580, section 6).
//!
//! Invariant: a key is accepted only if its whole body decodes and the result has the structure that its label names;
//! a header without a body, a documented `...` and a cut key are not keys. Line breaks may be CR LF, the escapes of JSON
//! or indented and quoted lines of a source file.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::{Accepted, Match, ssh};

pub(super) const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);
const END: &[u8] = b"-----END ";
/// The smallest key there is, an Ed25519 one in PKCS #8, has 48 bytes.
const MIN_KEY: usize = 40;

struct Body {
    decoded: Vec<u8>,
    encrypted: bool,
}

/// Judges a match whose whole is the header line and whose secret begins after it.
pub(super) fn judge(matched: &Match<'_>, encrypted: bool) -> Option<Accepted> {
    let header = matched.haystack.get(matched.whole.clone())?;
    let tail = matched.tail();
    let length = find(tail, END)?;
    let body = decode(tail.get(..length)?)?;
    let is_encrypted = structure(header, &body)?;
    (is_encrypted == encrypted).then(|| matched.accept(length, body.decoded))
}

/// Judges a match whose secret is the beginning of a base64 run that holds a PEM key.
pub(super) fn judge_base64(matched: &Match<'_>) -> Option<Accepted> {
    let tail = matched.tail();
    let length = tail.iter().position(|b| !is_base64(*b)).unwrap_or(tail.len());
    let text = LENIENT.decode(tail.get(..length)?).ok()?;
    let header = find(&text, b"PRIVATE KEY-----")? + b"PRIVATE KEY-----".len();
    let start = text
        .get(..header)?
        .windows(11)
        .rposition(|window| window == b"-----BEGIN ")?;
    let inner = Match {
        haystack: &text,
        whole: start..header,
        secret: header..header,
    };
    let accepted = judge(&inner, false).or_else(|| judge(&inner, true))?;
    Some(matched.accept(length, accepted.canonical.bytes().to_vec()))
}

/// Judges an `OpenPGP` private key block: the armour decodes and begins with a secret-key packet (tag 5).
pub(super) fn judge_armor(matched: &Match<'_>) -> Option<Accepted> {
    let tail = matched.tail();
    let length = find(tail, END)?;
    let text = tail.get(..length)?;
    // The checksum line begins with `=`; it is no part of the base64.
    let data = find(text, b"\n=").map_or(text, |at| text.get(..at).unwrap_or_default());
    let body = decode(data)?;
    let tag = match *body.decoded.first()? {
        new if new & 0xc0 == 0xc0 => new & 0x3f,
        old => (old & 0x3c) >> 2,
    };
    (tag == 5 && body.decoded.len() >= MIN_KEY).then(|| matched.accept(length, body.decoded))
}

/// Judges a key of `SSH.COM`: its lines decode to the format's magic number (draft-galb-secsh-publickeyfile).
pub(super) fn judge_ssh2(matched: &Match<'_>) -> Option<Accepted> {
    let tail = matched.tail();
    let length = find(tail, b"---- END ")?;
    let body = decode(tail.get(..length)?)?;
    (body.decoded.starts_with(&[0x3f, 0x6f, 0xf9, 0xeb]) && body.decoded.len() >= MIN_KEY)
        .then(|| matched.accept(length, body.decoded))
}

/// Judges a key whose body is random bytes, 32 or more.
pub(super) fn judge_raw(matched: &Match<'_>) -> Option<Accepted> {
    let length = find(matched.tail(), END)?;
    let body = decode(matched.tail().get(..length)?)?;
    (body.decoded.len() >= 32 && super::token::distinct(&body.decoded) >= 16)
        .then(|| matched.accept(length, body.decoded))
}

/// Judges a key whose body is a JSON object with a key derivation and a ciphertext, as cosign writes it.
pub(super) fn judge_json(matched: &Match<'_>) -> Option<Accepted> {
    let length = find(matched.tail(), END)?;
    let body = decode(matched.tail().get(..length)?)?;
    let object: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&body.decoded).ok()?;
    (object.contains_key("kdf") && object.contains_key("ciphertext"))
        .then(|| matched.accept(length, body.decoded))
}

/// Whether a decoded body is what its header says, and if so whether it is encrypted.
fn structure(header: &[u8], body: &Body) -> Option<bool> {
    let decoded = body.decoded.as_slice();
    if find(header, b"BEGIN OPENSSH ").is_some() {
        return ssh::openssh_is_encrypted(decoded);
    }
    if body.encrypted {
        // RFC 1421 encryption leaves blocks of a cipher, nothing to parse.
        return (decoded.len() >= MIN_KEY && decoded.len().is_multiple_of(8)).then_some(true);
    }
    let content = der_sequence(decoded)?;
    if find(header, b"BEGIN ENCRYPTED ").is_some() {
        // EncryptedPrivateKeyInfo (RFC 5958) begins with an algorithm, a sequence.
        return (content.first() == Some(&0x30)).then_some(true);
    }
    // Every plain format begins with a version, an integer of one byte.
    (content.get(..2) == Some(&[0x02, 0x01])).then_some(false)
}

/// The content of a DER sequence that fills `bytes` (X.690, section 8.1).
pub(super) fn der_sequence(bytes: &[u8]) -> Option<&[u8]> {
    let (tag, rest) = bytes.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, content) = match first {
        short @ 0..=0x7f => (usize::from(*short), rest),
        0x81..=0x83 => {
            let (digits, content) = rest.split_at_checked(usize::from(first & 0x0f))?;
            (
                digits
                    .iter()
                    .fold(0, |length, digit| length << 8 | usize::from(*digit)),
                content,
            )
        }
        _ => return None,
    };
    (*tag == 0x30 && length == content.len() && bytes.len() >= MIN_KEY).then_some(content)
}

/// Decodes the lines between header and footer.
fn decode(body: &[u8]) -> Option<Body> {
    let text = unescape(body);
    let mut base64 = zeroize::Zeroizing::new(Vec::with_capacity(text.len()));
    let mut encrypted = false;
    for line in text.split(|b| matches!(b, b'\n' | b'\r')) {
        let line = bare(line);
        if line.contains(&b':') {
            encrypted |= find(line, b"ENCRYPTED").is_some();
            continue;
        }
        // A variable often holds the whole key in one line, with spaces for its line breaks.
        for part in line.split(|b| *b == b' ') {
            if !part.iter().all(|b| is_base64(*b)) {
                return None;
            }
            base64.extend_from_slice(part);
        }
    }
    let decoded = LENIENT.decode(&*base64).ok()?;
    Some(Body { decoded, encrypted })
}

/// What a key looks like outside a string of JSON, YAML or source code: `\n`, `\/`, `\u003d` and their like.
fn unescape(body: &[u8]) -> zeroize::Zeroizing<Vec<u8>> {
    let mut text = zeroize::Zeroizing::new(Vec::with_capacity(body.len()));
    let mut rest = body;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'\\' {
            text.push(*first);
            continue;
        }
        let Some((escape, after)) = rest.split_first() else {
            break;
        };
        match escape {
            b'n' | b'r' => text.push(b'\n'),
            b't' => text.push(b' '),
            b'/' => text.push(b'/'),
            b'u' => {
                let code = after.get(..4).and_then(|digits| std::str::from_utf8(digits).ok());
                let byte = code.and_then(|digits| u8::from_str_radix(digits, 16).ok());
                text.extend(byte);
                rest = after.get(4..).unwrap_or_default();
                continue;
            }
            // An escape of an escape, or a line that goes on.
            _ => continue,
        }
        rest = after;
    }
    text
}

/// A line without indentation, quotes, comment marks and the operator that joins string literals.
fn bare(line: &[u8]) -> &[u8] {
    let mut line = line.trim_ascii();
    if let Some(joined) = line.strip_suffix(b"+").or_else(|| line.strip_suffix(b".")) {
        let joined = joined.trim_ascii_end();
        if joined.ends_with(b"\"") || joined.ends_with(b"'") {
            line = joined;
        }
    }
    let is_noise = |b: &u8| {
        matches!(
            b,
            b'"' | b'\'' | b',' | b';' | b'\\' | b'#' | b'>' | b'|' | b'*' | b' ' | b'\t'
        )
    };
    let start = line.iter().position(|b| !is_noise(b)).unwrap_or(line.len());
    let end = line.iter().rposition(|b| !is_noise(b)).map_or(start, |at| at + 1);
    line.get(start..end).unwrap_or_default()
}

pub(super) fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=')
}

pub(super) fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    memchr::memmem::find(haystack, needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_sequence_that_fills_its_bytes_is_one() {
        let content = vec![0x02; 60];
        let good = [&[0x30, 60][..], &content].concat();
        let long = [&[0x30, 0x81, 200][..], &[2; 200]].concat();
        for (bytes, inside) in [
            (good.clone(), Some(60)),
            (long, Some(200)),
            (good[..50].to_vec(), None),
            ([&good[..], &[0]].concat(), None),
            ([&[0x31, 60][..], &content].concat(), None),
            (vec![0x30, 0x84, 0, 0, 0, 1], None),
            (vec![0x30], None),
            (Vec::new(), None),
        ] {
            assert_eq!(der_sequence(&bytes).map(<[u8]>::len), inside);
        }
    }

    #[test]
    fn a_body_reads_the_same_however_its_lines_are_written() {
        for body in [
            "\nQUJD\nREVG\n",
            "\r\nQUJD\r\nREVG\r\n",
            "\\nQUJD\\nREVG\\n",
            "\n    QUJD\n    REVG\n",
            "\\n\" +\n  \"QUJD\\n\" +\n  \"REVG\\n\" +\n \"",
            "\nProc-Type: 4,NONE\n\nQUJDREVG\n",
            " QUJD REVG ",
            "\\\\nQUJD\\\\nREVG\\\\n",
            "\\nQUJD\\u0052EVG\\n",
            "\\\n QUJD\\\n REVG\\\n",
        ] {
            assert_eq!(decode(body.as_bytes()).unwrap().decoded, b"ABCDEF", "{body}");
        }
        for body in ["\nQUJD...\n", "\nQU-D\n", "\n<your key>\n", "\nQUJDR\n"] {
            assert!(decode(body.as_bytes()).is_none(), "{body}");
        }
    }
}
