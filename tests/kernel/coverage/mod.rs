//! The evasion matrix: every way to read, against what the kernel programs report of it.
//!
//! One test goes through the whole table with one tracer, so that a machine pays for one load. What each way came to
//! is written to `LAYERWATCH_CELLS` as lines, of which `cargo xtask test` makes and checks docs/coverage.md.

mod ground;
mod rows;

use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use layerwatch::decode::{BootClock, decode};
use layerwatch::judge::subject_uid;
use layerwatch_ebpf::{Record, kinds};
use layerwatch_tests::{output, program};

use self::ground::{CONTENT, Ground, PROOF};
use self::rows::{Expected, ROWS, Records, Row};
use crate::fixture::{Layer, USER, wire};

/// Exit status of a way that this kernel lacks.
const ABSENT: i32 = 77;

/// What became of a way.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Outcome {
    /// One record, as it should be, and at which moment.
    Seen(&'static str),
    Unseen,
    /// The kernel has no such way; what the reader said.
    Absent(String),
    /// The wrong user, layer or number of records.
    Wrong(String),
}

impl Outcome {
    fn meets(&self, expected: Expected) -> bool {
        match self {
            Self::Seen(_) => expected == Expected::Seen,
            Self::Unseen => matches!(expected, Expected::Unseen(_)),
            Self::Absent(_) => true,
            Self::Wrong(_) => false,
        }
    }

    /// The page's word, and the reason for it.
    fn words(&self, expected: Expected) -> (String, String) {
        match (self, expected) {
            (Self::Seen(moment), _) => ((*moment).to_owned(), String::new()),
            (Self::Unseen, Expected::Unseen(reason)) => ("unseen".to_owned(), reason.to_owned()),
            (Self::Unseen, Expected::Seen) => ("MISSED".to_owned(), String::new()),
            (Self::Absent(reason), _) => ("absent".to_owned(), reason.clone()),
            (Self::Wrong(what), _) => ("WRONG".to_owned(), what.clone()),
        }
    }
}

#[test]
fn every_way_to_read_is_seen_as_the_table_says() -> Result<()> {
    let reader = program("layerwatch-reader")?;
    the_reader_has_the_tables_ways(&reader)?;
    let mut ground = None;
    let mut layer = Layer::with(|directory, watched| {
        ground = Some(Ground::make(directory, watched)?);
        Ok(())
    })?;
    let ground = ground.context("the layer was prepared")?;
    let column = Tiers::of(layer.tier.as_str())?;
    layer.everything().context("before the first way")?;
    let mut cells = Vec::new();
    let mut unmet = Vec::new();
    for row in ROWS {
        let outcome = tried(row, &reader, &ground, &mut layer).with_context(|| row.way)?;
        let expected = column.expected(row);
        let (word, reason) = outcome.words(expected);
        cells.push(format!("{}\t{}\t{word}\t{reason}\n", layer.tier, row.way));
        if !outcome.meets(expected) {
            unmet.push(format!("{}: {word} {reason}", row.way));
        }
    }
    record(&cells.concat())?;
    ensure!(unmet.is_empty(), "tier {}:\n{}", layer.tier, unmet.join("\n"));
    Ok(())
}

/// The position of a tier's answer in a row.
struct Tiers(usize);

impl Tiers {
    fn of(tier: &str) -> Result<Self> {
        let position = ["A", "B", "C", "D"].iter().position(|name| *name == tier);
        position
            .map(Self)
            .with_context(|| format!("the table has no tier {tier}"))
    }

    fn expected(&self, row: &Row) -> Expected {
        row.expected[self.0]
    }
}

/// No way of the reader's without a row, no row without a way.
fn the_reader_has_the_tables_ways(reader: &Path) -> Result<()> {
    let list = output(Command::new(reader).arg("list"))?;
    let mut ways: Vec<_> = str::from_utf8(&list.stdout)?.lines().collect();
    let mut acts: Vec<_> = ROWS.iter().map(|row| row.act).collect();
    acts.sort_unstable();
    acts.dedup();
    ways.sort_unstable();
    assert_eq!(ways, acts);
    Ok(())
}

fn tried(row: &Row, reader: &Path, ground: &Ground, layer: &mut Layer) -> Result<Outcome> {
    let spare = tempfile::tempdir_in(layer.path("elsewhere"))?;
    std::os::unix::fs::chown(spare.path(), Some(USER), Some(USER))?;
    let (root, file) = ground.paths(row.target);
    let mut command = Command::new(reader);
    let done = output(command.arg(row.act).arg(root).arg(file).arg(spare.path()))?;
    let records = layer.everything()?;
    let said = String::from_utf8_lossy(&done.stderr).trim().to_owned();
    match done.status.code() {
        Some(0) => {}
        Some(ABSENT) => return Ok(Outcome::Absent(said)),
        _ => bail!("the reader ended with {}: {said}", done.status),
    }
    let got = String::from_utf8_lossy(&done.stdout);
    ensure!(
        got.contains(PROOF) == row.delivers,
        "the reader printed {got:?} of {CONTENT:?}"
    );
    judged(row, ground, &records)
}

fn judged(row: &Row, ground: &Ground, records: &[Record]) -> Result<Outcome> {
    let (file, watch) = (wire(ground.key(row.target)?), wire(ground.watch(row.target)?));
    // Two processes that hold it are two records, one process is one.
    let (mut processes, mut moments) = (Vec::new(), Vec::new());
    // By number alone: whatever has it, on any device, must be the file.
    for record in records.iter().filter(|record| record.file.ino == file.ino) {
        let subject = subject_uid(&decode(bytemuck::bytes_of(record), &clock())?);
        if row.root_opens && subject == 0 {
            continue;
        }
        if subject != row.subject {
            return Ok(Outcome::Wrong(format!("uid {subject}, {}", moment(record))));
        }
        if (record.file, record.watch) != (file, watch) {
            return Ok(Outcome::Wrong(format!("{:?} by {:?}", record.file, record.watch)));
        }
        processes.push(record.tgid);
        moments.push(moment(record));
    }
    processes.sort_unstable();
    let once_each = processes.windows(2).all(|two| two[0] != two[1]);
    Ok(match moments.as_slice() {
        [] => Outcome::Unseen,
        [first, ..] if row.records == Records::Several => Outcome::Seen(first),
        [_, ..] if once_each && row.records == Records::AnyMoment => Outcome::Seen("seen"),
        [.., last] if once_each => Outcome::Seen(last),
        _ => Outcome::Wrong(format!("{} records: {}", moments.len(), moments.join(", "))),
    })
}

/// When it was seen.
fn moment(record: &Record) -> &'static str {
    match record.kind {
        kinds::OPEN_FINDING | kinds::OPEN_CONTENT => "seen",
        kinds::MAP_FINDING => "seen when mapped",
        kinds::READ_FINDING => "seen when read",
        kinds::RECEIVE_FINDING => "seen when received",
        kinds::HOLD_FINDING => "seen when held",
        _ => "seen as something else",
    }
}

/// Times do not matter here.
fn clock() -> BootClock {
    BootClock {
        boot_time: jiff::Timestamp::UNIX_EPOCH,
        boot_id: String::new(),
    }
}

fn record(cells: &str) -> Result<()> {
    let Some(file) = std::env::var_os("LAYERWATCH_CELLS") else {
        return Ok(());
    };
    let mut list = std::fs::OpenOptions::new().create(true).append(true).open(file)?;
    list.write_all(cells.as_bytes()).context("record the cells")
}
