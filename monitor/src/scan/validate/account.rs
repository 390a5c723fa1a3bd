//! Password hashes of system accounts and web servers, and HTTP's basic authentication.
//!
//! Invariant: a locked or empty field is no secret; a locked account's hash is one, since it can be cracked as any.

use base64::Engine as _;
use zeroize::Zeroizing;

use super::pem::LENIENT;
use super::{Accepted, Match, value};

/// A field of shadow(5) with a hash of crypt(5), `!` in front if the account is locked.
pub(super) fn is_crypt_hash(field: &[u8]) -> bool {
    let hash = field.trim_ascii_start();
    let hash = hash
        .iter()
        .position(|b| *b != b'!')
        .and_then(|at| hash.get(at..))
        .unwrap_or_default();
    let mut parts = hash.split(|b| *b == b'$');
    let (Some(b""), Some(id)) = (parts.next(), parts.next()) else {
        return false;
    };
    let rest: Vec<&[u8]> = parts.collect();
    let digest = rest.last().copied().unwrap_or_default();
    let expected = match id {
        b"1" => 22..=22,
        b"5" => 43..=43,
        b"6" => 86..=86,
        b"y" | b"gy" => 43..=86,
        b"2a" | b"2b" | b"2x" | b"2y" => 53..=53,
        b"7" | b"sha1" => 20..=120,
        _ => return false,
    };
    rest.len() >= 2 && expected.contains(&digest.len()) && digest.iter().all(|b| is_crypt64(*b))
}

/// The second field of an htpasswd line: MD5-apr1, SHA-1, or a hash of crypt(5).
pub(super) fn is_htpasswd(field: &[u8]) -> bool {
    if let Some(digest) = field.strip_prefix(b"{SHA}") {
        return LENIENT.decode(digest).is_ok_and(|bytes| bytes.len() == 20);
    }
    if let Some(rest) = field.strip_prefix(b"$apr1$") {
        let mut parts = rest.splitn(2, |b| *b == b'$');
        let (salt, digest) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        return (1..=8).contains(&salt.len()) && digest.len() == 22 && digest.iter().all(|b| is_crypt64(*b));
    }
    is_crypt_hash(field)
}

/// Judges base64 of `user:password` (RFC 7617); canonical is the password, which often stands beside it in the clear.
pub(super) fn judge_basic_auth(matched: &Match<'_>) -> Option<Accepted> {
    let decoded = Zeroizing::new(LENIENT.decode(matched.bytes()).ok()?);
    let colon = decoded.iter().position(|b| *b == b':')?;
    let (user, password) = (decoded.get(..colon)?, decoded.get(colon + 1..)?);
    let printable = decoded
        .iter()
        .all(|b| b.is_ascii_graphic() || *b == b' ' || *b >= 0x80);
    (printable && !user.is_empty() && value::is_password(password))
        .then(|| matched.accept(matched.secret.len(), password.to_vec()))
}

fn is_crypt64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_has_the_length_of_its_method() {
        let digest = |n: usize| "aB3./xYz09".chars().cycle().take(n).collect::<String>();
        for (field, is_hash) in [
            (format!("$6$saltsalt${}", digest(86)), true),
            (format!("!$6$rounds=5000$saltsalt${}", digest(86)), true),
            (format!("$y$j9T$saltsaltsalt${}", digest(43)), true),
            (format!("$2b$10${}", digest(53)), true),
            (format!("$6$saltsalt${}", digest(85)), false),
            (format!("$6${}", digest(86)), false),
            (format!("$9$salt${}", digest(86)), false),
            (format!("$6$saltsalt${}:", digest(85)), false),
            ("!".to_owned(), false),
            ("*".to_owned(), false),
            (String::new(), false),
        ] {
            assert_eq!(is_crypt_hash(field.as_bytes()), is_hash, "{field}");
        }
    }
}
