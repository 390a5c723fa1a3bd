//! JSON read with the strictness of the signature library's own reader: a duplicate key is an error, at any depth.
//!
//! Invariant: an object that was read has each key once, in file order; bytes, depth and number of values are bounded,
//! and no input panics. Plain JSON readers keep the last of two equal keys, so that one file means two things to two
//! programs. Used by `policy`.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use crate::model::text::printable;

/// The largest file that is read, in bytes.
pub(crate) const BYTES_MAX: u64 = 4 << 20;
/// The deepest nesting that is read.
const DEPTH_MAX: usize = 32;
/// The most values in one file.
const VALUES_MAX: usize = 200_000;

/// Why a text is not acceptable JSON; the source names line and column.
#[derive(Debug, thiserror::Error)]
#[error("not strict JSON")]
pub struct JsonError(#[source] serde_json::Error);

impl JsonError {
    /// Line and column of the fault, from 1.
    pub fn position(&self) -> (usize, usize) {
        (self.0.line(), self.0.column())
    }
}

/// A JSON value whose objects hold each key once.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Value {
    Null,
    Bool,
    /// A number: its value where it is a byte; nothing here needs a greater one.
    Number(Option<u8>),
    Text(String),
    List(Vec<Value>),
    Object(Vec<(String, Value)>),
}

/// Reads one JSON value and nothing after it.
///
/// Invalid UTF-8 and lone surrogates are replaced by U+FFFD as the original does it: two keys may become equal by that.
pub(crate) fn parse(bytes: &[u8]) -> Result<Value, JsonError> {
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > BYTES_MAX {
        return Err(JsonError(serde_json::Error::custom("the text is too large")));
    }
    let text = replace_lone_surrogates(&String::from_utf8_lossy(bytes));
    let mut deserializer = serde_json::Deserializer::from_str(&text);
    let mut left = VALUES_MAX;
    let value = Strict {
        depth: 0,
        left: &mut left,
    }
    .deserialize(&mut deserializer)
    .map_err(JsonError)?;
    deserializer.end().map_err(JsonError)?;
    Ok(value)
}

/// The text with each escape `\uD800`–`\uDFFF` that is no half of a pair made `\uFFFD`; all places stay the same.
fn replace_lone_surrogates(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        out.push_str(before);
        let length = match (
            surrogate(after),
            after
                .get(5..)
                .and_then(|next| surrogate(next.strip_prefix('\\')?)),
        ) {
            (None, _) => after.chars().next().map_or(0, char::len_utf8),
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => 11,
            (Some(_), _) => 5,
        };
        let (escape, next) = after.split_at_checked(length).unwrap_or((after, ""));
        out.push_str(if length == 5 { "\\ufffd" } else { "\\" });
        out.push_str(if length == 5 { "" } else { escape });
        rest = next;
    }
    out.push_str(rest);
    out
}

/// The surrogate that an escape without its backslash stands for.
fn surrogate(escape: &str) -> Option<u16> {
    let digits = escape.strip_prefix('u')?.get(..4)?;
    let is_hex = digits.bytes().all(|b| b.is_ascii_hexdigit());
    let code = u16::from_str_radix(digits, 16).ok().filter(|_| is_hex)?;
    (0xd800..=0xdfff).contains(&code).then_some(code)
}

/// Reads one value at a depth, counting down what may still come.
struct Strict<'a> {
    depth: usize,
    left: &'a mut usize,
}

