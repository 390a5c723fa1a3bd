//! What the kernel side is aimed at, held against a report of `layerwatch-cost`: a table that says reached or missed.
//!
//! The aims are those of a monitor that nobody asks the cost of: a few hundredths of an open, and a tenth of what others
//! add. A figure that is missed is explained by hand in docs/performance.md.

use std::fmt::Write as _;

use anyhow::Result;
use layerwatch_tests::cost::{Contender, Report, Unit, rows};

use super::tables::measured;

/// At most so many hundredths more, by the row, on tiers with a trampoline.
const OPEN_PERCENT: f64 = 5.0;
const READ_PERCENT: f64 = 2.0;
/// The same in time on the tier that looks at each system call.
const TIME_PERCENT: f64 = 30.0;
/// How many times less is added than a peer adds.
const TIMES_LESS: f64 = 10.0;
const PEERS: [(&str, &str); 2] = [
    ("bpftrace's opensnoop", rows::ELSEWHERE),
    ("fatrace", rows::BESIDE),
];

/// The table; empty where nobody was measured.
pub(super) fn of(report: &Report, unit: Unit) -> Result<String> {
    let mut text = String::from("| aimed at | row | found | |\n|---|---|--:|---|\n");
    for us in measured(report).filter(|one| one.name.starts_with("layerwatch")) {
        for (row, most) in aims(us, unit) {
            let Some((added, nobody)) = added(report, us, row) else {
                continue;
            };
            let percent = added / nobody * 100.0;
            writeln!(
                text,
                "| {}: at most {most} % more | {row} | {percent:+.1} % | {} |",
                us.name,
                word(percent <= most)
            )?;
        }
        for (name, row) in PEERS {
            let peer = measured(report).find(|one| one.name == name);
            let of_peer = peer.and_then(|peer| Some(added(report, peer, row)?.0));
            let (Some(of_peer), Some((ours, _))) = (of_peer, added(report, us, row)) else {
                continue;
            };
            // Less than nothing is noise.
            let times = of_peer / ours.max(1.0);
            writeln!(
                text,
                "| {}: at least {TIMES_LESS} times less than {name} | {row} | {times:.1} | {} |",
                us.name,
                word(times >= TIMES_LESS)
            )?;
        }
    }
    text.push('\n');
    Ok(text)
}

fn aims(us: &Contender, unit: Unit) -> Vec<(&'static str, f64)> {
    let opens = |most| [(rows::ELSEWHERE, most), (rows::BESIDE, most)];
    match unit {
        Unit::Nanoseconds => opens(TIME_PERCENT).to_vec(),
        Unit::Instructions if us.name.ends_with("tier A") || us.name.ends_with("tier B") => {
            let mut aims = opens(OPEN_PERCENT).to_vec();
            aims.extend([(rows::CONTAINED, OPEN_PERCENT), (rows::READ, READ_PERCENT)]);
            aims
        }
        Unit::Instructions => Vec::new(),
    }
}

/// What somebody adds to a row, done by one thread, and what it costs without.
fn added(report: &Report, of: &Contender, row: &str) -> Option<(f64, f64)> {
    let is_it = |one: &layerwatch_tests::cost::Row| one.what == row && one.threads == 1;
    let number = report.rows.iter().position(is_it)?;
    let nobody = report.contenders.first()?.least(number)?;
    Some((of.least(number)? - nobody, nobody))
}

fn word(reached: bool) -> &'static str {
    if reached { "reached" } else { "missed" }
}

#[cfg(test)]
mod tests {
    use layerwatch_tests::cost::Row;

    use super::*;

    #[test]
    fn each_aim_is_reached_or_missed() {
        let contender = |name: &str, costs: &[f64]| Contender {
            name: name.to_owned(),
            refused: None,
            rounds: vec![costs.to_vec()],
        };
        let row = |what: &str| Row {
            what: what.to_owned(),
            threads: 1,
        };
        let report = Report {
            kernel: String::new(),
            processor: String::new(),
            rows: vec![row(rows::ELSEWHERE), row(rows::READ)],
            contenders: vec![
                contender("none", &[1000.0, 1000.0]),
                contender("layerwatch, tier B", &[1040.0, 1030.0]),
                contender("layerwatch, tier C", &[1100.0, 1030.0]),
                contender("bpftrace's opensnoop", &[1500.0, 1000.0]),
            ],
            records: Vec::new(),
            programs: Vec::new(),
        };
        let ends = |unit| {
            let text = of(&report, unit).unwrap();
            let rows = text.trim_end().lines().skip(2);
            rows.map(|row| row.split(" | ").skip(2).collect::<Vec<_>>().join(" "))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            ends(Unit::Instructions),
            [
                "+4.0 % reached |",
                "+3.0 % missed |",
                "12.5 reached |",
                "5.0 missed |"
            ]
        );
        assert_eq!(ends(Unit::Nanoseconds)[0], "+4.0 % reached |");
    }
}
