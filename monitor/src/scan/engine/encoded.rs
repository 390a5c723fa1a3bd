//! One level of base64: what a configuration holds in this encoding is searched as if it stood there in the clear.
//!
//! Invariant: bounded by runs and bytes per file, and never a second level; what does not decode to text is left alone.
//! Kubernetes Secrets, registry logins, cloud-init files and variables come this way. Called by `search`.

use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// The shortest run that is worth it: sixteen bytes.
const LEAST: usize = 22;
/// The longest that is decoded; of a longer one the beginning.
const MOST: usize = 16 << 10;
/// Runs that are decoded in one file.
const RUNS: usize = 500;
/// Characters that are decoded in one file.
const CHARACTERS: usize = 2 << 20;
/// A private key in base64 has a rule of its own.
const PEM: &[u8] = b"LS0tLS1CRUdJTi";

/// What is left of a file's budget.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    runs: usize,
    characters: usize,
}

impl Budget {
    pub(super) const WHOLE: Self = Self {
        runs: RUNS,
        characters: CHARACTERS,
    };
    /// For what was decoded itself.
    pub(super) const NONE: Self = Self {
        runs: 0,
        characters: 0,
    };

    pub(super) fn is_spent(self) -> bool {
        self.runs == 0 || self.characters == 0
    }
}

/// Calls `found` with each run that begins in `part` and the text it decodes to.
pub(super) fn each_text(
    buffer: &[u8],
    part: Range<usize>,
    budget: &mut Budget,
    mut found: impl FnMut(Range<usize>, &[u8]),
) {
    let mut at = part.start;
    while at < part.end && !budget.is_spent() {
        let Some(run) = next_run(buffer, at, part.end) else {
            return;
        };
        at = run.end;
        let Some(text) = buffer.get(run.clone()).filter(|run| looks_like_text(run)) else {
            continue;
        };
        budget.runs -= 1;
        budget.characters = budget.characters.saturating_sub(text.len());
        let whole = text.get(..text.len() - text.len() % 4).unwrap_or(text);
        if let Ok(decoded) = STANDARD.decode(whole).map(Zeroizing::new)
            && is_text(&decoded)
        {
            found(run, &decoded);
        }
    }
}

/// The next run of base64 that begins in `from..limit`.
///
/// A run as long as [`LEAST`] covers each place that is a multiple of it, so that only those are looked at.
fn next_run(buffer: &[u8], from: usize, limit: usize) -> Option<Range<usize>> {
    let mut probe = from + LEAST - 1;
    loop {
        if !is_digit(*buffer.get(probe)?) {
            probe += LEAST;
            continue;
        }
        let before = buffer.get(from..probe)?;
        let start = from + before.iter().rposition(|b| !is_digit(*b)).map_or(0, |at| at + 1);
        if start >= limit {
            return None;
        }
        let digits = buffer.get(start..)?;
        let length = digits.iter().take(MOST).take_while(|b| is_digit(**b)).count();
        if length >= LEAST {
            let padding = digits
                .iter()
                .skip(length)
                .take(2)
                .take_while(|b| **b == b'=')
                .count();
            return Some(start..start + length + padding);
        }
        probe = start + length + LEAST;
    }
}

fn is_digit(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/')
}

/// Whether its first twelve bytes are printable: most runs are words, digests and images.
fn looks_like_text(run: &[u8]) -> bool {
    let mut first = [0; 12];
    let head = run.get(..16).unwrap_or_default();
    !run.starts_with(PEM) && STANDARD.decode_slice(head, &mut first) == Ok(12) && is_text(&first)
}

fn is_text(bytes: &[u8]) -> bool {
    bytes
        .iter()
        .all(|b| b.is_ascii_graphic() || matches!(b, b' ' | b'\n' | b'\r' | b'\t'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(buffer: &[u8], part: Range<usize>) -> Vec<(Range<usize>, String)> {
        let mut texts = Vec::new();
        let mut budget = Budget::WHOLE;
        each_text(buffer, part, &mut budget, |run, text| {
            texts.push((run, String::from_utf8(text.to_vec()).unwrap()));
        });
        texts
    }

    #[test]
    fn runs_that_hold_text_are_decoded_wherever_they_begin() {
        let encoded = STANDARD.encode("password: hunter2-and-more\n");
        for before in 0..60 {
            let buffer = format!("{}\"{encoded}\", word", "x ".repeat(before));
            let start = 2 * before + 1;
            let expected = vec![(
                start..start + encoded.len(),
                "password: hunter2-and-more\n".to_owned(),
            )];
            assert_eq!(texts(buffer.as_bytes(), 0..buffer.len()), expected, "{before}");
            assert_eq!(
                texts(buffer.as_bytes(), 0..start),
                [],
                "it begins behind the part"
            );
        }
    }

    #[test]
    fn what_is_no_text_is_left_alone() {
        let digest = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
        let image = STANDARD.encode([0x89, b'P', b'N', b'G', 13, 10, 26, 10, 0, 0, 0, 13, 1, 2, 3, 4]);
        let key = STANDARD.encode("-----BEGIN PRIVATE KEY-----\nMIGH");
        for text in [
            digest,
            &image,
            &key,
            "AVeryLongIdentifierInSomeProgram",
            "",
            "short",
        ] {
            assert_eq!(texts(text.as_bytes(), 0..text.len()), [], "{text}");
        }
    }

    #[test]
    fn the_budget_ends() {
        let one = STANDARD.encode("nothing to be seen here, really");
        let many = format!("{one} ").repeat(RUNS + 10);
        assert_eq!(texts(many.as_bytes(), 0..many.len()).len(), RUNS);
    }
}