impl Strict<'_> {
    fn inner(&mut self) -> Strict<'_> {
        Strict {
            depth: self.depth + 1,
            left: self.left,
        }
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        if self.depth > DEPTH_MAX {
            return Err(D::Error::custom("values are nested too deeply"));
        }
        *self.left = self
            .left
            .checked_sub(1)
            .ok_or_else(|| D::Error::custom("there are too many values"))?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Value, E> {
        Ok(Value::Bool)
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Number(u8::try_from(number).ok()))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Value, E> {
        Ok(Value::Number(None))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Value, E> {
        Ok(Value::Number(None))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self.inner())? {
            list.push(item);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut entries: A) -> Result<Value, A::Error> {
        let mut seen = std::collections::HashSet::new();
        let mut object = Vec::new();
        while let Some(key) = entries.next_key::<String>()? {
            if !seen.insert(key.clone()) {
                return Err(A::Error::custom(format_args!(
                    "Duplicate key \"{}\"",
                    printable(key.as_bytes())
                )));
            }
            object.push((key, entries.next_value_seed(self.inner())?));
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_value_with_each_key_once_is_read() {
        for (text, good) in [
            (r#"{"a":1,"b":{"a":2}}"#, true),
            (r#" [1, null, true, "x", -1, 1.5] "#, true),
            (r#"{"a":1,"a":1}"#, false),
            (r#"{"o":{"a":1,"b":2,"a":3}}"#, false),
            (r#"[{"a":1},{"a":1}]"#, true),
            (r#"{"a":1} {"b":2}"#, false),
            (r#"{"a":1,}"#, false),
            (r#"{"a":1} // comment"#, false),
            ("", false),
            ("{", false),
            ("\u{feff}{}", false),
        ] {
            assert_eq!(parse(text.as_bytes()).is_ok(), good, "{text}");
        }
    }

    #[test]
    fn a_duplicate_is_named_with_its_place() {
        let error = parse(b"{\n \"a\": 1,\n \"a\": 2\n}").unwrap_err();
        assert_eq!(error.position(), (3, 4));
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert_eq!(source, "Duplicate key \"a\" at line 3 column 4");
    }

    #[test]
    fn order_and_kinds_are_kept() {
        let value = parse(br#"{"z":[7,300,-1],"a":null,"s":"t"}"#).unwrap();
        assert_eq!(
            value,
            Value::Object(vec![
                (
                    "z".to_owned(),
                    Value::List(vec![
                        Value::Number(Some(7)),
                        Value::Number(None),
                        Value::Number(None)
                    ])
                ),
                ("a".to_owned(), Value::Null),
                ("s".to_owned(), Value::Text("t".to_owned())),
            ])
        );
    }

    #[test]
    fn lone_surrogates_are_replaced_and_nothing_else() {
        for (text, replaced) in [
            (r#""\ud800""#, r#""\ufffd""#),
            (r#""\udc00x""#, r#""\ufffdx""#),
            (r#""\uD83D\uDC33""#, r#""\uD83D\uDC33""#),
            (r#""\ud800\ud83d\udc33""#, r#""\ufffd\ud83d\udc33""#),
            (r#""\\ud800""#, r#""\\ud800""#),
            (r#""\\\ud800""#, r#""\\\ufffd""#),
            (r#""\ud8""#, r#""\ud8""#),
            (r#""\u0041\n""#, r#""\u0041\n""#),
            ("\\", "\\"),
            ("\\é", "\\é"),
        ] {
            assert_eq!(replace_lone_surrogates(text), replaced, "{text}");
        }
    }

    #[test]
    fn depth_and_size_are_bounded() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(parse(nested(DEPTH_MAX).as_bytes()).is_ok());
        assert!(parse(nested(DEPTH_MAX + 2).as_bytes()).is_err());
        assert!(parse(nested(100_000).as_bytes()).is_err());
        assert!(parse(format!("[{}1]", "1,".repeat(VALUES_MAX)).as_bytes()).is_err());
        assert!(parse(&vec![b' '; usize::try_from(BYTES_MAX).unwrap() + 1]).is_err());
    }

    proptest::proptest! {
        #[test]
        fn reading_is_total(bytes: Vec<u8>) {
            let strict = parse(&bytes).is_ok();
            // Whatever is accepted here is JSON for everybody.
            if strict {
                proptest::prop_assert!(serde_json::from_str::<serde_json::Value>(&replace_lone_surrogates(&String::from_utf8_lossy(&bytes))).is_ok());
            }
        }
    }
}
