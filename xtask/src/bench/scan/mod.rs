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

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::ScanOptions;
use crate::workspace::Workspace;
use crate::{build, say, setup};
use corpora::Corpus;
use measure::{Cost, measure};
use rivals::Program;

/// Measures and prints tables for docs/performance.md.
pub(super) fn run(workspace: &Workspace, options: &ScanOptions) -> Result<()> {
    let toolchain = setup::run(workspace)?;
    build::kernel_programs(workspace, &toolchain)?;
    let agent = build::agent(workspace, &build::Options { release: true })?;
    let folder = workspace.target.join("bench/scan");
    let corpora = corpora::make(&folder)?;
    let programs = rivals::all(workspace, &folder, &agent)?;
    let mut best: Vec<Vec<Option<Cost>>> = vec![vec![None; corpora.len()]; programs.len()];
    for round in 0..options.rounds {
        for (corpus_index, corpus) in corpora.iter().enumerate() {
            for (program, costs) in programs.iter().zip(&mut best) {
                say::progress(&format!(
                    "round {}: {} on {}",
                    round + 1,
                    program.name,
                    corpus.name
                ));
                let cost = measure(&mut program.command(&corpus.folder))?;
                if let Some(slot) = costs.get_mut(corpus_index) {
                    *slot = Some(slot.map_or(cost, |before| before.better(cost)));
                }
            }
        }
    }
    table(&corpora, &programs, &best);
    extremes::run(&folder, &agent, options.quick)
}

fn table(corpora: &[Corpus], programs: &[Program], best: &[Vec<Option<Cost>>]) {
    for (index, corpus) in corpora.iter().enumerate() {
        let head = format!(
            "\n{}: {:.0} MB in {} files\n\n| program | wall, s | processor, s | MB/s per core | peak memory, MB |\n|---|---|---|---|---|\n",
            corpus.name,
            corpus.megabytes(),
            corpus.files
        );
        say::output(head.as_bytes());
        for (program, costs) in programs.iter().zip(best) {
            let Some(Some(cost)) = costs.get(index) else {
                continue;
            };
            say::output(cost.row(&program.name, corpus.megabytes()).as_bytes());
        }
    }
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
