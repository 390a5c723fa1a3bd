//! `layerwatch version`: what this build is made of.

use anyhow::Result;
use serde::Serialize;

use super::exit::Done;
use super::output::{Output, OutputArguments};
use super::tone::Entry;
use crate::kernel::{self, Environment};
use crate::scan::{ENGINE_VERSION, RuleSet};

/// The parts of this build.
#[derive(Debug, Serialize)]
struct Build {
    version: &'static str,
    wire: u16,
    scan_engine: u32,
    rules: usize,
    rules_digest: String,
    /// SHA-256 of the embedded object; absent in a build without kernel programs.
    kernel_programs: Option<String>,
    kernel_programs_bytes: Option<usize>,
}

/// Prints the version.
pub(super) fn version(output: OutputArguments) -> Result<Done> {
    let rules = RuleSet::builtin()?;
    let build = Build {
        version: env!("CARGO_PKG_VERSION"),
        wire: layerwatch_ebpf::WIRE_VERSION,
        scan_engine: ENGINE_VERSION,
        rules: rules.rules().len(),
        rules_digest: rules.digest().to_owned(),
        kernel_programs: kernel::programs_digest(),
        kernel_programs_bytes: Environment::read().object_bytes,
    };
    let rows = [
        ("version", build.version.to_owned()),
        ("wire version", build.wire.to_string()),
        ("scan engine", build.scan_engine.to_string()),
        ("rules", format!("{} ({})", build.rules, build.rules_digest)),
        (
            "kernel programs",
            build
                .kernel_programs
                .clone()
                .unwrap_or_else(|| "not built in".to_owned()),
        ),
    ];
    Output::new(output).single("version", &build, |output| {
        let rows = rows
            .into_iter()
            .map(|(name, value)| vec![Entry::plain(name), Entry::plain(value)]);
        output.table(&[], rows.collect())
    })?;
    Ok(Done::Clean)
}
