//! A file as the checks see it: its text, and for Rust the same text with comments and literals blanked out.
//!
//! Blanking keeps every line where it was. The reader knows just enough of Rust's lexical rules for that: line and
//! nested block comments, strings, raw strings, characters as opposed to lifetimes.

/// A text file of the workspace.
#[derive(Debug)]
pub(crate) struct Source {
    /// Relative to the workspace.
    pub(super) path: String,
    /// As it is.
    pub(super) text: String,
    /// Without comments and the insides of literals; empty for what is not Rust.
    pub(super) code: String,
}

impl Source {
    pub(super) fn new(path: &str, text: &str) -> Self {
        let code = if path.rsplit_once('.').is_some_and(|(_, end)| end == "rs") {
            blank(text)
        } else {
            String::new()
        };
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
            code,
        }
    }

    pub(super) fn is_rust(&self) -> bool {
        !self.code.is_empty()
    }

    /// Whether all of the file is test code.
    pub(super) fn is_test(&self) -> bool {
        let mut parts = self.path.split('/');
        parts.any(|part| {
            matches!(
                part,
                "tests" | "testing" | "testing.rs" | "tests.rs" | "fixtures" | "samples.rs"
            )
        })
    }

    /// The code before the file's test module, if it has one.
    pub(super) fn production(&self) -> &str {
        if self.is_test() {
            return "";
        }
        let marks = [
            "#[cfg(test)]\nmod ",
            "#[cfg(test)]\npub(crate) mod ",
            "#[cfg(all(test",
        ];
        let end = marks.iter().filter_map(|mark| self.code.find(mark)).min();
        end.and_then(|end| self.code.get(..end)).unwrap_or(&self.code)
    }
}

/// The line, from 1, of a place in a text.
pub(super) fn line_at(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

/// Whether a byte can be part of a word.
pub(super) fn in_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// The places where `word` stands as a word of its own.
pub(super) fn words<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    code.match_indices(word)
        .map(|(start, _)| start)
        .filter(move |start| {
            let bytes = code.as_bytes();
            let before = start.checked_sub(1).and_then(|at| bytes.get(at));
            let after = bytes.get(start + word.len());
            let last_in_word = word.bytes().next_back().is_some_and(in_word);
            !(before.is_some_and(|byte| in_word(*byte))
                || last_in_word && after.is_some_and(|byte| in_word(*byte)))
        })
}

/// The word at the beginning of a text.
pub(super) fn first_word(text: &str) -> &str {
    let end = text.bytes().position(|byte| !in_word(byte)).unwrap_or(text.len());
    text.get(..end).unwrap_or_default()
}

fn blank(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    let mut after_word = false;
    while let Some(letter) = rest.chars().next() {
        let skipped = comment(rest).or_else(|| literal(rest, after_word));
        let length = skipped.unwrap_or_else(|| letter.len_utf8());
        let (taken, remaining) = rest.split_at_checked(length).unwrap_or((rest, ""));
        if skipped.is_some() {
            code.extend(
                taken
                    .chars()
                    .map(|letter| if letter == '\n' { '\n' } else { ' ' }),
            );
        } else {
            code.push_str(taken);
        }
        after_word = skipped.is_none() && (letter.is_alphanumeric() || letter == '_');
        rest = remaining;
    }
    code
}

/// The length of the comment that begins here.
fn comment(rest: &str) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    rest.strip_prefix("/*")?;
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(here) = rest.get(at..).filter(|here| !here.is_empty()) {
        let step = match (here.starts_with("/*"), here.starts_with("*/")) {
            (true, _) => {
                depth += 1;
                2
            }
            (_, true) => {
                depth -= 1;
                2
            }
            _ => here.chars().next().map_or(1, char::len_utf8),
        };
        at += step;
        if depth == 0 {
            break;
        }
    }
    Some(at)
}

/// The length of the literal that begins here.
fn literal(rest: &str, after_word: bool) -> Option<usize> {
    let bare = if after_word {
        rest
    } else {
        rest.trim_start_matches(['b', 'c'])
    };
    let prefix = rest.len() - bare.len();
    if prefix > 1 {
        return None;
    }
    if !after_word && let Some(raw) = bare.strip_prefix('r') {
        let hashes = raw.bytes().take_while(|byte| *byte == b'#').count();
        if raw.get(hashes..)?.starts_with('"') {
            let end = format!("\"{}", "#".repeat(hashes));
            let body = raw.get(hashes + 1..)?;
            let length = body.find(&end).map_or(body.len(), |at| at + end.len());
            return Some(prefix + 1 + hashes + 1 + length);
        }
    }
    match bare.bytes().next()? {
        b'"' => Some(prefix + quoted(bare, b'"')),
        b'\'' => Some(prefix + character(bare)?),
        _ => None,
    }
}

/// The length of a character literal, or `None` for a lifetime.
fn character(rest: &str) -> Option<usize> {
    let mut letters = rest.chars().skip(1);
    let first = letters.next()?;
    if first == '\\' {
        Some(quoted(rest, b'\''))
    } else {
        (letters.next()? == '\'').then(|| first.len_utf8() + 2)
    }
}

/// The length up to the closing quote; a backslash takes the next byte with it.
fn quoted(rest: &str, quote: u8) -> usize {
    let mut escaped = false;
    for (at, byte) in rest.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            _ if byte == quote => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_blanked_and_the_rest_stays() {
        let check = |text: &str, expected: &str| {
            let code = blank(text);
            assert_eq!(
                code.split_whitespace().collect::<Vec<_>>().join(" "),
                expected,
                "{text}"
            );
            assert_eq!(code.lines().count(), text.lines().count(), "{text}");
        };
        check("a // b\nc", "a c");
        check("a /* b /* c */ d\n */ e", "a e");
        check("f(\"unsafe // {\") g", "f( ) g");
        check(r#"f("a\"b") g"#, "f( ) g");
        check("f(r#\"a\"b\"#, br\"x\\\", b\"y\", c\"z\") g", "f( , , , ) g");
        check("bar\"x\" cb'y'", "bar cb");
        check("'a' '\\'' '\\u{1f}' 'ß' x", "x");
        check(
            "fn f<'a>(x: &'a str, y: &'static str)",
            "fn f<'a>(x: &'a str, y: &'static str)",
        );
        check("\"never closed", "");
    }

    #[test]
    fn production_ends_where_the_tests_begin() {
        let source = Source::new(
            "monitor/src/a.rs",
            "fn a() {}\n#[cfg(test)]\nmod tests { fn b() {} }\n",
        );
        assert_eq!(source.production(), "fn a() {}\n");
        assert_eq!(
            Source::new("monitor/src/a/tests.rs", "fn a() {}").production(),
            ""
        );
        assert_eq!(
            Source::new("monitor/src/a.rs", "fn a() {}").production(),
            "fn a() {}"
        );
    }

    #[test]
    fn words_are_found_whole() {
        assert_eq!(
            words("aya aya_log xaya aya::x", "aya").collect::<Vec<_>>(),
            [0, 17]
        );
        assert_eq!(words("crate::a xcrate::b", "crate::").collect::<Vec<_>>(), [0]);
        assert_eq!(first_word("abc_1::d"), "abc_1");
    }
}
