//! The fields of one JSON object of a policy, taken out one by one.
//!
//! Invariant: what was not taken when the object is finished is an unknown key, and so an error. Type rules are those
//! of the original's decoder, `null` for an absent value among them. Used by the readers of this module only.

use std::fmt;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};

use super::super::strict_json::Value;
use super::PolicyError;
use crate::model::text::printable;

/// A place in a JSON file, such as `transports.docker."example.com"[0].keyPath`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place(String);

impl Place {
    /// The whole file.
    pub(crate) fn top() -> Self {
        Self(String::new())
    }

    /// The value of a key.
    pub(crate) fn key(&self, key: &str) -> Self {
        let plain = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        let dot = if self.0.is_empty() { "" } else { "." };
        Self(if plain {
            format!("{}{dot}{key}", self.0)
        } else {
            format!("{}{dot}\"{}\"", self.0, printable(key.as_bytes()))
        })
    }

    /// An item of a list, from 0.
    pub(crate) fn index(&self, index: usize) -> Self {
        Self(format!("{}[{index}]", self.0))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "top level" } else { &self.0 })
    }
}

/// The fields of an object that nobody has taken yet.
pub(super) struct Fields {
    place: Place,
    entries: Vec<(String, Value)>,
}

impl Fields {
    pub(super) fn of(value: Value, place: Place) -> Result<Self, PolicyError> {
        match value {
            Value::Object(entries) => Ok(Self { place, entries }),
            Value::Null | Value::Bool | Value::Number(_) | Value::Text(_) | Value::List(_) => {
                Err(PolicyError::WrongType {
                    place,
                    expected: "a JSON object",
                })
            }
        }
    }

    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// Takes a field's value, if the object has it.
    pub(super) fn take(&mut self, key: &str) -> Option<(Value, Place)> {
        let index = self.entries.iter().position(|(name, _)| name == key)?;
        let (_, value) = self.entries.remove(index);
        Some((value, self.place.key(key)))
    }

    /// Takes what the object maps from names of the file's own choice.
    pub(super) fn into_entries(self) -> impl Iterator<Item = (String, Value, Place)> {
        let place = self.place;
        self.entries.into_iter().map(move |(key, value)| {
            let place = place.key(&key);
            (key, value, place)
        })
    }

    /// A string; absent and `null` are `None`.
    pub(super) fn text(&mut self, key: &str) -> Result<Option<String>, PolicyError> {
        self.take(key)
            .map_or(Ok(None), |(value, place)| text(value, place))
    }

    /// A string that the object must have.
    pub(super) fn required_text(&mut self, key: &'static str) -> Result<String, PolicyError> {
        let (value, place) = self.take(key).ok_or_else(|| PolicyError::MissingKey {
            place: self.place.clone(),
            key,
        })?;
        Ok(text(value, place)?.unwrap_or_default())
    }

    /// A list of strings; absent and `null` are `None`.
    pub(super) fn texts(&mut self, key: &str) -> Result<Option<Vec<String>>, PolicyError> {
        self.list(key, "a list of strings", |value, place| {
            Ok(text(value, place)?.unwrap_or_default())
        })
    }

    /// Base64 text; absent and `null` are `None`.
    pub(super) fn bytes(&mut self, key: &str) -> Result<Option<Vec<u8>>, PolicyError> {
        self.take(key)
            .map_or(Ok(None), |(value, place)| bytes(value, place))
    }

    /// A list of base64 texts; absent and `null` are `None`.
    pub(super) fn bytes_list(&mut self, key: &str) -> Result<Option<Vec<Vec<u8>>>, PolicyError> {
        self.list(key, "a list of base64 strings", |value, place| {
            Ok(bytes(value, place)?.unwrap_or_default())
        })
    }

    fn list<T>(
        &mut self,
        key: &str,
        expected: &'static str,
        read: impl Fn(Value, Place) -> Result<T, PolicyError>,
    ) -> Result<Option<Vec<T>>, PolicyError> {
        let Some((value, place)) = self.take(key) else {
            return Ok(None);
        };
        match value {
            Value::Null => Ok(None),
            Value::List(items) => items
                .into_iter()
                .enumerate()
                .map(|(index, item)| read(item, place.index(index)))
                .collect::<Result<_, _>>()
                .map(Some),
            Value::Bool | Value::Number(_) | Value::Text(_) | Value::Object(_) => {
                Err(PolicyError::WrongType { place, expected })
            }
        }
    }

    /// Whether the object has the field, whatever its value.
    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|(name, _)| name == key)
    }

    /// The object ends here: any field that is left is unknown.
    pub(super) fn finish(self) -> Result<(), PolicyError> {
        match self.entries.into_iter().next() {
            None => Ok(()),
            Some((key, _)) => Err(PolicyError::UnknownKey {
                place: self.place,
                key,
            }),
        }
    }
}

fn text(value: Value, place: Place) -> Result<Option<String>, PolicyError> {
    match value {
        Value::Text(text) => Ok(Some(text)),
        Value::Null => Ok(None),
        Value::Bool | Value::Number(_) | Value::List(_) | Value::Object(_) => Err(PolicyError::WrongType {
            place,
            expected: "a string",
        }),
    }
}

/// The original decodes into a byte slice, which takes base64 text, but also a list of numbers.
fn bytes(value: Value, place: Place) -> Result<Option<Vec<u8>>, PolicyError> {
    let decoded = match value {
        Value::Null => return Ok(None),
        Value::Text(text) => decode_base64(&text),
        Value::List(items) => items
            .into_iter()
            .map(|item| match item {
                Value::Number(byte) => byte,
                Value::Null => Some(0),
                Value::Bool | Value::Text(_) | Value::List(_) | Value::Object(_) => None,
            })
            .collect(),
        Value::Bool | Value::Number(_) | Value::Object(_) => None,
    };
    decoded.map(Some).ok_or(PolicyError::WrongType {
        place,
        expected: "a base64 string",
    })
}

/// Standard alphabet with padding; line ends are skipped and spare bits of the last group ignored, as the original does.
fn decode_base64(text: &str) -> Option<Vec<u8>> {
    const LENIENT: GeneralPurpose = GeneralPurpose::new(
        &alphabet::STANDARD,
        GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
    );
    let text: String = text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
    LENIENT.decode(text).ok()
}
