//! The measurement: each round meets every contender, so that a drift of the machine meets all of them.
//!
//! A contender that does not start is out for good, with the reason it gave; it stays in the table.

use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use layerwatch_tests::cost::{Contender, Plan, Program, Records, Report, Unit};
use layerwatch_tests::scene::Agent;
use layerwatch_tests::{text_of, wait_until};

use super::contenders::{Kind, Running};
use super::ground::{Ground, Operation, Workers};
use super::programs::Statistics;
use super::worker::{Action, Figures, Request};

/// How many times a row is done in one chunk, and how many chunks there are. A timed chunk is short enough to fall between
/// two interruptions on a machine that has other work.
const TIMED: (u32, usize) = (400, 60);
const COUNTED: (u32, usize) = (200, 11);
/// How often a machine may be looked at until it is settled, and how little it then differs.
const SETTLE_ROUNDS: usize = 40;
const SETTLED: f64 = 0.005;
/// How much of a reason stands in the table.
const REASON_LINES: usize = 4;
const REASON_LENGTH: usize = 600;
const COUNTERS_DEADLINE: Duration = Duration::from_mins(1);
/// How many opens make a mark.
const MARK: u32 = 100;

/// Measures by a plan.
pub(crate) fn run(plan: &Plan) -> Result<Report> {
    let ground = Ground::new()?;
    let operations = ground.operations(&plan.threads);
    let kinds = Kind::all(plan);
    let mut contenders: Vec<_> = kinds.iter().map(new).collect();
    // Born before audit is on, so that its price is its own.
    let mut workers = ground.workers()?;
    settle(plan, &operations, &mut workers)?;
    for round in 0..plan.rounds {
        for (number, (kind, contender)) in kinds.iter().zip(&mut contenders).enumerate() {
            if contender.refused.is_some() {
                continue;
            }
            say(&format!(
                "round {} of {}: {}",
                round + 1,
                plan.rounds,
                contender.name
            ));
            let directory = ground.directory.path().join(format!("run-{round}-{number}"));
            match once(plan, &ground, kind, &directory, &operations, &mut workers) {
                Ok(costs) => {
                    say(&format!("{costs:.0?}"));
                    contender.rounds.push(costs);
                }
                Err(error) => contender.refused = Some(one_line(&error)),
            }
        }
    }
    let (programs, records) = statistics(plan, &ground, &operations, &mut workers)?;
    Ok(Report {
        kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
        processor: processor(),
        rows: operations.into_iter().map(|operation| operation.row).collect(),
        contenders,
        records,
        programs,
    })
}

/// Does everything unmeasured until it costs the same twice: a machine that has just booted has other things to do.
fn settle(plan: &Plan, operations: &[Operation], workers: &mut Workers) -> Result<()> {
    let mut before = f64::INFINITY;
    for _ in 0..SETTLE_ROUNDS {
        let costs = operations
            .iter()
            .map(|operation| Ok(perform(plan, operation, workers)?.middle));
        let sum: f64 = costs.sum::<Result<f64>>()?;
        if (sum / before - 1.0).abs() < SETTLED {
            return Ok(());
        }
        before = sum;
    }
    say("the machine does not settle");
    Ok(())
}

fn new(kind: &Kind) -> Contender {
    Contender {
        name: kind.name(),
        refused: None,
        rounds: Vec::new(),
    }
}

/// All rows under one contender.
fn once(
    plan: &Plan,
    ground: &Ground,
    kind: &Kind,
    directory: &Path,
    operations: &[Operation],
    workers: &mut Workers,
) -> Result<Vec<f64>> {
    let running = kind.start(plan, ground, directory)?;
    let mut born_since = matches!(running, Running::Audit { .. })
        .then(|| ground.workers())
        .transpose()?;
    let workers = born_since.as_mut().unwrap_or(workers);
    let costs = operations.iter().map(|operation| {
        let figures = perform(plan, operation, workers)?;
        Ok(match plan.unit {
            Unit::Nanoseconds => figures.least,
            Unit::Instructions => figures.middle,
        })
    });
    let costs = costs.collect();
    drop(running);
    costs
}

fn perform(plan: &Plan, operation: &Operation, workers: &mut Workers) -> Result<Figures> {
    let (size, chunks) = amount(plan);
    let request = Request {
        action: operation.action,
        path: operation.path.clone(),
        threads: operation.row.threads,
        chunks,
        size,
    };
    let worker = if operation.contained {
        &mut workers.contained
    } else {
        &mut workers.plain
    };
    worker.ask(&request).with_context(|| operation.row.what.clone())
}

fn amount(plan: &Plan) -> (u32, usize) {
    match plan.unit {
        Unit::Nanoseconds => TIMED,
        Unit::Instructions => COUNTED,
    }
}

