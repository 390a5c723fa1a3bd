//! The configuration file, taken apart into known keys with their places.
//!
//! Invariant: every key of the file is one of the table; the first that is not makes the file invalid. Nothing of the
//! file's values gets into an error. Used by `load` only.

use std::collections::BTreeMap;
use std::path::Path;

use toml::Value;
use toml::de::{DeTable, DeValue};

use super::{ConfigError, KEYS, Origin, Position, keys, nearest};
use crate::model::text::printable;

/// The values of a file by full key.
#[derive(Default)]
pub(super) struct Document {
    values: BTreeMap<&'static str, (Value, Position)>,
}

/// What is the same for a whole walk.
struct Text<'a> {
    text: &'a str,
    path: &'a Path,
}

impl Text<'_> {
    /// The place of a byte of the text.
    fn position(&self, offset: usize) -> Position {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Position {
            path: self.path.to_owned(),
            line: 1 + before.matches('\n').count(),
            column: 1 + before.get(line_start..).map_or(0, |line| line.chars().count()),
        }
    }
}

impl Document {
    pub(super) fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let source = Text { text, path };
        let syntax = |error: &toml::de::Error| ConfigError::Syntax {
            at: source.position(error.span().map_or(0, |span| span.start)),
            what: grammar_only(error.message()),
        };
        let spanned = DeTable::parse(text).map_err(|error| syntax(&error))?;
        let values: toml::Table = toml::from_str(text).map_err(|error| syntax(&error))?;
        let mut document = Self::default();
        document.add("", spanned.get_ref(), &values, &source)?;
        Ok(document)
    }

    fn add(
        &mut self,
        section: &str,
        spanned: &DeTable<'_>,
        values: &toml::Table,
        source: &Text<'_>,
    ) -> Result<(), ConfigError> {
        for (name, inner) in spanned {
            let Some(value) = values.get(name.get_ref().as_ref()) else {
                continue;
            };
            let full = if section.is_empty() {
                name.get_ref().to_string()
            } else {
                format!("{section}.{}", name.get_ref())
            };
            let position = source.position(name.span().start);
            if let Some(key) = keys::find(&full) {
                self.values.insert(key.name, (value.clone(), position));
                continue;
            }
            match (inner.get_ref(), value) {
                (DeValue::Table(spanned), Value::Table(values)) if is_section(&full) => {
                    self.add(&full, spanned, values, source)?;
                }
                _ if is_section(&full) => {
                    return Err(ConfigError::NotASection {
                        at: position,
                        section: full,
                    });
                }
                _ => return Err(unknown(Origin::File(position), &full)),
            }
        }
        Ok(())
    }

    /// Takes a key's value and place, if the file has it.
    pub(super) fn take(&mut self, key: &str) -> Option<(Value, Position)> {
        self.values.remove(key)
    }
}

/// Whether keys of the table stand below the name.
fn is_section(name: &str) -> bool {
    KEYS.iter().any(|key| {
        key.name
            .strip_prefix(name)
            .is_some_and(|rest| rest.starts_with('.'))
    })
}

/// The error for a key that does not exist; a misspelt section is told as the section that it most likely is.
pub(super) fn unknown(origin: Origin, key: &str) -> ConfigError {
    let sections = KEYS
        .iter()
        .map(|known| known.section().0)
        .filter(|name| !name.is_empty());
    let names = KEYS.iter().map(|known| known.name);
    ConfigError::UnknownKey {
        origin,
        key: printable(key.chars().take(100).collect::<String>().as_bytes()).to_string(),
        suggestion: nearest(key, names.chain(sections)),
    }
}

/// The parser's message without what it may quote from the file.
fn grammar_only(message: &str) -> String {
    let mut quoted = false;
    message
        .lines()
        .next()
        .unwrap_or_default()
        .split_inclusive('`')
        .filter_map(|piece| {
            let is_quoted = quoted;
            quoted = piece.ends_with('`') && !quoted;
            (!is_quoted).then(|| piece.replace('`', "(…)"))
        })
        .collect()
}
