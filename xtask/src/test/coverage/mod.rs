//! docs/coverage.md: what the evasion matrix saw, held against the page or written to it.
//!
//! The kernel tests write a line for each way to read (`tests/kernel/coverage`); a column is a kernel and a tier, and
//! exists only where it was run. Without `UPDATE_DOCS` a cell that differs from the page fails the run.

mod column;
mod lines;
mod page;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};

use self::column::Column;
pub(super) use self::lines::Lines;
use self::page::Page;
use super::Context;
use super::outcome::Outcome;
use crate::vm::kernel::Kernel;
use crate::{files, say};

/// What the tests are told: where to write their lines.
pub(super) const SWITCH: &str = "LAYERWATCH_CELLS";
/// What an ordinary run of the generator is called by.
const UPDATE: &str = "UPDATE_DOCS";
const PAGE: &str = "docs/coverage.md";

/// Where the tests on this machine write, and where the lines of each machine are kept for [`run`].
pub(super) fn here(context: &Context<'_>) -> PathBuf {
    folder(context).join("here")
}

fn folder(context: &Context<'_>) -> PathBuf {
    context.workspace.target.join("test/coverage")
}

/// Forgets what an earlier run left.
pub(super) fn begin(context: &Context<'_>) -> Result<()> {
    files::empty_folder(&folder(context))
}

/// Keeps the lines of one machine.
pub(super) fn keep(context: &Context<'_>, machine: &str, kernel: Kernel, lines: &Lines) -> Result<()> {
    let file = folder(context).join(format!("{} {machine}", kernel.name()));
    files::write(&file, lines.text().as_bytes())
}

/// Holds the page against what was seen, or writes it.
pub(super) fn run(context: &Context<'_>) -> Result<Outcome> {
    let columns = columns(context)?;
    if columns.is_empty() {
        ensure!(context.options.filter.is_some(), "the evasion matrix was not run");
        return Ok(Outcome::default());
    }
    let path = context.workspace.root.join(PAGE);
    let old = if path.exists() {
        Page::parse(&files::read_text(&path)?)?
    } else {
        Page::default()
    };
    if std::env::var_os(UPDATE).is_some() {
        let page = old.with(&columns)?;
        files::write_if_changed(&path, page.render().as_bytes())?;
        return Ok(Outcome::passed(1));
    }
    let mut differences = Vec::new();
    for (column, must_be_there) in columns.iter().map(|column| (column, !is_host(column))) {
        match old.columns.iter().find(|known| known.name == column.name) {
            Some(known) => differences.extend(known.differences(column)),
            None if must_be_there => differences.push(format!("{}: not on the page", column.name)),
            None => say::progress(&format!("coverage: the page has no column {}", column.name)),
        }
    }
    for difference in &differences {
        say::progress(&format!("coverage: {difference}"));
    }
    let count = differences.len();
    ensure!(
        count == 0,
        "{PAGE} differs in {count} places; `{UPDATE}=1 cargo xtask test --full coverage` writes it"
    );
    Ok(Outcome::passed(1))
}

/// The kernels of the matrix come in its order, then this machine's own.
fn columns(context: &Context<'_>) -> Result<Vec<Column>> {
    let mut columns = Vec::new();
    for entry in std::fs::read_dir(folder(context)).context("list what the matrix saw")? {
        let path = entry?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let kernel = match name.split_once(' ') {
            Some((kernel, _)) => kernel.to_owned(),
            None => page::release(&rustix::system::uname().release().to_string_lossy()),
        };
        columns.extend(Lines::of_file(&path)?.column(&kernel)?);
    }
    Ok(columns)
}

/// Whether a column is of a kernel that is not in the matrix.
fn is_host(column: &Column) -> bool {
    let kernel = column.name.split(' ').next().unwrap_or_default();
    !Kernel::ALL.iter().any(|known| known.name() == kernel)
}
