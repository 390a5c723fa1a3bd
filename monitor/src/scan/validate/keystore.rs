//! Binary keystores, judged by their first bytes.
//!
//! Invariant: only the file's head is read; a store that holds certificates only (a truststore) is no secret. The
//! fingerprint is that of the head, which holds a key's first bytes or a salt.

use super::{Accepted, Match};

/// JKS and JCEKS (`OpenJDK`, `sun.security.provider.JavaKeyStore`): magic, version 1 or 2, count, tag 1 for a private key.
pub(super) fn judge_java(matched: &Match<'_>) -> Option<Accepted> {
    let (_magic, rest) = matched.haystack.split_first_chunk::<4>()?;
    let (version, rest) = rest.split_first_chunk::<4>()?;
    let (count, rest) = rest.split_first_chunk::<4>()?;
    let (tag, rest) = rest.split_first_chunk::<4>()?;
    let known = matches!(u32::from_be_bytes(*version), 1 | 2) && u32::from_be_bytes(*count) > 0;
    // Tag 3 is a secret key of JCEKS.
    (known && matches!(u32::from_be_bytes(*tag), 1 | 3) && rest.len() >= 32).then(|| accept_head(matched))
}

/// PKCS #12 (RFC 7292, section 4): a sequence of version 3 and a `ContentInfo` of type data.
pub(super) fn judge_pkcs12(matched: &Match<'_>) -> Option<Accepted> {
    let rest = matched.haystack.strip_prefix(&[0x30])?;
    let (first, rest) = rest.split_first()?;
    let digits = usize::from(first & 0x7f);
    let rest = if first & 0x80 == 0 {
        rest
    } else {
        rest.get(digits..)?
    };
    let rest = rest.strip_prefix(&[0x02, 0x01, 0x03, 0x30])?;
    let oid = [0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07];
    let near = rest.get(..16)?;
    (digits <= 4 && near.windows(oid.len()).any(|window| window == oid)).then(|| accept_head(matched))
}

pub(super) fn accept_head(matched: &Match<'_>) -> Accepted {
    let head = matched.haystack.get(..1024).unwrap_or(matched.haystack);
    Accepted {
        secret: matched.whole.start..matched.whole.start + head.len(),
        canonical: super::Secret::new(head.to_vec()),
        known: None,
    }
}
