//! Data on stdout: a table for people, JSON for programs; and notes on stderr.
//!
//! Invariant: everything that is printed in a table went through `text::printable`; a reader that goes away (`| head`)
//! is no error; colours appear on a terminal only, and never with `NO_COLOR`. JSON has `schema_version` and `kind` in
//! each object. Used by every verb that prints data.

use std::io::{BufWriter, IsTerminal, StdoutLock, Write};

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use super::tone::Entry;
use crate::catalog::Problem;
use crate::model::SCHEMA_VERSION;
use crate::model::text::said;

/// How data is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(super) enum Format {
    /// For people.
    #[default]
    Table,
    /// One JSON object.
    Json,
    /// One JSON object per line and item.
    Jsonl,
}

/// The flag that all printing verbs share.
#[derive(Debug, Clone, Copy, Args)]
pub(super) struct OutputArguments {
    /// How to print; the JSON keys are a contract, the table is not
    #[arg(
        short = 'o',
        long = "output",
        value_name = "FORMAT",
        value_enum,
        default_value_t
    )]
    pub(super) format: Format,
}

/// One kind of thing that a verb lists.
pub(super) trait Item: Serialize {
    /// `kind` of one item's object.
    const KIND: &'static str;
    /// `kind` of the whole list, and the key of its items.
    const LIST: &'static str;
    /// The table's head.
    const COLUMNS: &'static [&'static str];

    /// Its lines in the table.
    fn rows(&self) -> Vec<Vec<Entry>>;
}

/// Standard output.
#[derive(Debug)]
pub(super) struct Output {
    out: BufWriter<StdoutLock<'static>>,
    format: Format,
    colour: bool,
    terminal: bool,
    closed: bool,
}

impl Output {
    /// Takes standard output.
    pub(super) fn new(arguments: OutputArguments) -> Self {
        let terminal = std::io::stdout().is_terminal();
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            out: BufWriter::new(std::io::stdout().lock()),
            format: arguments.format,
            colour: terminal && !refused,
            terminal,
            closed: false,
        }
    }

    /// Whether the reader went away, so that further work is for nobody.
    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// A list in the format that was asked for.
    pub(super) fn list<T: Item>(&mut self, items: &[T], problems: &[Problem]) -> Result<()> {
        match self.format {
            Format::Table => {
                let rows = items.iter().flat_map(Item::rows).collect();
                self.table(T::COLUMNS, rows)?;
            }
            Format::Json => self.pretty(&Listing { items, problems })?,
            Format::Jsonl => {
                for item in items {
                    self.object(T::KIND, item)?;
                }
                for problem in problems {
                    self.object("problem", problem)?;
                }
            }
        }
        self.flush()
    }

    /// One thing alone: `table` for people, else its object.
    pub(super) fn single<T: Serialize>(
        &mut self,
        kind: &'static str,
        body: &T,
        table: impl FnOnce(&mut Self) -> Result<()>,
    ) -> Result<()> {
        match self.format {
            Format::Table => table(self)?,
            Format::Json => self.pretty(&Object::new(kind, body))?,
            Format::Jsonl => self.object(kind, body)?,
        }
        self.flush()
    }

    /// One object on a line.
    pub(super) fn object<T: Serialize>(&mut self, kind: &'static str, body: &T) -> Result<()> {
        self.json_line(&Object::new(kind, body))
    }

    /// Anything on a line of JSON.
    pub(super) fn json_line<T: Serialize>(&mut self, value: &T) -> Result<()> {
        let line = serde_json::to_string(value).context("write JSON")?;
        self.line(&line)
    }

    /// One line of text.
    pub(super) fn line(&mut self, text: &str) -> Result<()> {
        if self.closed {
            return Ok(());
        }
        let written = writeln!(self.out, "{text}");
        self.heed(written)
    }

    /// A table; its head alone where there are no rows.
    pub(super) fn table(&mut self, columns: &[&str], rows: Vec<Vec<Entry>>) -> Result<()> {
        let mut table = Table::new();
        table.load_preset(presets::NOTHING);
        if self.terminal {
            table.set_content_arrangement(ContentArrangement::Dynamic);
        }
        if !columns.is_empty() {
            table.set_header(columns);
        }
        for row in rows {
            table.add_row(row.into_iter().map(|entry| entry.cell(self.colour)));
        }
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        for line in table.lines() {
            self.line(line.trim_end())?;
        }
        Ok(())
    }

    /// Writes what is still in memory.
    pub(super) fn flush(&mut self) -> Result<()> {
        if self.closed {
            return Ok(());
        }
        let written = self.out.flush();
        self.heed(written)
    }

    fn pretty<T: Serialize>(&mut self, value: &T) -> Result<()> {
        let text = serde_json::to_string_pretty(value).context("write JSON")?;
        self.line(&text)
    }

    /// A reader that is gone wants no more and hears no complaint.
    fn heed(&mut self, written: std::io::Result<()>) -> Result<()> {
        match written {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {
                self.closed = true;
                Ok(())
            }
            other => other.context("write to standard output"),
        }
    }
}

/// Tells the user something that is not data; names in it may be anybody's.
pub(super) fn note(text: &str) {
    // Where nobody reads stderr, nobody is told.
    drop(writeln!(std::io::stderr().lock(), "{}", said(text)));
}

/// An object with its version and kind before its own keys.
#[derive(Serialize)]
struct Object<'a, T> {
    schema_version: u32,
    kind: &'static str,
    #[serde(flatten)]
    body: &'a T,
}

impl<'a, T> Object<'a, T> {
    fn new(kind: &'static str, body: &'a T) -> Self {
        Self {
            schema_version: SCHEMA_VERSION,
            kind,
            body,
        }
    }
}

/// A whole list as one object.
struct Listing<'a, T> {
    items: &'a [T],
    problems: &'a [Problem],
}

impl<T: Item> Serialize for Listing<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(4))?;
        map.serialize_entry("schema_version", &SCHEMA_VERSION)?;
        map.serialize_entry("kind", T::LIST)?;
        map.serialize_entry(T::LIST, self.items)?;
        map.serialize_entry("problems", self.problems)?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[derive(Serialize)]
    struct Thing {
        name: &'static str,
    }

    impl Item for Thing {
        const KIND: &'static str = "thing";
        const LIST: &'static str = "things";
        const COLUMNS: &'static [&'static str] = &["NAME"];

        fn rows(&self) -> Vec<Vec<Entry>> {
            vec![vec![Entry::plain(self.name)]]
        }
    }

    #[test]
    fn a_list_is_one_object_with_its_kind_and_version() {
        let listing = Listing {
            items: &[Thing { name: "a" }],
            problems: &[],
        };
        assert_eq!(
            serde_json::to_value(&listing).unwrap(),
            json!({"schema_version": 1, "kind": "things", "things": [{"name": "a"}], "problems": []})
        );
        assert_eq!(
            serde_json::to_value(Object::new("thing", &Thing { name: "a" })).unwrap(),
            json!({"schema_version": 1, "kind": "thing", "name": "a"})
        );
    }
}
