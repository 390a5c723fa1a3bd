//! The kernel tests in machines with other kernels, and on the tiers that these have.
//!
//! The same binary that runs on this machine runs there. Skips and the cells of the evasion matrix come back as lines of
//! the output, since a machine has no file in common with this one.

use std::path::PathBuf;

use anyhow::Result;

use super::coverage::{self, Lines};
use super::machines::{Machine, machines, side_by_side};
use super::outcome::{Outcome, Reader};
use super::{Context, skips};
use crate::say;
use crate::vm::{self, programs};

/// Tests in a machine, as root, one after the other: they mount and attach.
const SCRIPT: &str = "export LAYERWATCH_SKIPS=/tmp/skips LAYERWATCH_CELLS=/tmp/cells; \"$@\"; status=$?; \
                      test -f /tmp/skips && sed 's/^/skip\\t/' /tmp/skips; \
                      test -f /tmp/cells && sed 's/^/cell\\t/' /tmp/cells; exit $status";
const TIMEOUT_SECONDS: u64 = 1200;

/// What a machine leaves out unless everything is asked for: starting an agent several times, or with many findings, which is
/// slow on an emulated processor and differs little between kernels. Here it always runs.
pub(super) const ONLY_HERE: [&str; 4] = ["--skip", "restart::", "--skip", "here::"];
/// What one machine of a plain run is enough for, since it is slow: file systems that are made and mounted, maps and rings
/// that are filled.
const ONLY_IN_ONE: [&str; 8] = [
    "--skip", "keys::", "--skip", "loss::", "--skip", "gaps::", "--skip", "thin::",
];
/// The kernel tests inside a machine.
pub(super) const INSIDE: &str = "/bin/kernel";

pub(super) fn run(context: &Context<'_>) -> Result<Outcome> {
    let programs = programs::build(context.workspace)?;
    let full = context.options.full;
    let ran = side_by_side(machines(full), |machine| {
        let mut test = vec![INSIDE, "--test-threads=1"];
        if !full {
            test.extend(ONLY_HERE);
            if !machine.is_the_one() {
                test.extend(ONLY_IN_ONE);
            }
        }
        let ran = tests_in(context, machine, &programs, &[], &test)?;
        coverage::keep(context, machine.tier, machine.kernel, &ran.cells)?;
        ran.reader.finish(ran.well)
    });
    let mut total = Outcome::default();
    for (machine, outcome) in ran {
        // One machine that broke hides nothing of the others.
        total.add(outcome.unwrap_or_else(|error| {
            say::progress(&format!("{}: {error:#}", machine.name()));
            Outcome::failed(1)
        }));
    }
    Ok(total)
}

/// What a machine's tests said.
pub(super) struct Ran {
    pub(super) reader: Reader,
    /// Whether they ended well.
    pub(super) well: bool,
    pub(super) cells: Lines,
}

/// Runs the kernel tests in one machine with these settings.
pub(super) fn tests_in(
    context: &Context<'_>,
    machine: Machine,
    programs: &[(PathBuf, String)],
    settings: &[String],
    test: &[&str],
) -> Result<Ran> {
    say::progress(&format!("-- {}", machine.name()));
    let before = ["sh", "-c", SCRIPT, "sh", "env"].map(str::to_owned);
    let test = test.iter().map(|word| (*word).to_owned());
    let command = before
        .into_iter()
        .chain(machine.environment())
        .chain(settings.iter().cloned())
        .chain(test)
        .chain(context.options.filter.clone())
        .collect();
    let options = vm::Options {
        timeout: TIMEOUT_SECONDS,
        ..vm::Options::new(machine.kernel, command)
    };
    let label = machine.label();
    let mut reader = Reader::default();
    let mut skipped = Vec::new();
    let mut cells = Lines::default();
    let status = vm::boot(context.workspace, &options, programs, &mut |line| {
        let line = String::from_utf8_lossy(line);
        let line = line.trim_end_matches(['\r', '\n']);
        if let Some(cell) = line.strip_prefix("cell\t") {
            return cells.push(cell);
        }
        say::progress(&format!("{label} {line}"));
        match line.strip_prefix("skip\t") {
            Some(skip) => skipped.push(skip.to_owned()),
            None => reader.line(line),
        }
    })?;
    for (test, reason) in skipped.iter().filter_map(|skip| skip.split_once('\t')) {
        let test = format!("{test} on {}", machine.kernel.name());
        skips::record(&context.skips, &test, reason)?;
    }
    Ok(Ran {
        reader,
        well: status == 0,
        cells,
    })
}
