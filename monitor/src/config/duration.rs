//! Durations as people write them: `10s`, `15m`, `1h30m`, `500ms`, `2d`.
//!
//! Invariant: printing what was parsed gives a text that parses to the same. Between zero, which needs a unit too, and
//! ten years. Used by `keys` to check a value and by `resolved` to take it.

use std::time::Duration;

/// The units with their milliseconds, the longest first.
const UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];
/// Longer than anything that makes sense; keeps sums with timestamps from overflowing.
const LONGEST_MS: u64 = 3_650 * 86_400_000;

/// Parses numbers with units, each unit once and the longer first; `None` for anything else.
pub(super) fn parse(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut units = UNITS.iter();
    let mut total_ms: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, after) = rest.split_at_checked(digits)?;
        let letters = after
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(letters)?;
        let (_, unit_ms) = units.find(|(name, _)| *name == unit)?;
        total_ms = number
            .parse::<u64>()
            .ok()?
            .checked_mul(*unit_ms)?
            .checked_add(total_ms)?;
        rest = after;
    }
    (!text.is_empty() && total_ms <= LONGEST_MS).then(|| Duration::from_millis(total_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_need_units_and_units_descend() {
        for (text, milliseconds) in [
            ("10s", Some(10_000)),
            ("15m", Some(900_000)),
            ("1h30m", Some(5_400_000)),
            ("2d", Some(172_800_000)),
            ("500ms", Some(500)),
            ("1m500ms", Some(60_500)),
            ("0s", Some(0)),
            ("3650d", Some(LONGEST_MS)),
            ("3651d", None),
            ("", None),
            ("10", None),
            ("s", None),
            ("-1s", None),
            ("1.5s", None),
            ("1 s", None),
            ("10S", None),
            ("30m1h", None),
            ("1m1m", None),
            ("1week", None),
            ("99999999999999999999s", None),
            ("18446744073709551615d", None),
            ("１s", None),
        ] {
            assert_eq!(parse(text), milliseconds.map(Duration::from_millis), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn parsing_is_total(text: String) {
            parse(&text);
        }

        #[test]
        fn milliseconds_are_kept(milliseconds in 0..LONGEST_MS) {
            proptest::prop_assert_eq!(parse(&format!("{milliseconds}ms")), Some(Duration::from_millis(milliseconds)));
        }
    }
}
