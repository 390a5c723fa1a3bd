//! The kernel tests in machines with other kernels.
//!
//! The same binary that runs on this machine runs there. Skips come back as lines of the output, since a machine has no
//! file in common with this one.

use std::path::PathBuf;

use anyhow::{Context as _, Result};

use super::outcome::{Outcome, Reader};
use super::{Context, skips};
use crate::say;
use crate::vm::kernel::Kernel;
use crate::vm::{self, programs};

/// Tests in a machine, as root, one after the other: they mount and attach.
const SCRIPT: &str = "export LAYERWATCH_SKIPS=/tmp/skips; \"$@\"; status=$?; \
                      test -f /tmp/skips && sed 's/^/skip\\t/' /tmp/skips; exit $status";
const TIMEOUT_SECONDS: u64 = 600;

/// The kernel tests inside a machine.
pub(super) const INSIDE: &str = "/bin/kernel";

/// The kernels of a run.
pub(super) fn kernels(full: bool) -> &'static [Kernel] {
    if full {
        &[Kernel::Bullseye, Kernel::Bookworm, Kernel::Backports, Kernel::Sid]
    } else {
        &[Kernel::Bookworm, Kernel::Backports]
    }
}

pub(super) fn run(context: &Context<'_>) -> Result<Outcome> {
    let programs = programs::build(context.workspace)?;
    let mut total = Outcome::default();
    for kernel in kernels(context.options.full) {
        let test = [INSIDE, "--test-threads=1"];
        let (reader, well) = tests_in(context, *kernel, &programs, &test)?;
        total.add(
            reader
                .finish(well)
                .with_context(|| format!("kernel {}", kernel.name()))?,
        );
    }
    Ok(total)
}

/// Runs the kernel tests in one machine; what they say, and whether they ended well.
pub(super) fn tests_in(
    context: &Context<'_>,
    kernel: Kernel,
    programs: &[(PathBuf, String)],
    test: &[&str],
) -> Result<(Reader, bool)> {
    say::progress(&format!("-- kernel {}", kernel.name()));
    let before = ["sh", "-c", SCRIPT, "sh"];
    let words = before.iter().chain(test);
    let command = words
        .map(|word| (*word).to_owned())
        .chain(context.options.filter.clone())
        .collect();
    let options = vm::Options {
        timeout: TIMEOUT_SECONDS,
        ..vm::Options::new(kernel, command)
    };
    let mut reader = Reader::default();
    let mut skipped = Vec::new();
    let status = vm::boot(context.workspace, &options, programs, &mut |line| {
        let line = String::from_utf8_lossy(line);
        let line = line.trim_end();
        say::progress(line);
        match line.strip_prefix("skip\t") {
            Some(skip) => skipped.push(skip.to_owned()),
            None => reader.line(line),
        }
    })?;
    for (test, reason) in skipped.iter().filter_map(|skip| skip.split_once('\t')) {
        skips::record(&context.skips, &format!("{test} on {}", kernel.name()), reason)?;
    }
    Ok((reader, status == 0))
}
