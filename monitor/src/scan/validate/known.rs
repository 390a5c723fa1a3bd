//! Secrets that everybody knows: samples of documentation, and keys that public software ships for its tests.
//!
//! Invariant: a secret is compared whole, so that a real one next to a sample is none. Published keys are listed by the
//! first twelve bytes of the SHA-256 of their decoded form, with the package that ships them (`published.txt`).

use std::collections::BTreeSet;
use std::sync::LazyLock;

use sha2::{Digest as _, Sha256};

use crate::scan::rules::hex;

/// Digits of a digest in the list.
const DIGITS: usize = 24;

/// Samples as a rule's group `secret` has them, by the service whose documentation they stand in.
const SAMPLES: [&str; 8] = [
    // AWS: both halves of the pair that its documentation uses everywhere.
    "IOSFODNN7EXAMPLE",
    "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "I44QH8DHBEXAMPLE",
    "je7MtGbClwBF/2Zp9Utk/h3yCo8nvbEXAMPLEKEY",
    // Azure: the storage emulator's and the Cosmos DB emulator's only keys.
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==",
    "C2y6yDjf5/R+ob0N8A7Cgv30VRDJIWEHLM+4QDU5DE8nQ9nDuVTqobD4b8mGGyPMbIZnqyMsEcaGQy67XIw/Jw==",
    // Ansible, Vagrant and Packer guides.
    "vagrant",
    // RFC 7519 and jwt.io, the signature of the sample with the secret `your-256-bit-secret`.
    "SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c",
];

static PUBLISHED: LazyLock<BTreeSet<&str>> = LazyLock::new(|| {
    include_str!("published.txt")
        .lines()
        .filter_map(|line| line.get(..DIGITS))
        .filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))
        .collect()
});

/// Whether a documentation shows it.
pub(super) fn is_sample(secret: &[u8]) -> bool {
    SAMPLES.iter().any(|sample| sample.as_bytes() == secret)
}

/// Whether public software ships it, in its decoded form.
pub(super) fn is_published(canonical: &[u8]) -> bool {
    let digest = hex(&Sha256::digest(canonical));
    digest
        .get(..DIGITS)
        .is_some_and(|digits| PUBLISHED.contains(digits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_well_formed() {
        let text = include_str!("published.txt");
        let keys = text.lines().filter(|line| !line.starts_with('#'));
        for line in keys.clone() {
            let (digits, name) = line.split_at_checked(DIGITS).unwrap();
            assert!(
                digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')),
                "{line}"
            );
            assert!(name.starts_with(' ') && name.len() > 3, "{line}");
        }
        assert_eq!(keys.count(), PUBLISHED.len());
        assert!(is_sample(b"IOSFODNN7EXAMPLE") && !is_sample(b"IOSFODNN7EXAMPLF"));
        assert!(!is_published(b"anything"));
    }
}
