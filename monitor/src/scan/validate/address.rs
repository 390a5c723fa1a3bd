//! Passwords in addresses: `scheme://user:password@host`.
//!
//! Invariant: total and linear. A password that is the user's name is what a server has before anybody chose one
//! (`postgres:postgres@localhost`): it opens nothing that the name alone would not. Called by `Validation`.

use super::{Accepted, Match, value};

/// Judges a password that stands between a user's name and a host.
pub(super) fn judge(matched: &Match<'_>) -> Option<Accepted> {
    let before = matched.haystack.get(..matched.secret.start)?.strip_suffix(b":")?;
    let is_end = |byte: &u8| matches!(byte, b'/' | b'@' | b'"' | b'\'') || byte.is_ascii_whitespace();
    let start = before.iter().rposition(is_end).map_or(0, |at| at + 1);
    let user = before.get(start..)?;
    let password = matched.bytes();
    (value::is_password(password) && !password.eq_ignore_ascii_case(user)).then(|| matched.accept_group())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_in_an_address_is_more_than_the_users_name() {
        for (address, is_secret) in [
            ("postgres://shop:kV9u3gUB@db/shop", true),
            ("postgres://postgres:postgres@localhost/shop", false),
            ("amqp://Guest:guest@mq", false),
            ("redis://:kV9u3gUB@cache", true),
            ("redis://:changeme@cache", false),
        ] {
            let text = address.as_bytes();
            let (login, _) = address.rsplit_once('@').unwrap();
            let (start, at) = (login.rfind(':').unwrap() + 1, login.len());
            let matched = Match {
                haystack: text,
                whole: 0..text.len(),
                secret: start..at,
            };
            assert_eq!(judge(&matched).is_some(), is_secret, "{address}");
        }
    }
}
