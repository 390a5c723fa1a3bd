//! The kernel tests with the hooks detached by their test switch: then not one of them may pass, and of the evasion
//! matrix not one cell may be seen.
//!
//! This is the test of the tests: it shows that each of them sees what the hooks see and nothing else.

use anyhow::{Result, ensure};

use super::coverage::{self, Lines};
use super::outcome::{Outcome, Reader, follow};
use super::suites::{self, KERNEL};
use super::{Context, machines, matrix};
use crate::files;
use crate::vm::programs;

const SWITCH: &str = "LAYERWATCH_TEST_DETACHED";

pub(super) fn run(context: &Context<'_>) -> Result<Outcome> {
    let mut reader = Reader::default();
    let mut command = suites::command(context, KERNEL)?;
    let cells = context.workspace.target.join("test/detached");
    files::write(&cells, b"")?;
    command.env(coverage::SWITCH, &cells).env(SWITCH, "1");
    let well = follow(&mut command, &mut |line| reader.line(line))?;
    let here = reader.finish(well)?;
    if context.options.filter.is_some() && here == Outcome::default() {
        // The filter asks for none of the kernel tests.
        return Ok(here);
    }
    all_failed("here", here)?;
    nothing_was_seen(context, "here", &Lines::of_file(&cells)?)?;
    let programs = programs::build(context.workspace)?;
    let machines: Vec<_> = if context.options.full {
        // Every tier once; this machine's own was the first.
        machines::machines(false).collect()
    } else {
        vec![machines::DETACHED]
    };
    let settings = [format!("{SWITCH}=1")];
    // At once, since each waits long for what cannot come.
    let inside = [matrix::INSIDE, "--test-threads=16"];
    let test = [&inside[..], &matrix::ONLY_HERE].concat();
    for machine in &machines {
        let ran = matrix::tests_in(context, *machine, &programs, &settings, &test)?;
        all_failed(&machine.name(), ran.reader.finish(ran.well)?)?;
        nothing_was_seen(context, &machine.name(), &ran.cells)?;
    }
    Ok(Outcome::passed(1 + machines.len()))
}

fn nothing_was_seen(context: &Context<'_>, place: &str, cells: &Lines) -> Result<()> {
    let (ways, seen) = cells.seen()?;
    ensure!(
        ways > 0 || context.options.filter.is_some(),
        "the evasion matrix was not run without the hooks ({place})"
    );
    ensure!(
        seen.is_empty(),
        "seen without the hooks ({place}): {}",
        seen.join(", ")
    );
    Ok(())
}

fn all_failed(place: &str, outcome: Outcome) -> Result<()> {
    ensure!(
        outcome.passed == 0,
        "{} kernel tests pass without the hooks ({place})",
        outcome.passed
    );
    ensure!(
        outcome.failed > 0,
        "no kernel test was run without the hooks ({place})"
    );
    Ok(())
}
