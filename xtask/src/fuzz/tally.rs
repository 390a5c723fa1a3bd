//! What libFuzzer says of itself: how much it ran and how far that reached.
//!
//! Its lines go on to the terminal as they come. Coverage is in edges of the whole program, most of which no input of one
//! target can reach: the figure says something beside the same target's last one only.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::say;

/// See the module.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Tally {
    executions: u64,
    /// Edges that were taken, and all that there are.
    covered: u64,
    edges: u64,
    /// Inputs that each reach something that no other does.
    corpus: u64,
}

impl Tally {
    /// Runs a fuzzer to its end.
    pub(super) fn of(fuzzer: &mut Command) -> Result<Self> {
        let name = fuzzer.get_program().display().to_string();
        let mut child = fuzzer
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let said = child.stderr.take().context("a fuzzer without an output")?;
        let mut tally = Self::default();
        for line in BufReader::new(said).split(b'\n') {
            let line = String::from_utf8_lossy(&line?).into_owned();
            say::progress(&line);
            tally.line(&line);
        }
        let status = child.wait().context("wait for a fuzzer")?;
        ensure!(status.success(), "it ended with {status}");
        ensure!(
            tally.executions > 0 && tally.covered > 0,
            "it did not say what it ran"
        );
        Ok(tally)
    }

    fn line(&mut self, line: &str) {
        for (before, figure) in [
            ("stat::number_of_executed_units: ", &mut self.executions),
            ("cov: ", &mut self.covered),
            (" corp: ", &mut self.corpus),
            ("INFO: Loaded 1 modules   (", &mut self.edges),
        ] {
            let digits = line.split_once(before).map(|(_, rest)| {
                let rest = rest.trim_start();
                rest.split(|c: char| !c.is_ascii_digit())
                    .next()
                    .unwrap_or_default()
            });
            if let Some(number) = digits.and_then(|digits| digits.parse().ok()) {
                *figure = number;
            }
        }
    }

    /// A line of the summary.
    pub(super) fn row(&self, name: &str) -> String {
        format!(
            "{name}: {} executions, {} of {} edges, {} inputs in the corpus",
            self.executions, self.covered, self.edges, self.corpus
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_libfuzzer_prints_is_counted() {
        let mut tally = Tally::default();
        for line in [
            "INFO: Running with entropic power schedule (0xFF, 100).",
            "INFO: Loaded 1 modules   (61432 inline 8-bit counters): 61432 [0x55, 0x56), ",
            "#2\tINITED cov: 11 ft: 12 corp: 1/1b exec/s: 0 rss: 45Mb",
            "#65536\tpulse  cov: 1044 ft: 3203 corp: 403/18Kb lim: 652 exec/s: 21845 rss: 102Mb",
            "Done 1302171 runs in 61 second(s)",
            "stat::number_of_executed_units: 1302171",
        ] {
            tally.line(line);
        }
        assert_eq!(
            tally.row("policy"),
            "policy: 1302171 executions, 1044 of 61432 edges, 403 inputs in the corpus"
        );
    }
}
