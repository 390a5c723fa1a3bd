//! What was measured as tables of docs/performance.md, with what was aimed at beside it.

use std::process::Command;

use anyhow::Result;

use super::corpora::Corpus;
use super::measure::Cost;
use super::rivals::{GITLEAKS, KINGFISHER, LAYERWATCH, Program};
use crate::process;

/// The columns of every table.
pub(super) const COLUMNS: &str = "wall, s | processor, s | MB/s by the clock | MB/s per core | peak memory, MB |\n|---|--:|--:|--:|--:|--:|\n";

/// When and where.
pub(super) fn head() -> Result<String> {
    let date = process::output(Command::new("date").args(["--utc", "+%Y-%m-%d"]))?;
    let kernel = process::output(Command::new("uname").arg("-r"))?;
    let processors = std::thread::available_parallelism()?;
    Ok(format!(
        "{}, Linux {}, {processors} processors.\n",
        date.trim(),
        kernel.trim()
    ))
}

/// A table for each corpus, and how many times as fast as the others Layerwatch is.
pub(super) fn comparison(
    text: &mut String,
    corpora: &[Corpus],
    programs: &[Program],
    best: &[Vec<Option<Cost>>],
) {
    for (number, corpus) in corpora.iter().enumerate() {
        let megabytes = corpus.megabytes();
        let files = corpus.files;
        let head = format!(
            "\n| {}: {megabytes:.0} MB in {files} files | {COLUMNS}",
            corpus.name
        );
        text.push_str(&head);
        let cost = |name: &str| {
            let costs = programs
                .iter()
                .zip(best)
                .find(|(program, _)| program.name == name);
            costs.and_then(|(_, costs)| *costs.get(number)?)
        };
        for program in programs {
            if let Some(cost) = cost(program.name) {
                text.push_str(&cost.row(program.name, megabytes));
            }
        }
        for (other, aim) in [(KINGFISHER, 3.0), (GITLEAKS, 25.0)] {
            if let (Some(own), Some(other_cost)) = (cost(LAYERWATCH), cost(other)) {
                let times = other_cost.processor / own.processor.max(0.01);
                text.push_str(&aimed(
                    &format!("as fast as {other}, times, per core"),
                    times,
                    aim,
                ));
            }
        }
    }
}

/// A line that says what was reached of what was aimed at.
fn aimed(what: &str, reached: f64, aim: f64) -> String {
    let verdict = if reached >= aim { "reached" } else { "missed" };
    format!("\n{what}: {reached:.1}; aimed at {aim:.0}: {verdict}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_missed_is_called_so() {
        assert_eq!(aimed("x", 24.96, 25.0), "\nx: 25.0; aimed at 25: missed\n");
        assert_eq!(aimed("x", 25.0, 25.0), "\nx: 25.0; aimed at 25: reached\n");
    }
}
