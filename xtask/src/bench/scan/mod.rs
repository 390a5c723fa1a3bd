//! `cargo xtask bench scan`: Layerwatch, other scanners, ripgrep with the same literals and `cat`, on the same files.
//!
//! Two corpora are made of Debian packages: text, and files as they lie in an image. Each round runs every program on
//! each corpus, one after the other, so that a drift of the machine meets all of them; the best round counts. A program
//! that is not to be had is left out, and the table says so. Then Layerwatch alone meets the extremes: one huge file, one
//! endless line, very many files, and packed layers beside their decompressors.

mod corpora;
mod extremes;
pub(super) mod measure;
pub(super) mod rivals;
mod tables;

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use super::{ScanOptions, page};
use crate::workspace::Workspace;
use crate::{build, say, setup};
use corpora::Corpus;
use measure::{Cost, measure};
use rivals::Program;

/// The sections of the page: with the others, and without them.
const SECTION: &str = "scan";
const ALONE: &str = "scan alone";
/// A program that takes longer on a corpus is measured there once.
const SLOW_SECONDS: f64 = 30.0;

/// Measures, prints tables, and puts them into docs/performance.md where that is asked for.
pub(super) fn run(workspace: &Workspace, options: &ScanOptions) -> Result<()> {
    let agent = if let Some(agent) = &options.agent {
        agent.canonicalize().context("find the agent")?
    } else {
        let toolchain = setup::run(workspace)?;
        build::kernel_programs(workspace, &toolchain)?;
        build::agent(workspace, &build::Options { release: true })?
    };
    let folder = workspace.target.join("bench/scan");
    let corpora = corpora::make(&folder)?;
    let programs = if options.alone {
        vec![rivals::own(&folder, &agent)?]
    } else {
        rivals::all(workspace, &folder, &agent)?
    };
    let mut best: Vec<Vec<Option<Cost>>> = vec![vec![None; corpora.len()]; programs.len()];
    for round in 0..options.rounds {
        for (number, corpus) in corpora.iter().enumerate() {
            for (program, costs) in programs.iter().zip(&mut best) {
                if let Some(slot) = costs.get_mut(number) {
                    *slot = Some(once(round, program, corpus, *slot)?);
                }
            }
        }
    }
    let mut text = tables::head()?;
    tables::comparison(&mut text, &corpora, &programs, &best);
    extremes::run(&folder, &agent, options.quick, &mut text)?;
    say::output(text.as_bytes());
    let section = if options.alone { ALONE } else { SECTION };
    page::update(workspace, page::PERFORMANCE, section, &text)
}

/// One more round of a program on a corpus; the better of it and the best before.
fn once(round: usize, program: &Program, corpus: &Corpus, before: Option<Cost>) -> Result<Cost> {
    if let Some(before) = before.filter(|before| before.processor > SLOW_SECONDS) {
        return Ok(before);
    }
    let what = format!("round {}: {} on {}", round + 1, program.name, corpus.name);
    let cost = measure(&mut program.command(&corpus.folder), program.good)?;
    say::progress(&format!(
        "{what}: {:.0} MB/s per core",
        cost.speed(corpus.megabytes())
    ));
    Ok(before.map_or(cost, |before| before.better(cost)))
}

/// Layerwatch on one target; its state lies in the bench's own folder, and nothing is kept there between two runs.
fn layerwatch(agent: &Path, state: &Path, target: &Path) -> Command {
    let mut command = Command::new(agent);
    command
        .arg("--set")
        .arg(format!("state_directory={}", state.display()))
        .args(["scan", "--quiet", "-o", "jsonl"])
        .arg(target);
    command
}
