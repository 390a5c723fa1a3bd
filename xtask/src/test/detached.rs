//! The kernel tests with the open hook detached by their test switch: then not one of them may pass.
//!
//! This is the test of the tests: it shows that each of them sees what the hook sees and nothing else.

use anyhow::{Result, ensure};

use super::outcome::{Outcome, Reader, follow};
use super::suites::{self, KERNEL};
use super::{Context, matrix};
use crate::vm::kernel::Kernel;
use crate::vm::programs;

const SWITCH: &str = "LAYERWATCH_TEST_DETACHED";

pub(super) fn run(context: &Context<'_>) -> Result<Outcome> {
    let mut reader = Reader::default();
    let mut command = suites::command(context, KERNEL)?;
    let well = follow(command.env(SWITCH, "1"), &mut |line| reader.line(line))?;
    let here = reader.finish(well)?;
    if context.options.filter.is_some() && here == Outcome::default() {
        // The filter asks for none of the kernel tests.
        return Ok(here);
    }
    all_failed("here", here)?;
    let programs = programs::build(context.workspace)?;
    let kernels = if context.options.full {
        matrix::kernels(true)
    } else {
        &[Kernel::Backports]
    };
    let switch = format!("{SWITCH}=1");
    // At once, since each waits long for what cannot come.
    let test = ["env", &switch, matrix::INSIDE, "--test-threads=16"];
    for kernel in kernels {
        let (reader, well) = matrix::tests_in(context, *kernel, &programs, &test)?;
        all_failed(kernel.name(), reader.finish(well)?)?;
    }
    Ok(Outcome::passed(1 + kernels.len()))
}

fn all_failed(place: &str, outcome: Outcome) -> Result<()> {
    ensure!(
        outcome.passed == 0,
        "{} kernel tests pass without the hook ({place})",
        outcome.passed
    );
    ensure!(
        outcome.failed > 0,
        "no kernel test was run without the hook ({place})"
    );
    Ok(())
}
