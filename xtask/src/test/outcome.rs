//! How many tests passed and failed, read from what the test runner prints.
//!
//! Both runners are read: nextest's last line and the line that each of Cargo's test binaries ends with. A run that
//! printed no such line is an error and not a run without failures.

use std::io::{BufRead as _, BufReader};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::say;

/// The tests of a step; a step that is no test counts as one.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) passed: usize,
    pub(super) failed: usize,
}

impl Outcome {
    pub(super) fn passed(passed: usize) -> Self {
        Self { passed, failed: 0 }
    }

    pub(super) fn failed(failed: usize) -> Self {
        Self { passed: 0, failed }
    }

    pub(super) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

/// What a test runner's output says, collected line by line.
#[derive(Debug, Default)]
pub(super) struct Reader {
    outcome: Outcome,
    results: usize,
    ignored: usize,
}

impl Reader {
    /// Takes one line of output.
    pub(super) fn line(&mut self, line: &str) {
        let Some(result) = result_in(line) else { return };
        self.results += 1;
        for part in result.split([',', ';', '.', '(']) {
            let Some((count, what)) = part.trim().split_once(' ') else {
                continue;
            };
            let Ok(count) = count.parse::<usize>() else {
                continue;
            };
            match what.trim() {
                "passed" => self.outcome.passed += count,
                "failed" | "timed out" | "exec failed" => self.outcome.failed += count,
                "ignored" => self.ignored += count,
                _ => {}
            }
        }
    }

    /// The counts, given whether the runner itself was content.
    pub(super) fn finish(self, content: bool) -> Result<Outcome> {
        ensure!(self.results > 0, "the test runner gave no result");
        ensure!(
            self.ignored == 0,
            "{} ignored tests: a test that cannot run must say so and why",
            self.ignored
        );
        ensure!(
            content || self.outcome.failed > 0,
            "the test runner failed beside the tests"
        );
        Ok(self.outcome)
    }
}

/// The counts of a line that ends a run: `Summary […] N tests run: …` or `test result: ….`.
fn result_in(line: &str) -> Option<&str> {
    // nextest indents what a failed test printed, which has a result line of its own: that one does not count.
    if let Some(summary) = line.trim_start().strip_prefix("Summary [") {
        return summary.split_once(" run: ").map(|(_, counts)| counts);
    }
    line.strip_prefix("test result: ")?
        .split_once(". ")
        .map(|(_, counts)| counts)
}

/// Runs a test runner, passing its output on, and returns the counts.
pub(super) fn of(command: &mut Command) -> Result<Outcome> {
    let mut reader = Reader::default();
    let content = follow(command, &mut |line| reader.line(line))?;
    reader.finish(content)
}

/// Runs a command, passes each line of its output on, and returns whether it ended well.
pub(super) fn follow(command: &mut Command, on_line: &mut dyn FnMut(&str)) -> Result<bool> {
    let (output, input) = std::io::pipe().context("cannot make a pipe")?;
    let program = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdout(input.try_clone().context("cannot share a pipe")?)
        .stderr(input)
        .spawn()
        .with_context(|| format!("cannot start {program}"))?;
    // The command still holds the pipe's other end: without this the output would never end.
    command
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null());
    for line in BufReader::new(output).split(b'\n') {
        let line = line.with_context(|| format!("cannot read what {program} prints"))?;
        let line = String::from_utf8_lossy(&line);
        say::progress(&line);
        on_line(&line);
    }
    Ok(child
        .wait()
        .with_context(|| format!("cannot wait for {program}"))?
        .success())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str], content: bool) -> Result<Outcome> {
        let mut reader = Reader::default();
        for line in lines {
            reader.line(line);
        }
        reader.finish(content)
    }

    #[test]
    fn both_runners_are_read() {
        let check = |lines: &[&str], passed, failed| {
            let content = failed == 0;
            assert_eq!(
                read(lines, content).unwrap(),
                Outcome { passed, failed },
                "{lines:?}"
            );
        };
        check(
            &["     Summary [   0.2s] 33 tests run: 33 passed, 0 skipped"],
            33,
            0,
        );
        check(
            &[
                "x",
                " Summary [ 9.1s] 11/33 tests run: 8 passed (2 slow, 1 leaky), 2 failed, 1 timed out, 4 skipped",
            ],
            8,
            3,
        );
        check(
            &[
                "test result: ok. 17 passed; 0 failed; 0 ignored; 0 measured; 3 filtered out; finished in 0.1s",
                "",
                "test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.5s",
            ],
            18,
            2,
        );
    }

    #[test]
    fn the_result_line_of_a_single_test_is_not_counted_again() {
        let lines = [
            "    test result: FAILED. 0 passed; 1 failed; 0 ignored;",
            " Summary [ 1s] 1 test run: 0 passed, 1 failed",
        ];
        assert_eq!(read(&lines, false).unwrap(), Outcome { passed: 0, failed: 1 });
    }

    #[test]
    fn a_run_that_says_nothing_of_its_tests_is_an_error() {
        let check = |lines: &[&str], content, expected: &str| {
            let message = read(lines, content).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        };
        check(&["error: could not compile"], false, "no result");
        check(&[], true, "no result");
        check(
            &["test result: ok. 1 passed; 0 failed; 2 ignored; 0 measured;"],
            true,
            "2 ignored tests",
        );
        check(
            &[" Summary [ 1s] 1 test run: 1 passed, 0 skipped"],
            false,
            "beside the tests",
        );
    }

    #[test]
    fn output_is_followed_to_its_end() {
        let mut lines = Vec::new();
        let mut command = Command::new("sh");
        command.args(["-c", "echo out; echo err >&2; printf last; exit 3"]);
        assert!(!follow(&mut command, &mut |line| lines.push(line.to_owned())).unwrap());
        lines.sort();
        assert_eq!(lines, ["err", "last", "out"]);
    }
}
