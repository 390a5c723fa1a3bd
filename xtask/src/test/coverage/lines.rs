//! What the kernel tests write of the evasion matrix, one line for each way.

use std::path::Path;

use anyhow::{Result, bail, ensure};

use super::column::{Cell, Column};
use crate::files;

/// The lines of one run of the matrix: tier, way, word, reason, separated by tabs.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lines(Vec<String>);

impl Lines {
    /// Takes one line.
    pub(crate) fn push(&mut self, line: &str) {
        self.0.push(line.to_owned());
    }

    /// The lines of a file that the tests wrote, if they did.
    pub(crate) fn of_file(path: &Path) -> Result<Self> {
        if !path.exists() {
            return Ok(Self::default());
        }
        Ok(Self(files::read_text(path)?.lines().map(str::to_owned).collect()))
    }

    /// The one column that they are about; none if the matrix was not run.
    pub(super) fn column(&self, kernel: &str) -> Result<Option<Column>> {
        let mut column: Option<Column> = None;
        for line in &self.0 {
            let fields: Vec<_> = line.split('\t').collect();
            let [tier, way, word, reason] = fields.as_slice() else {
                bail!("the matrix gave the line {line:?}");
            };
            let name = format!("{kernel} {tier}");
            let column = column.get_or_insert_with(|| Column::new(&name));
            ensure!(column.name == name, "{name} and {} in one run", column.name);
            column.cells.push((
                (*way).to_owned(),
                Cell {
                    word: (*word).to_owned(),
                    reason: (*reason).to_owned(),
                },
            ));
        }
        Ok(column)
    }

    /// How many ways were run, and which of them were seen.
    pub(crate) fn seen(&self) -> Result<(usize, Vec<String>)> {
        let column = self.column("")?.unwrap_or_default();
        let seen = column
            .cells
            .iter()
            .filter(|(_, cell)| cell.word.starts_with("seen"));
        let seen = seen.map(|(way, _)| way.clone()).collect();
        Ok((column.cells.len(), seen))
    }

    /// As they came.
    pub(super) fn text(&self) -> String {
        self.0.iter().flat_map(|line| [line, "\n"]).collect()
    }
}
