//! The labelled corpus: layers with one file each, which holds one secret or none.
//!
//! `tests/fixtures/accuracy/made.toml` says which programs make files with secrets, `written.toml` holds the rest.
//! Invariant: a program that fails is an error, so that the corpus is whole or there is none; every password is a new one.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use serde::Deserialize;

const MADE: &str = include_str!("../../fixtures/accuracy/made.toml");
const WRITTEN: &str = include_str!("../../fixtures/accuracy/written.toml");
/// Stands in written files where a token would look real to a forge's push protection.
const SPLIT: char = '§';
/// Programs that run at a time.
const THREADS: usize = 3;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MadeTable {
    made: Vec<Recipe>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Recipe {
    rule: String,
    #[serde(default = "once")]
    each: Vec<String>,
    #[serde(default = "one")]
    repeat: usize,
    paths: Vec<String>,
    run: String,
}

fn once() -> Vec<String> {
    vec![String::new()]
}

fn one() -> usize {
    1
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenTable {
    positive: Vec<Written>,
    negative: Vec<Written>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    rule: String,
    path: String,
    text: Option<String>,
    base64: Option<String>,
}

/// A layer with one file.
pub(super) struct Sample {
    pub(super) layer: PathBuf,
    /// Below the layer.
    pub(super) path: String,
    /// The rule that must find it, or whose validation must refuse it; empty if it is no rule's.
    pub(super) rule: String,
    pub(super) positive: bool,
    /// By a program, when the test ran.
    pub(super) made: bool,
}

/// A file that a program makes.
struct Job<'a> {
    run: &'a str,
    each: &'a str,
    sample: Sample,
}

/// Makes all of it below `root`, which must be empty; programs work below `scratch`.
pub(super) fn make(root: &Path, scratch: &Path) -> Result<Vec<Sample>> {
    let layer = |number: usize| root.join(format!("layer-{number:04}"));
    let recipes: MadeTable = toml::from_str(MADE).context("read made.toml")?;
    let mut jobs = Vec::new();
    for recipe in &recipes.made {
        for _ in 0..recipe.repeat {
            for (each, path) in recipe
                .each
                .iter()
                .flat_map(|e| recipe.paths.iter().map(move |p| (e, p)))
            {
                let sample = Sample {
                    layer: layer(jobs.len()),
                    path: path.replace("$EACH", each),
                    rule: recipe.rule.clone(),
                    positive: true,
                    made: true,
                };
                jobs.push(Job {
                    run: &recipe.run,
                    each,
                    sample,
                });
            }
        }
    }
    run_all(&jobs, scratch)?;
    let mut samples: Vec<Sample> = jobs.into_iter().map(|job| job.sample).collect();
    let written: WrittenTable = toml::from_str(WRITTEN).context("read written.toml")?;
    for (positive, files) in [(true, written.positive), (false, written.negative)] {
        for file in files {
            let sample = Sample {
                layer: layer(samples.len()),
                path: file.path.clone(),
                rule: file.rule.clone(),
                positive,
                made: false,
            };
            let content = match (file.text, file.base64) {
                (Some(text), None) => text.replace(SPLIT, "").into_bytes(),
                (None, Some(text)) => base64::engine::general_purpose::STANDARD.decode(text)?,
                _ => bail!("{}: a file has either text or base64", file.path),
            };
            let place = place(&sample)?;
            std::fs::write(&place, content).with_context(|| format!("write {}", place.display()))?;
            samples.push(sample);
        }
    }
    Ok(samples)
}

/// Where the file lies; its directory is made.
fn place(sample: &Sample) -> Result<PathBuf> {
    let place = sample.layer.join(&sample.path);
    let directory = place.parent().context("a file at the root")?;
    std::fs::create_dir_all(directory).with_context(|| format!("make {}", directory.display()))?;
    Ok(place)
}

fn run_all(jobs: &[Job<'_>], scratch: &Path) -> Result<()> {
    let next = AtomicUsize::new(0);
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(job) = jobs.get(number) else { break };
                    if let Err(error) = run_one(job, number, scratch) {
                        failures
                            .lock()
                            .unwrap()
                            .push(format!("{}: {error:#}", job.sample.rule));
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    if failures.is_empty() {
        return Ok(());
    }
    bail!(
        "{} files could not be made:\n{}",
        failures.len(),
        failures.join("\n")
    )
}

fn run_one(job: &Job<'_>, number: usize, scratch: &Path) -> Result<()> {
    let out = place(&job.sample)?;
    let work = scratch.join(number.to_string());
    std::fs::create_dir(&work).with_context(|| format!("make {}", work.display()))?;
    let output = Command::new("sh")
        .args(["-euc", job.run])
        .current_dir(&work)
        .env("OUT", &out)
        .env("EACH", job.each)
        .env("PW", password()?)
        .env("HOME", &work)
        .output()
        .context("start sh")?;
    if !output.status.success() || !out.exists() {
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        bail!("{} with {:?}: {}: {told}", job.run, job.each, output.status);
    }
    Ok(())
}

/// Fourteen characters that no list of placeholders has.
fn password() -> Result<String> {
    const LETTERS: &[u8; 64] = b"abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789234567.";
    let mut random = [0; 12];
    rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())?;
    let letters: String = random
        .iter()
        .map(|b| char::from(LETTERS[usize::from(*b % 63)]))
        .collect();
    let (first, rest) = letters.split_at(5);
    Ok(format!("{first}7.{rest}"))
}
