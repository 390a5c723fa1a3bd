//! The agent itself under many opens and under a flood of finding reads. Only on this machine: a million each under
//! `--full`, a fifth in an ordinary run.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use layerwatch_tests::scene::Agent;
use layerwatch_tests::{text_of, wait_until};

use super::{Reads, UNBOUNDED};
use crate::agent::{Store, started};
use crate::fixture::{detached, directory, emulated};

/// Findings in the store beside the four that it always has.
fn findings() -> usize {
    if emulated() || detached() { 100 } else { 1000 }
}
/// The canary of the start, which is looked at before there is an event plane.
const SELF_CHECK: u64 = 1;
/// What the agent may grow by, whatever it sees.
const GROWTH_KIB: u64 = 8 * 1024;

/// Little where the processor is emulated or nothing is seen.
fn scaled(full: usize) -> usize {
    if emulated() || detached() {
        full / 50
    } else if std::env::var_os("LAYERWATCH_TEST_FULL").is_some() {
        full
    } else {
        full / 5
    }
}

/// How long what was read may take to be told; without hooks nothing comes.
fn deadline() -> Duration {
    Duration::from_secs(if detached() { 3 } else { 120 })
}

/// What the agent says of the events that it was given.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Books {
    /// Files opened on a watch, by what became of them.
    emitted: u64,
    repeated: u64,
    ring_full: u64,
    /// Records of all places.
    records: u64,
    /// Records that the event plane has looked at.
    taken: u64,
    /// Its canaries and signs of pulls.
    own: u64,
}

impl Books {
    fn of(agent: &Agent) -> Option<Self> {
        let body = agent.metrics().ok()?.body;
        let value = |name: &str, labels: &str| -> u64 {
            let lines = body
                .lines()
                .filter(|line| line.starts_with(name) && line.contains(labels));
            let values = lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok());
            values.sum()
        };
        let open = |outcome: &str| {
            value(
                "layerwatch_kernel_events_total",
                &format!("hook=\"open\",outcome=\"{outcome}\""),
            )
        };
        let enrich = |outcome: &str| {
            let labels = format!("outcome=\"{outcome}\",stage=\"enrich\"");
            value("layerwatch_stage_events_total", &labels)
        };
        let of_processes = value(
            "layerwatch_kernel_events_total",
            "hook=\"process\",outcome=\"emitted\"",
        );
        Some(Self {
            emitted: open("emitted"),
            repeated: open("repeated"),
            ring_full: open("ring-full"),
            records: value("layerwatch_kernel_events_total", "outcome=\"emitted\"") - of_processes,
            taken: enrich("received"),
            own: enrich("filtered"),
        })
    }

    fn since(self, before: Self) -> Self {
        Self {
            emitted: self.emitted - before.emitted,
            repeated: self.repeated - before.repeated,
            ring_full: self.ring_full - before.ring_full,
            records: self.records - before.records,
            taken: self.taken - before.taken,
            own: self.own - before.own,
        }
    }

    /// Opens that met a watch and were not the agent's own canaries.
    fn opens(self) -> u64 {
        (self.emitted + self.repeated + self.ring_full).saturating_sub(self.own)
    }
}

/// A store with many findings, and an agent that watches it.
struct Watched {
    _directory: tempfile::TempDir,
    /// Where the findings are, and an ordinary file.
    keys: PathBuf,
    findings: Vec<CString>,
    agent: Agent,
    before: Books,
}

impl Watched {
    fn new() -> Result<Self> {
        let directory = directory()?;
        let store = Store::write(&directory.path().join("store"))?;
        let count = findings();
        let name = |path: PathBuf| Ok(CString::new(path.file_name().context("a name")?.as_bytes())?);
        let findings = store
            .with_keys(count)?
            .into_iter()
            .map(name)
            .collect::<Result<_>>()?;
        let keys = store.diff(&store.upper).join("keys");
        std::fs::write(keys.join("motd"), "welcome to this layer\n")?;
        let agent = started(&store, directory.path(), &["run"], &[])?;
        let found = u32::try_from(count + 4)?;
        agent.wait_for_metric("layerwatch_findings{severity=\"critical\"}", found.into())?;
        let settled = || Books::of(&agent).filter(|books| books.records == books.taken + SELF_CHECK);
        let before = wait_until("all records are taken", deadline(), settled)
            .with_context(|| format!("{:?}", Books::of(&agent)))?;
        Ok(Self {
            _directory: directory,
            keys,
            findings,
            agent,
            before,
        })
    }

