//! `cargo xtask fuzz`: libFuzzer on what is read from strangers, for some time, on the pinned toolchain.
//!
//! Coverage is LLVM's own pass, which the stable compiler has; no sanitizer is needed, since the code is safe Rust with
//! checks left on. What libFuzzer finds stays below the target folder; an input that shows a fault goes to
//! `tests/fixtures/fuzz` with the change that mends it, where every test run tries it.

mod tally;

use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use self::tally::Tally;
use crate::workspace::Workspace;
use crate::{files, process, say};

/// As cargo-fuzz sets it for `--sanitizer none`.
const FLAGS: [&str; 10] = [
    "--cfg=fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Cllvm-args=-simplifycfg-branch-fold-threshold=0",
    "-Ccodegen-units=1",
    "-Cdebug-assertions",
    "-Coverflow-checks",
];
/// Separates the items of `CARGO_ENCODED_RUSTFLAGS`.
const SEPARATOR: &str = "\u{1f}";
/// Without it Cargo would give build scripts and macros the same flags, and they do not link.
const HOST: &str = "x86_64-unknown-linux-gnu";
/// Writes the seeds that are not fixtures (`monitor/src/fuzz/tests.rs`).
const SEEDS: &str = "fuzz::tests::each_target_survives_its_seeds_and_what_is_near_them";

/// What `cargo xtask fuzz` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How long each target runs
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    seconds: u32,
    /// Only these targets
    targets: Vec<String>,
}

/// Builds, and runs one target after the other; the first fault ends it.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let folder = workspace.target.join("fuzz");
    let seeds = folder.join("seeds");
    files::empty_folder(&seeds)?;
    let mut test = workspace.cargo();
    test.args(["test", "--package", "layerwatch", "--lib", SEEDS])
        .env("LAYERWATCH_SEEDS", &seeds);
    process::run(&mut test)?;
    let mut build = workspace.cargo();
    build
        .args(["build", "--release", "--target", HOST, "--manifest-path"])
        .arg(workspace.root.join("tests/fuzz/Cargo.toml"))
        .env("CARGO_TARGET_DIR", folder.join("build"))
        .env("CARGO_ENCODED_RUSTFLAGS", FLAGS.join(SEPARATOR));
    process::run(&mut build)?;
    let names = names(&seeds)?;
    for name in &options.targets {
        ensure!(
            names.contains(name),
            "no target is called {name}: {}",
            names.join(", ")
        );
    }
    let mut rows = Vec::new();
    for name in names
        .iter()
        .filter(|name| options.targets.is_empty() || options.targets.contains(name))
    {
        say::progress(&format!("fuzz: {name}, {} seconds", options.seconds));
        rows.push(fuzz(&folder, name, options.seconds)?.row(name));
    }
    say::output(format!("{}\n", rows.join("\n")).as_bytes());
    Ok(())
}

fn names(seeds: &Path) -> Result<Vec<String>> {
    let entries = std::fs::read_dir(seeds).context("list the targets that have seeds")?;
    let mut names = Vec::new();
    for entry in entries {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

fn fuzz(folder: &Path, name: &str, seconds: u32) -> Result<Tally> {
    let (corpus, artifacts) = (
        folder.join("corpus").join(name),
        folder.join("artifacts").join(name),
    );
    files::create_folder(&corpus)?;
    files::create_folder(&artifacts)?;
    let program = folder.join("build").join(HOST).join("release").join(name);
    let mut fuzzer = std::process::Command::new(program);
    fuzzer
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        // A scan is bounded by its limits; what is slower or larger than this is a fault.
        .args([
            "-timeout=20",
            "-rss_limit_mb=1024",
            "-max_len=16384",
            "-print_final_stats=1",
        ])
        .arg(&corpus)
        .arg(folder.join("seeds").join(name));
    Tally::of(&mut fuzzer).with_context(|| format!("{name}: see {}", artifacts.display()))
}
