//! Tokens: their own structure where they have one, randomness where they have not.
//!
//! Invariant: documented samples and placeholders are no tokens; nothing is decoded beyond the span of the rule.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::pem::{LENIENT, find, is_base64};
use super::{Accepted, Match, value};

/// A token by its alphabet; the expression may have stopped at its own limit, so its end is looked for here.
pub(super) fn judge(matched: &Match<'_>) -> Option<Accepted> {
    let length = token_length(matched.tail()).max(matched.secret.len());
    let token = matched.tail().get(..length)?;
    (!value::is_placeholder(token) && distinct(token) >= 8 && !is_patterned(token))
        .then(|| matched.accept(length, token.to_vec()))
}

/// What a hand types to fill a field: a run of eight neighbours (`abcdefgh`, `12345678`), or one block again and again.
fn is_patterned(token: &[u8]) -> bool {
    let mut run = 1;
    let counts = token.windows(2).any(|pair| {
        let follows = pair
            .first()
            .is_some_and(|a| pair.get(1) == Some(&a.wrapping_add(1)));
        run = if follows { run + 1 } else { 1 };
        run >= 8
    });
    let repeats = (1..=token.len() / 3).any(|period| {
        token
            .get(period..)
            .is_some_and(|shifted| token.starts_with(shifted))
    });
    counts || repeats
}

/// A JSON web token (RFC 7519): a header with an algorithm, a payload, a signature.
pub(super) fn judge_jwt(matched: &Match<'_>) -> Option<Accepted> {
    let length = token_length(matched.tail());
    let token = matched.tail().get(..length)?;
    let mut parts = token.split(|b| *b == b'.');
    let header = object(parts.next()?)?;
    object(parts.next()?)?;
    let signature = parts.next()?;
    (header.contains_key("alg")
        && signature.len() >= 32
        && distinct(signature) >= 16
        && parts.next().is_none())
    .then(|| matched.accept(length, token.to_vec()))
}

/// Base64 of exactly `length` bytes that are not all alike; in random bytes' base64 both cases occur.
pub(super) fn judge_base64(matched: &Match<'_>, length: usize) -> Option<Accepted> {
    let text = matched.bytes();
    let decoded = LENIENT.decode(text).ok()?;
    let is_mixed = text.iter().any(u8::is_ascii_lowercase) && text.iter().any(u8::is_ascii_uppercase);
    (decoded.len() == length && distinct(&decoded) >= length / 3 && is_mixed)
        .then(|| matched.accept(matched.secret.len(), decoded))
}

/// A secret access key: 40 characters of base64 with both cases and digits, which a hex digest or a word has not.
pub(super) fn is_aws_secret(token: &[u8]) -> bool {
    let has = |test: fn(&u8) -> bool| token.iter().any(test);
    token.len() == 40
        && token.iter().all(|b| is_base64(*b))
        && has(u8::is_ascii_lowercase)
        && has(u8::is_ascii_uppercase)
        && has(u8::is_ascii_digit)
        && distinct(token) >= 16
        && !value::is_placeholder(token)
}

/// A JSON web token (RFC 7519) whose header names an algorithm and whose issuer is a Kubernetes service account's.
pub(super) fn judge_service_account(matched: &Match<'_>) -> Option<Accepted> {
    let length = token_length(matched.tail());
    let token = matched.tail().get(..length)?;
    let mut parts = token.split(|b| *b == b'.');
    let header = object(parts.next()?)?;
    let payload = object(parts.next()?)?;
    let signature = parts.next()?;
    let of_account = payload.contains_key("kubernetes.io")
        || payload.get("iss").and_then(|issuer| issuer.as_str()) == Some("kubernetes/serviceaccount");
    (header.contains_key("alg") && of_account && signature.len() >= 32 && parts.next().is_none())
        .then(|| matched.accept(length, token.to_vec()))
}

/// A macaroon (version 2, binary) whose location is pypi.org or test.pypi.org.
pub(super) fn judge_pypi(matched: &Match<'_>) -> Option<Accepted> {
    let length = token_length(matched.tail());
    let token = matched.tail().get(..length)?;
    let whole = token.get(..token.len() - token.len() % 4)?;
    let decoded = URL_SAFE_NO_PAD.decode(whole).ok()?;
    let place = find(decoded.get(..24)?, b"pypi.org")?;
    (decoded.first() == Some(&2) && place >= 3 && decoded.len() >= 60 && distinct(&decoded) >= 24)
        .then(|| matched.accept(length, token.to_vec()))
}

fn object(part: &[u8]) -> Option<serde_json::Map<String, serde_json::Value>> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

fn token_length(tail: &[u8]) -> usize {
    let is_token = |b: &u8| is_base64(*b) || matches!(b, b'.' | b'_' | b'-');
    tail.iter().position(|b| !is_token(b)).unwrap_or(tail.len())
}

/// How many different bytes occur.
pub(super) fn distinct(bytes: &[u8]) -> usize {
    let mut seen = [false; 256];
    for byte in bytes {
        if let Some(slot) = seen.get_mut(usize::from(*byte)) {
            *slot = true;
        }
    }
    seen.iter().filter(|seen| **seen).count()
}
