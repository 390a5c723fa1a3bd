//! Text of an index on its way into a path, an id or a digest.
//!
//! Invariant: an id that passes is one plain path component, so that joining it to the store's root stays inside.
//! Called wherever a record becomes a layer or an image.

use std::path::Path;

use super::problem::{ProblemKind, Problems};

/// Twice what containers/storage makes (64 hex digits), for stores whose caller chose the ids.
const MAX_ID: usize = 128;

/// Longer than any reference can be: host, repository (255), tag (128) and digest together.
const MAX_NAME: usize = 1024;

/// Names of one image, present or past.
const MAX_NAMES: usize = 1000;

/// An image's names without absurd ones; what is left out is a problem of `file`.
pub(super) fn bounded_names<'a>(
    names: impl ExactSizeIterator<Item = &'a str>,
    file: &Path,
    problems: &mut Problems,
) -> Vec<String> {
    let mut bad = |cause: String| {
        problems.add(ProblemKind::BadRecord, file, "read an image's names", &cause);
    };
    if names.len() > MAX_NAMES {
        bad(format!("more than {MAX_NAMES}"));
    }
    let (good, long): (Vec<&str>, Vec<&str>) = names.take(MAX_NAMES).partition(|name| name.len() <= MAX_NAME);
    if let Some(long) = long.first() {
        bad(format!("a name of {} bytes", long.len()));
    }
    good.into_iter().map(str::to_owned).collect()
}

/// The id, if it can be a directory's name and nothing more.
pub(super) fn checked_id(id: &str) -> Result<&str, &'static str> {
    if id.is_empty() {
        Err("the id is empty")
    } else if id.len() > MAX_ID {
        Err("the id is longer than 128 bytes")
    } else if id.starts_with('.') {
        Err("the id begins with a dot")
    } else if id
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
    {
        Ok(id)
    } else {
        Err("the id holds a character other than letters, digits, '-', '_' and '.'")
    }
}

/// The beginning of an id that is no good, for a message.
pub(super) fn cut(text: &str) -> String {
    text.chars().take(80).collect()
}

/// An optional id, which the store leaves out or empty when there is none.
pub(super) fn present(id: Option<&str>) -> Option<&str> {
    id.filter(|id| !id.is_empty())
}

/// A time as Go writes it; its zero time means that nobody set one.
pub(super) fn time(text: Option<&str>) -> Option<jiff::Timestamp> {
    const GO_ZERO_TIME: &str = "0001-01-01T00:00:00Z";
    text?.parse().ok().filter(|_| text != Some(GO_ZERO_TIME))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_one_plain_component() {
        for (id, good) in [
            (
                "e6972cbde143ebe8fdc32c7c46bcdbccd4adac43e9a21c8e50a6044a5f80b0e0",
                true,
            ),
            ("layer-1_a.b", true),
            ("", false),
            (".", false),
            ("..", false),
            ("../../etc", false),
            ("a/b", false),
            ("/etc", false),
            ("a\0b", false),
            ("a\nb", false),
            ("é", false),
            (&"a".repeat(128), true),
            (&"a".repeat(129), false),
        ] {
            assert_eq!(checked_id(id).is_ok(), good, "{id:?}");
        }
    }

    #[test]
    fn times_are_read_as_go_writes_them() {
        for (text, seconds) in [
            (Some("2026-11-23T06:54:15.343975663Z"), Some(1_795_416_855)),
            (Some("2026-11-23T08:54:15+02:00"), Some(1_795_416_855)),
            (Some("0001-01-01T00:00:00Z"), None),
            (Some("yesterday"), None),
            (None, None),
        ] {
            assert_eq!(time(text).map(jiff::Timestamp::as_second), seconds, "{text:?}");
        }
    }
}
