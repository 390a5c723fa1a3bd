//! The kernel tests with the hooks detached by their test switch: then not one of them may pass, and of the evasion
//! matrix not one cell may be seen.
//!
//! This is the test of the tests: it shows that each of them sees what the hooks see and nothing else.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, anyhow, ensure};

use super::coverage::{self, Lines};
use super::machines::Machine;
use super::outcome::{Outcome, Reader, follow};
use super::suites::{self, KERNEL};
use super::{Context, machines, matrix};
use crate::files;
use crate::vm::programs;

const SWITCH: &str = "LAYERWATCH_TEST_DETACHED";

pub(super) fn run(context: &Context<'_>) -> Result<Outcome> {
    let programs = programs::build(context.workspace)?;
    let command = suites::command(context, KERNEL)?;
    let machines: Vec<_> = if context.options.full {
        // Every tier once; this machine's own is beside them.
        machines::machines(false).collect()
    } else {
        vec![machines::DETACHED]
    };
    // At once, since each of the tests waits long for what cannot come.
    let (here, inside) = std::thread::scope(|scope| {
        let inside = scope.spawn(|| {
            machines::side_by_side(machines.into_iter(), |machine| {
                in_a_machine(context, machine, &programs)
            })
        });
        (here(context, command), inside.join())
    });
    let inside = inside.map_err(|_panic| anyhow!("the thread that ran the machines broke"))?;
    let mut outcome = here?;
    for (_, came) in inside {
        outcome.add(came?);
    }
    Ok(outcome)
}

fn here(context: &Context<'_>, mut command: Command) -> Result<Outcome> {
    let mut reader = Reader::default();
    let cells = context.workspace.target.join("test/detached");
    files::write(&cells, b"")?;
    command.env(coverage::SWITCH, &cells).env(SWITCH, "1");
    let well = follow(&mut command, &mut |line| reader.line(line))?;
    held_against("here", context, reader.finish(well)?, &Lines::of_file(&cells)?)
}

fn in_a_machine(context: &Context<'_>, machine: Machine, programs: &[(PathBuf, String)]) -> Result<Outcome> {
    let settings = [format!("{SWITCH}=1")];
    let inside = [matrix::INSIDE, "--test-threads=16"];
    let test = [&inside[..], &matrix::ONLY_HERE].concat();
    let ran = matrix::tests_in(context, machine, programs, &settings, &test)?;
    let outcome = ran.reader.finish(ran.well)?;
    held_against(&machine.name(), context, outcome, &ran.cells)
}

/// One passed check: no test passed, and no cell was seen.
fn held_against(place: &str, context: &Context<'_>, outcome: Outcome, cells: &Lines) -> Result<Outcome> {
    let filtered = context.options.filter.is_some();
    if filtered && outcome == Outcome::default() {
        // The filter asks for none of the kernel tests.
        return Ok(outcome);
    }
    ensure!(
        outcome.passed == 0,
        "{} kernel tests pass without the hooks ({place})",
        outcome.passed
    );
    ensure!(
        outcome.failed > 0,
        "no kernel test was run without the hooks ({place})"
    );
    let (ways, seen) = cells.seen()?;
    ensure!(
        ways > 0 || filtered,
        "the evasion matrix was not run without the hooks ({place})"
    );
    ensure!(
        seen.is_empty(),
        "seen without the hooks ({place}): {}",
        seen.join(", ")
    );
    Ok(Outcome::passed(1))
}
