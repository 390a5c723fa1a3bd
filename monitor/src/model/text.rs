//! Printing names that somebody else chose.
//!
//! Invariant: what comes out is one line of printable text, whatever went in: control characters, invalid UTF-8,
//! bidirectional overrides and separators come out escaped, so that a layer cannot write into a terminal or a log.

use std::fmt;

/// What this program says, with names in it that were not escaped: its own line breaks and backslashes stay.
pub fn said(text: &str) -> String {
    let mut harmless = String::with_capacity(text.len());
    let mut bytes = [0; 4];
    for c in text.chars() {
        match c {
            '\n' | '\\' => harmless.push(c),
            c => harmless.push_str(&printable(c.encode_utf8(&mut bytes).as_bytes()).to_string()),
        }
    }
    harmless
}

/// Bytes that print as one harmless line: `\n`, `\x1b`, `\u{202e}`, `\xff` for what is not plain text.
pub fn printable(bytes: &[u8]) -> Printable<'_> {
    Printable(bytes)
}

/// See [`printable`].
#[derive(Debug, Clone, Copy)]
pub struct Printable<'a>(&'a [u8]);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                match c {
                    '\\' => f.write_str("\\\\")?,
                    '\n' | '\r' | '\t' => write!(f, "{}", c.escape_default())?,
                    c if c.is_control() && c.is_ascii() => write!(f, "\\x{:02x}", u32::from(c))?,
                    c if c.is_control() || is_deceptive(c) => write!(f, "{}", c.escape_unicode())?,
                    c => f.write_char(c)?,
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

/// How much of a command line is shown, characters.
const COMMAND_LINE_SHOWN: usize = 1024;

/// A process's arguments, each ended by a zero byte, joined by blanks, escaped and cut; absent where there are none.
pub fn command_line(arguments: &[u8]) -> Option<String> {
    let arguments = arguments.strip_suffix(&[0]).unwrap_or(arguments);
    if arguments.is_empty() {
        return None;
    }
    let joined: Vec<u8> = arguments
        .iter()
        .map(|byte| if *byte == 0 { b' ' } else { *byte })
        .collect();
    let shown = printable(&joined).to_string();
    Some(shown.chars().take(COMMAND_LINE_SHOWN).collect())
}

/// The bytes that [`printable`] was given, from what it printed; an escape it cannot read stays as it is.
pub fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((plain, escape)) = rest.split_once('\\') {
        bytes.extend_from_slice(plain.as_bytes());
        rest = if let Some(after) = read_escape(escape, &mut bytes) {
            after
        } else {
            bytes.push(b'\\');
            escape
        };
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}

/// Reads what follows a backslash into `bytes`; gives back what comes after the escape.
fn read_escape<'a>(escape: &'a str, bytes: &mut Vec<u8>) -> Option<&'a str> {
    let mut characters = escape.chars();
    let simple = match characters.next()? {
        '\\' => b'\\',
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'x' => {
            bytes.push(u8::from_str_radix(escape.get(1..3)?, 16).ok()?);
            return escape.get(3..);
        }
        'u' => {
            let (hex, after) = escape.strip_prefix("u{")?.split_once('}')?;
            let c = char::from_u32(u32::from_str_radix(hex, 16).ok()?)?;
            bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            return Some(after);
        }
        _ => return None,
    };
    bytes.push(simple);
    Some(characters.as_str())
}

/// Characters that print nothing or reorder what stands around them (Unicode TR 36, "bidirectional text spoofing").
fn is_deceptive(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_reaches_the_terminal_unescaped() {
        for (bytes, shown) in [
            (&b"etc/secret.key"[..], "etc/secret.key"),
            (b"a\nb\tc\r", "a\\nb\\tc\\r"),
            (b"\x1b[31mred", "\\x1b[31mred"),
            (b"caf\xc3\xa9", "café"),
            (b"bad\xff\xfe", "bad\\xff\\xfe"),
            ("x\u{202e}gnp.exe".as_bytes(), "x\\u{202e}gnp.exe"),
            ("\u{9b}31m".as_bytes(), "\\u{9b}31m"),
            (b"back\\slash", "back\\\\slash"),
        ] {
            assert_eq!(printable(bytes).to_string(), shown);
            assert_eq!(unescape(shown), bytes);
        }
    }

    #[test]
    fn what_is_said_keeps_its_lines_and_no_other_control() {
        let text = "open a\x1b[2Jb\u{202e}: bad\\xff\n  |\n1 | x\ty\r";
        let shown = "open a\\x1b[2Jb\\u{202e}: bad\\xff\n  |\n1 | x\\ty\\r";
        assert_eq!(said(text), shown);
    }

    proptest::proptest! {
        #[test]
        fn printing_loses_nothing(bytes: Vec<u8>) {
            let shown = printable(&bytes).to_string();
            proptest::prop_assert!(!shown.chars().any(char::is_control));
            proptest::prop_assert_eq!(unescape(&shown), bytes);
        }

        #[test]
        fn unescaping_is_total(text: String) {
            unescape(&text);
        }
    }
}
