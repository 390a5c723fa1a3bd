//! Keys in files of their own format: `GnuPG`'s key store, Bouncy Castle's keystores, Kerberos keytabs, random bytes.
//!
//! Invariant: only the head of a file is read; a length that points beyond it, an empty store and a file of zeros are no
//! keys. Formats: RFC 9580 section 5.5.3, `GnuPG`'s agent/keyformat.txt, MIT Kerberos' keytab file format.

use super::keystore::accept_head;
use super::token::distinct;
use super::{Accepted, Match};

/// Random bytes from the group on: at least eight, and not of a pattern.
pub(super) fn judge_random(matched: &Match<'_>) -> Option<Accepted> {
    let head = matched.tail().get(..1024).unwrap_or(matched.tail());
    (head.len() >= 8 && distinct(head) >= (head.len() / 2).min(24)).then(|| accept_head(matched))
}

/// A list in `GnuPG`'s S-expressions with something in it.
pub(super) fn judge_sexp(matched: &Match<'_>) -> Option<Accepted> {
    let tail = matched.tail();
    let is_key = [
        &b"(rsa"[..],
        b"(ecc",
        b"(dsa",
        b"(elg",
        b"3:rsa",
        b"3:ecc",
        b"3:dsa",
        b"3:elg",
    ]
    .iter()
    .any(|kind| super::pem::find(tail.get(..64).unwrap_or(tail), kind).is_some());
    (is_key && tail.len() >= 64).then(|| accept_head(matched))
}

/// An `OpenPGP` secret-key packet (tag 5) of a known version and algorithm.
pub(super) fn judge_openpgp(matched: &Match<'_>) -> Option<Accepted> {
    let (first, rest) = matched.haystack.split_first()?;
    let rest = if first & 0x40 == 0 {
        rest.get(
            match first & 3 {
                0 => 1,
                1 => 2,
                2 => 4,
                _ => 0,
            }..,
        )?
    } else {
        let (length, rest) = rest.split_first()?;
        rest.get(
            match length {
                0..=191 => 0,
                192..=223 => 1,
                255 => 4,
                _ => return None,
            }..,
        )?
    };
    let version = *rest.first()?;
    let algorithm = *rest.get(5)?;
    let known = matches!(version, 3..=6) && matches!(algorithm, 1..=3 | 16..=19 | 22 | 25..=28);
    (known && rest.len() >= 32 && distinct(rest) >= 16).then(|| accept_head(matched))
}

/// BKS and UBER: version, a salt of 20 bytes, an iteration count, and in BKS the first entry's type.
pub(super) fn judge_bouncy_castle(matched: &Match<'_>) -> Option<Accepted> {
    let rest = matched.haystack.get(8..)?;
    let (salt, rest) = rest.split_first_chunk::<20>()?;
    let (count, rest) = rest.split_first_chunk::<4>()?;
    let iterations = u32::from_be_bytes(*count);
    // An entry that is a certificate (1) first does not exclude a key later; an end mark (0) does.
    let entry = *rest.first()?;
    ((1..=10_000_000).contains(&iterations) && distinct(salt) >= 8 && (2..=4).contains(&entry))
        .then(|| accept_head(matched))
}

/// A keytab: version 0x0501 or 0x0502 and a first entry that fits, with a realm and a key.
pub(super) fn judge_keytab(matched: &Match<'_>) -> Option<Accepted> {
    let (version, rest) = matched.haystack.split_first_chunk::<2>()?;
    let (size, entry) = rest.split_first_chunk::<4>()?;
    let size = usize::try_from(i32::from_be_bytes(*size)).ok()?;
    let (components, rest) = entry.split_first_chunk::<2>()?;
    let (realm, rest) = rest.split_first_chunk::<2>()?;
    let components = usize::from(u16::from_be_bytes(*components));
    let realm = rest.get(..usize::from(u16::from_be_bytes(*realm)))?;
    let fits = (20..=4096).contains(&size) && entry.len() >= size.min(1024) && (1..=8).contains(&components);
    (version[0] == 5 && fits && !realm.is_empty() && realm.iter().all(|b| b.is_ascii_graphic() || *b == b' '))
        .then(|| accept_head(matched))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(judge: fn(&Match<'_>) -> Option<Accepted>, bytes: &[u8]) -> bool {
        judge(&Match {
            haystack: bytes,
            whole: 0..1,
            secret: 0..1,
        })
        .is_some()
    }

    #[test]
    fn a_head_is_accepted_only_as_what_its_format_says() {
        let random: Vec<u8> = (0u8..=255).map(|i| i.wrapping_mul(97) ^ 0x5a).collect();
        let keytab = |version: u8, size: u8, realm: &[u8]| {
            let head = [
                5,
                version,
                0,
                0,
                0,
                size,
                0,
                1,
                0,
                u8::try_from(realm.len()).unwrap(),
            ];
            [&head[..], realm, &random].concat()
        };
        let bks = |entry: u8, iterations: u8| {
            [
                &[0, 0, 0, 2, 0, 0, 0, 20][..],
                &random[..20],
                &[0, 0, 0, iterations, entry],
                &random,
            ]
            .concat()
        };
        let packet =
            |first: u8, version: u8| [&[first, 2, 88, version, 1, 2, 3, 4, 22][..], &random].concat();
        for (judge, bytes, good) in [
            (
                judge_random as fn(&Match<'_>) -> Option<Accepted>,
                random.clone(),
                true,
            ),
            (judge_random, vec![0; 64], false),
            (judge_random, random[..6].to_vec(), false),
            (judge_keytab, keytab(2, 60, b"EXAMPLE.COM"), true),
            (judge_keytab, keytab(2, 4, b"EXAMPLE.COM"), false),
            (judge_keytab, keytab(2, 60, b""), false),
            (judge_bouncy_castle, bks(4, 200), true),
            (judge_bouncy_castle, bks(0, 200), false),
            (judge_bouncy_castle, bks(4, 0), false),
            (judge_openpgp, packet(0x95, 4), true),
            (judge_openpgp, packet(0x95, 9), false),
            (
                judge_sexp,
                [&b"(11:private-key(3:rsa"[..], &random].concat(),
                true,
            ),
            (
                judge_sexp,
                [&b"(11:private-key(3:xyz"[..], &random].concat(),
                false,
            ),
        ] {
            assert_eq!(judged(judge, &bytes), good, "{:?}", bytes.get(..12));
        }
        for cut in 0..40 {
            for judge in [
                judge_random,
                judge_keytab,
                judge_bouncy_castle,
                judge_openpgp,
                judge_sexp,
            ] {
                let _total: bool = judged(judge, random.get(..cut).unwrap());
            }
        }
    }
}