    /// Reads of the store by so many threads, at most so many a second.
    fn reads(&self, total: usize, threads: usize, per_second: u32) -> Reads<'_> {
        Reads {
            directory: &self.keys,
            threads,
            total,
            per_second,
        }
    }

    /// What came of so many opens, when all of it is counted and taken.
    fn books(&self, opens: usize) -> Result<Books> {
        let opens = u64::try_from(opens)?;
        let settled = || {
            let books = Books::of(&self.agent)?.since(self.before);
            (books.emitted > 0 && books.opens() >= opens && books.records == books.taken).then_some(books)
        };
        wait_until("the books of all opens", deadline(), settled).with_context(|| {
            format!(
                "{:?}",
                Books::of(&self.agent).map(|books| books.since(self.before))
            )
        })
    }

    /// Files that an alert was told of, and the alerts' ids.
    fn told(&self) -> Result<(BTreeSet<String>, BTreeSet<String>)> {
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let alerts = self.agent.of_kind("alert")?;
        let told = alerts
            .iter()
            .map(|alert| (text(&alert["access"]["path_in_layer"]), text(&alert["id"])));
        Ok(told.unzip())
    }

    /// The most memory that the agent ever had; the kernel sums it up roughly, so it may be less a moment later.
    fn peak_kib(&self) -> Result<u64> {
        let status = text_of(Path::new(&format!("/proc/{}/status", self.agent.id())));
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let number = line.and_then(|line| line.split_whitespace().next());
        Ok(number.context("no VmHWM")?.parse()?)
    }
}

#[test]
fn every_finding_among_a_million_opens_is_told_and_nothing_grows() -> Result<()> {
    /// One finding in so many opens.
    const EVERY: usize = 1000;
    let opens = scaled(1_000_000);
    let watched = Watched::new()?;
    let peak = watched.peak_kib()?;
    let took = watched
        .reads(opens, 4, UNBOUNDED)
        .as_user(|number| match number % EVERY {
            0 => &watched.findings[number / EVERY],
            _ => c"motd",
        })?;
    let books = watched.books(opens)?;
    let grown = watched.peak_kib()?.saturating_sub(peak);
    println!(
        "{opens} opens in {:.1} s: {books:?}, {grown} KiB more",
        took.as_secs_f32()
    );
    assert_eq!((books.opens(), books.ring_full), (u64::try_from(opens)?, 0));
    let findings = opens / EVERY;
    let (files, ids) = wait_until("all alerts", deadline(), || {
        watched.told().ok().filter(|(files, _)| files.len() >= findings)
    })?;
    assert_eq!((files.len(), ids.len()), (findings, findings));
    ensure!(grown < GROWTH_KIB, "the agent grew by {grown} KiB");
    Ok(())
}

#[test]
fn of_a_flood_of_finding_reads_each_is_told_or_counted() -> Result<()> {
    /// For ten seconds, where everything is asked for; reached where two processors have little else to do.
    const PER_SECOND: u32 = 100_000;
    /// More than the agent has, so that it gets no more than its share of the processors.
    const THREADS: usize = 16;
    let (reads, files) = (scaled(usize::try_from(10 * PER_SECOND)?), findings());
    let watched = Watched::new()?;
    let peak = watched.peak_kib()?;
    let took = watched
        .reads(reads, THREADS, PER_SECOND)
        .as_user(|number| &watched.findings[number % files])?;
    let books = watched.books(reads)?;
    let rate = f64::from(u32::try_from(reads)?) / took.as_secs_f64();
    let grown = watched.peak_kib()?.saturating_sub(peak);
    println!("{reads} reads, {rate:.0} a second: {books:?}, {grown} KiB more");
    assert_eq!(books.opens(), u64::try_from(reads)?);
    let (told, _) = wait_until("an alert of each file", deadline(), || {
        watched.told().ok().filter(|(told, _)| told.len() >= files)
    })?;
    assert_eq!(told.len(), files);
    ensure!(grown < GROWTH_KIB, "the agent grew by {grown} KiB");
    Ok(())
}
