//! What kind of file it is, by its first 4 KiB: binaries get the distinctive literals only.
//!
//! Invariant: total, and decided once per file, so that a file cannot change its kind in the middle.

use crate::scan::rules::{ClassSet, Scope};

/// How many bytes decide.
pub(super) const HEAD_BYTES: usize = 4 << 10;

/// What kind of file it is; ordered by how much is looked for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum FileKind {
    Binary,
    Text,
    Config,
    /// A text of an image's configuration.
    Image,
}

impl FileKind {
    /// Whether a rule of that scope looks into such a file.
    pub(super) fn has(self, scope: Scope) -> bool {
        match scope {
            Scope::Any => true,
            Scope::Text => self >= Self::Text,
            Scope::Config => self >= Self::Config,
            Scope::Image => self == Self::Image,
        }
    }
}

/// Judges a file's head; a file of a path class named in the table for configuration is one only if it is text.
pub(super) fn kind(head: &[u8], config: ClassSet, classes: ClassSet) -> FileKind {
    if is_binary(head) {
        FileKind::Binary
    } else if classes.meets(config) {
        FileKind::Config
    } else {
        FileKind::Text
    }
}

/// A NUL with something after it, or one control character in sixteen: a text may end in a hole, or in zeros that a file
/// system left of a file that was cut off.
fn is_binary(head: &[u8]) -> bool {
    let head = head.get(..HEAD_BYTES).unwrap_or(head);
    let head = match head.iter().rposition(|byte| *byte != 0) {
        Some(last) if last > 0 => head.get(..=last).unwrap_or(head),
        Some(_) | None => head,
    };
    // Counted in bytes and without a branch, so that sixteen are looked at together: every file comes through here.
    let blocks = head.chunks(usize::from(u8::MAX)).map(|block| {
        let count = |count: u8, byte: &u8| count.wrapping_add(control(*byte));
        usize::from(block.iter().fold(0, count))
    });
    memchr::memchr(0, head).is_some() || blocks.sum::<usize>() * 16 > head.len()
}

/// 1 for a control character that texts do not have, else 0.
fn control(byte: u8) -> u8 {
    let in_texts = [b'\t', b'\n', b'\r', 0x0c, 0x1b];
    let is_none_of_them = in_texts.iter().map(|known| u8::from(byte != *known));
    is_none_of_them.fold(u8::from(byte < 0x20), |all, one| all & one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_decide() {
        let utf16: Vec<u8> = "key=1".encode_utf16().flat_map(u16::to_le_bytes).collect();
        for (head, binary) in [
            (&b"\x7fELF\x02\x01\x01\0\0"[..], true),
            (b"PK\x03\x04\x14\0", true),
            (b"PASSWORD=x\n", false),
            ("größe: 5\n".as_bytes(), false),
            (b"\x1b[31mred\x1b[0m", false),
            (b"\x01\x02\x03abc", true),
            (&[&[1; 255][..], &[b'a'; 15 * 255]].concat(), false),
            (&[&[1; 256][..], &[b'a'; 15 * 256 - 1]].concat(), true),
            (&utf16, true),
            (&[&b"PASSWORD=x\n"[..], &[0; 4000]].concat(), false),
            (&[&b"PASSWORD=x\n"[..], &[0; 4000], b"x"].concat(), true),
            (&[0; 4096], true),
            (b"", false),
        ] {
            assert_eq!(
                kind(head, ClassSet::default(), ClassSet::default()) == FileKind::Binary,
                binary,
                "{head:?}"
            );
        }
    }
}
