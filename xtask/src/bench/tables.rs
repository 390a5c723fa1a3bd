//! A report of `layerwatch-cost` as tables of a page.

use std::fmt::Write as _;
use std::process::Command;

use anyhow::Result;
use layerwatch_tests::cost::{Contender, Report, Unit};

use super::targets;
use crate::process;

/// The whole section.
pub(super) fn of(report: &Report, unit: Unit) -> Result<String> {
    let date = process::output(Command::new("date").args(["--utc", "+%Y-%m-%d"]))?;
    let mut text = match unit {
        Unit::Nanoseconds => format!(
            "{}, Linux {}, {}. Nanoseconds; the least of the rounds.\n\n",
            date.trim(),
            report.kernel,
            report.processor
        ),
        Unit::Instructions => format!(
            "{}, Linux {}, one virtual processor. Instructions of the whole machine; the least of the rounds.\n\n",
            date.trim(),
            report.kernel
        ),
    };
    costs(&mut text, report)?;
    text.push('\n');
    ratios(&mut text, report)?;
    text.push_str(&targets::of(report, unit)?);
    for contender in &report.contenders {
        if let Some(reason) = &contender.refused {
            writeln!(text, "Not measured: {}: {reason}.\n", contender.name)?;
        }
    }
    programs(&mut text, report, unit)?;
    records(&mut text, report)?;
    Ok(text)
}

pub(super) fn measured(report: &Report) -> impl Iterator<Item = &Contender> {
    report
        .contenders
        .iter()
        .filter(|contender| contender.refused.is_none())
}

/// Per row: nobody's cost with its drift over the rounds, then what each contender adds.
fn costs(text: &mut String, report: &Report) -> Result<()> {
    let Some((nobody, others)) = report.contenders.split_first() else {
        return Ok(());
    };
    let others: Vec<_> = others
        .iter()
        .filter(|contender| contender.refused.is_none())
        .collect();
    write!(
        text,
        "| what is done | threads | without a monitor, least–greatest of the rounds |"
    )?;
    for contender in &others {
        write!(text, " {} |", contender.name)?;
    }
    writeln!(text, "\n|---|--:|--:|{}", "--:|".repeat(others.len()))?;
    for (number, row) in report.rows.iter().enumerate() {
        let (Some(least), Some(greatest)) = (nobody.least(number), nobody.greatest(number)) else {
            continue;
        };
        write!(
            text,
            "| {} | {} | {least:.0}–{greatest:.0} |",
            row.what, row.threads
        )?;
        for contender in &others {
            match contender.least(number) {
                Some(cost) => write!(
                    text,
                    " {:+.0} ({:+.1} %) |",
                    cost - least,
                    (cost / least - 1.0) * 100.0
                )?,
                None => write!(text, " |")?,
            }
        }
        text.push('\n');
    }
    Ok(())
}

/// Per row: how many times what Layerwatch adds each peer adds.
fn ratios(text: &mut String, report: &Report) -> Result<()> {
    let Some(nobody) = report.contenders.first() else {
        return Ok(());
    };
    let ours = |contender: &Contender| contender.name.starts_with("layerwatch");
    for us in measured(report).filter(|contender| ours(contender)) {
        let peers: Vec<_> = measured(report)
            .skip(1)
            .filter(|contender| !ours(contender) && !contender.name.starts_with("empty"))
            .collect();
        write!(
            text,
            "| added, as a multiple of what {} adds | threads |",
            us.name
        )?;
        for peer in &peers {
            write!(text, " {} |", peer.name)?;
        }
        writeln!(text, "\n|---|--:|{}", "--:|".repeat(peers.len()))?;
        for (number, row) in report.rows.iter().enumerate() {
            let added = |contender: &Contender| Some(contender.least(number)? - nobody.least(number)?);
            let Some(own) = added(us) else { continue };
            write!(text, "| {} | {} |", row.what, row.threads)?;
            for peer in &peers {
                write!(text, " {} |", multiple(own, added(peer)))?;
            }
            text.push('\n');
        }
        text.push('\n');
    }
    Ok(())
}

/// A multiple of what is not there, or is only noise, is none.
fn multiple(own: f64, peer: Option<f64>) -> String {
    match peer {
        Some(peer) if own >= 1.0 => format!("{:.1}", peer / own),
        Some(_) | None => "–".to_owned(),
    }
}

fn programs(text: &mut String, report: &Report, unit: Unit) -> Result<()> {
    let per_run = match unit {
        Unit::Nanoseconds => "ns per run",
        Unit::Instructions => "instructions per run, with those of the counting",
    };
    writeln!(
        text,
        "| BPF program | of | runs | {per_run} | verified instructions | bytes of machine code |"
    )?;
    writeln!(text, "|---|---|--:|--:|--:|--:|")?;
    for program in &report.programs {
        let verified = program
            .verified
            .map_or("not told".to_owned(), |verified| verified.to_string());
        writeln!(
            text,
            "| `{}` | {} | {} | {:.0} | {verified} | {} |",
            program.name, program.contender, program.runs, program.cost, program.machine_bytes
        )?;
    }
    text.push('\n');
    Ok(())
}

fn records(text: &mut String, report: &Report) -> Result<()> {
    writeln!(
        text,
        "| what is done | by | times | ring records |\n|---|---|--:|--:|"
    )?;
    for records in &report.records {
        writeln!(
            text,
            "| {} | {} | {} | {} |",
            records.what, records.contender, records.done, records.emitted
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use layerwatch_tests::cost::Row;

    use super::*;

    fn contender(name: &str, rounds: &[f64]) -> Contender {
        Contender {
            name: name.to_owned(),
            refused: None,
            rounds: rounds.iter().map(|cost| vec![*cost]).collect(),
        }
    }

    #[test]
    fn added_cost_and_its_multiples_are_of_the_least_of_the_rounds() {
        let refused = Contender {
            refused: Some("because".to_owned()),
            ..contender("absent", &[])
        };
        let report = Report {
            kernel: String::new(),
            processor: String::new(),
            rows: vec![Row {
                what: "open".to_owned(),
                threads: 2,
            }],
            contenders: vec![
                contender("none", &[120.0, 100.0]),
                contender("layerwatch", &[130.0, 110.0]),
                refused,
                contender("peer", &[200.0, 210.0]),
            ],
            records: Vec::new(),
            programs: Vec::new(),
        };
        let mut text = String::new();
        costs(&mut text, &report).unwrap();
        assert_eq!(
            text.lines().last().unwrap(),
            "| open | 2 | 100–120 | +10 (+10.0 %) | +100 (+100.0 %) |"
        );
        text.clear();
        ratios(&mut text, &report).unwrap();
        assert_eq!(text.trim_end().lines().last().unwrap(), "| open | 2 | 10.0 |");
        assert_eq!(multiple(0.2, Some(3.0)), "–");
    }
}