/// The programs of each contender that has any, and what the agent's put into the ring, row by row.
fn statistics(
    plan: &Plan,
    ground: &Ground,
    operations: &[Operation],
    workers: &mut Workers,
) -> Result<(Vec<Program>, Vec<Records>)> {
    let (mut programs, mut records) = (Vec::new(), Vec::new());
    let with_programs = |kind: &Kind| {
        matches!(
            kind,
            Kind::Layerwatch(_) | Kind::Idle(_) | Kind::Bpftrace | Kind::LibbpfTools
        )
    };
    for (number, kind) in Kind::all(plan)
        .iter()
        .enumerate()
        .filter(|(_, kind)| with_programs(kind))
    {
        let name = kind.name();
        say(&format!("statistics: {name}"));
        let statistics = Statistics::begin()?;
        let directory = ground.directory.path().join(format!("statistics-{number}"));
        // Why it does not start stands in the table.
        let Ok(running) = kind.start(plan, ground, &directory) else {
            continue;
        };
        for operation in operations.iter().filter(|operation| operation.row.threads == 1) {
            let before = emitted(&running)?;
            perform(plan, operation, workers)?;
            if let (Some(before), Running::Agent(agent), Action::Open) = (before, &running, operation.action)
            {
                workers.plain.ask(&mark(ground))?;
                records.push(received(plan, ground, agent, operation, before, &name)?);
            }
        }
        programs.extend(statistics.programs(&name)?);
    }
    Ok((programs, records))
}

/// What is done behind a row, so that its end is seen in the counters: opens on other devices are not counted.
fn mark(ground: &Ground) -> Request {
    Request {
        action: Action::Open,
        path: ground.finding(),
        threads: 1,
        chunks: 1,
        size: MARK,
    }
}

/// Waits until the agent has counted what was done and the mark behind it, and takes what it emitted for the row.
fn received(
    plan: &Plan,
    ground: &Ground,
    agent: &Agent,
    operation: &Operation,
    before: u64,
    name: &str,
) -> Result<Records> {
    let (size, chunks) = amount(plan);
    let done = u64::from(size) * u64::try_from(chunks)?;
    let emits = operation.path == ground.finding();
    let least = before + u64::from(MARK) + if emits { done } else { 0 };
    let after = wait_until("the agent's counters", COUNTERS_DEADLINE, || {
        counted(agent).filter(|after| *after >= least)
    })
    .with_context(|| operation.row.what.clone())?;
    Ok(Records {
        contender: name.to_owned(),
        what: operation.row.what.clone(),
        done,
        emitted: after - before - u64::from(MARK),
    })
}

fn emitted(running: &Running) -> Result<Option<u64>> {
    match running {
        Running::Agent(agent) => counted(agent).context("the agent counts").map(Some),
        Running::Nobody | Running::Idle { .. } | Running::Peer { .. } | Running::Audit { .. } => Ok(None),
    }
}

fn counted(agent: &Agent) -> Option<u64> {
    emitted_in(&agent.metrics().ok()?.body)
}

/// The records of all accesses, and those the ring had no room for.
fn emitted_in(metrics: &str) -> Option<u64> {
    let mut emitted = 0;
    for line in metrics.lines() {
        let Some(series) = line.strip_prefix("layerwatch_kernel_events_total{") else {
            continue;
        };
        let (labels, value) = series.rsplit_once(' ')?;
        let value: u64 = value.parse().ok()?;
        let in_ring = labels.contains("outcome=\"emitted\"") || labels.contains("outcome=\"ring-full\"");
        if in_ring && !labels.contains("hook=\"process\"") {
            emitted += value;
        }
    }
    Some(emitted)
}

fn processor() -> String {
    let text = text_of(Path::new("/proc/cpuinfo"));
    let models = text
        .lines()
        .filter_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let models: Vec<_> = models.map(|(_, model)| model).collect();
    format!("{} x {}", models.len(), models.first().unwrap_or(&"?"))
}

/// The end of what an error says: of a program's log, which may be long, the last lines.
fn one_line(error: &anyhow::Error) -> String {
    let text = format!("{error:#}");
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let mut lines: Vec<_> = lines.collect();
    lines.drain(..lines.len().saturating_sub(REASON_LINES));
    lines.join("; ").chars().take(REASON_LENGTH).collect()
}

fn say(line: &str) {
    writeln!(std::io::stderr(), "{line}").unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_agents_counters_are_added_up_over_its_hooks() {
        let check = |metrics: &str, emitted| assert_eq!(emitted_in(metrics), Some(emitted), "{metrics}");
        check("", 0);
        check(
            "# HELP layerwatch_kernel_events_total x\n\
             layerwatch_kernel_events_total{hook=\"sys-exit\",outcome=\"emitted\"} 2\n\
             layerwatch_kernel_events_total{hook=\"sys-exit\",outcome=\"ignored\"} 5\n\
             layerwatch_kernel_incomplete_total{hook=\"sys-exit\",reason=\"read-error\"} 7\n\
             layerwatch_kernel_events_total{hook=\"process\",outcome=\"emitted\"} 9\n\
             layerwatch_kernel_events_total{hook=\"rename\",outcome=\"ring-full\"} 1\n",
            3,
        );
    }
}
