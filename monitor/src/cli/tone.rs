//! One entry of a table: its text, and whether it is good news.
//!
//! Invariant: text from outside comes in through `outside`, which escapes it; colour adds nothing that the words do not
//! say. Used by every verb that prints a table.

use std::collections::BTreeSet;
use std::fmt::Display;

use comfy_table::{Cell, Color};

use crate::model::text::printable;
use crate::model::{Exposure, Provenance, Reader, Severity};

/// The widest cell; a longer text, such as a path that was made to be long, would push all others off the screen.
const WIDEST: usize = 240;

/// Whether an entry is good news.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    /// Neither.
    Plain,
    /// As it should be.
    Good,
    /// Worth a look.
    Warn,
    /// Not as it should be.
    Bad,
}

/// One entry of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// The text, safe to print.
    pub(super) text: String,
    tone: Tone,
}

impl Entry {
    /// Text of this program, or already escaped.
    pub(super) fn plain(text: impl Display) -> Self {
        Self::toned(text, Tone::Plain)
    }

    /// The same with a tone.
    pub(super) fn toned(text: impl Display, tone: Tone) -> Self {
        Self {
            text: text.to_string(),
            tone,
        }
    }

    /// Bytes that somebody else chose.
    pub(super) fn outside(bytes: impl AsRef<[u8]>) -> Self {
        Self::plain(printable(bytes.as_ref()))
    }

    /// A severity.
    pub(super) fn severity(severity: Severity) -> Self {
        Self::toned(severity.as_str(), severity_tone(severity))
    }

    /// A provenance.
    pub(super) fn provenance(provenance: Provenance) -> Self {
        let tone = match provenance {
            Provenance::Violates | Provenance::WeakPath => Tone::Bad,
            Provenance::Unknown | Provenance::Unattested => Tone::Warn,
            Provenance::Local => Tone::Plain,
            Provenance::KnownSource | Provenance::VerifiedAtPull | Provenance::Verified => Tone::Good,
        };
        Self::toned(provenance.as_str(), tone)
    }

    /// Who can read something.
    pub(super) fn readers<'a>(exposures: impl IntoIterator<Item = &'a Exposure>) -> Self {
        let mut readers = BTreeSet::new();
        let mut uncertain = false;
        for exposure in exposures {
            readers.extend(&exposure.readers);
            let others = exposure.bypasses.iter().filter(|one| !one.root_equivalent);
            readers.extend(others.map(|one| &one.reader));
            uncertain |= !exposure.uncertain.is_empty();
        }
        let (mut text, tone) = if readers.contains(&Reader::World) {
            ("everyone".to_owned(), Tone::Bad)
        } else if readers.is_empty() {
            ("root only".to_owned(), Tone::Good)
        } else {
            let names: Vec<String> = readers.into_iter().map(reader).collect();
            (names.join(", "), Tone::Warn)
        };
        if uncertain {
            text.push_str(" (uncertain)");
        }
        Self::toned(text, tone)
    }

    /// To whom something is exposed, besides its owner and root's equals.
    pub(super) fn exposed(readers: &[Reader]) -> Self {
        match readers {
            [] => Self::toned("nobody", Tone::Good),
            readers if readers.contains(&Reader::World) => Self::toned("everyone", Tone::Bad),
            readers => {
                let names: Vec<String> = readers.iter().map(reader).collect();
                Self::toned(names.join(", "), Tone::Bad)
            }
        }
    }

    pub(super) fn cell(self, colour: bool) -> Cell {
        let cell = Cell::new(shortened(self.text));
        let colour = match self.tone {
            _ if !colour => return cell,
            Tone::Plain => return cell,
            Tone::Good => Color::Green,
            Tone::Warn => Color::Yellow,
            Tone::Bad => Color::Red,
        };
        cell.fg(colour)
    }
}

/// The beginning and the end of what is too wide.
fn shortened(text: String) -> String {
    let length = text.chars().count();
    if length <= WIDEST {
        return text;
    }
    let half = WIDEST / 2;
    let begin = text.chars().take(half - 1);
    begin
        .chain(['…'])
        .chain(text.chars().skip(length - half))
        .collect()
}

pub(super) fn severity_tone(severity: Severity) -> Tone {
    match severity {
        Severity::Info | Severity::Low => Tone::Plain,
        Severity::Medium => Tone::Warn,
        Severity::High | Severity::Critical => Tone::Bad,
    }
}

/// One reader in words.
pub(super) fn reader(reader: &Reader) -> String {
    match reader {
        Reader::World => "everyone".to_owned(),
        Reader::Group { gid } => format!("group {gid}"),
        Reader::User { uid } => format!("user {uid}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_are_the_widest_that_any_way_lets_through() {
        let exposure = |readers: &[Reader], uncertain: &[&str]| Exposure {
            readers: readers.to_vec(),
            uncertain: uncertain.iter().map(ToString::to_string).collect(),
            ..Exposure::default()
        };
        let group = Reader::Group { gid: 6 };
        let user = Reader::User { uid: 1000 };
        for (exposures, text, tone) in [
            (vec![], "root only", Tone::Good),
            (vec![exposure(&[], &[])], "root only", Tone::Good),
            (
                vec![exposure(&[], &["an ACL"])],
                "root only (uncertain)",
                Tone::Good,
            ),
            (
                vec![
                    exposure(std::slice::from_ref(&user), &[]),
                    exposure(&[group.clone(), user.clone()], &[]),
                ],
                "group 6, user 1000",
                Tone::Warn,
            ),
            (
                vec![exposure(&[group], &[]), exposure(&[Reader::World], &[])],
                "everyone",
                Tone::Bad,
            ),
        ] {
            assert_eq!(Entry::readers(&exposures), Entry::toned(text, tone));
        }
    }

    #[test]
    fn a_text_without_end_has_its_middle_left_out() {
        let long = ["a".repeat(4000), "b".repeat(4000)].concat();
        let short = [&"a".repeat(119), "…", &"b".repeat(120)].concat();
        let fits = "ü".repeat(240);
        for (text, expected) in [(long, short), (fits.clone(), fits)] {
            assert_eq!(shortened(text), expected);
        }
    }

    #[test]
    fn what_somebody_else_chose_is_escaped() {
        assert_eq!(Entry::outside("a\n\x1b[31m").text, "a\\n\\x1b[31m");
    }
}
