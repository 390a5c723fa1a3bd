//! What was lost while no agent ran is said by the next, exactly: what the full ring refused, and how often the kernel ran
//! no program. Both are figures of the kernel's, of programs that the next agent takes over and did not load.

use anyhow::{Context as _, Result};
use layerwatch_tests::scene::Agent;
use layerwatch_tests::{text_of, wait_until};
use serde_json::json;

use super::{Host, deadline};
use crate::fixture::emulated;
use crate::loss::{Reads, UNBOUNDED};

/// Findings that are read in turn.
const FINDINGS: usize = 10;
/// More than the ring holds.
const READS: usize = 20_000;

#[test]
fn what_was_lost_between_two_agents_is_told_by_the_next() -> Result<()> {
    let host = Host::new(FINDINGS)?;
    let mut agent = host.agent()?;
    agent.wait_for_metric("layerwatch_findings{severity=\"critical\"}", 14.0)?;
    agent.stop()?;
    drop(agent);

    let keys: Vec<_> = (0..FINDINGS)
        .map(|number| std::ffi::CString::new(format!("{number:05}.key")))
        .collect::<Result<_, _>>()?;
    let reads = Reads {
        directory: &host.store.diff(&host.store.upper).join("keys"),
        // Where the kernel interrupts tasks inside it, programs are left out then.
        threads: if emulated() { 100 } else { 4 },
        total: READS,
        per_second: UNBOUNDED,
    };
    reads.as_user(|number| &keys[number % FINDINGS])?;

    let agent = host.agent()?;
    let refused = "layerwatch_kernel_events_total{hook=\"open\",outcome=\"ring-full\"}";
    let refused = || agent.metric(refused).filter(|count| *count >= 1.0);
    let lost = wait_until("the ring refused some", deadline(), refused).with_context(|| agent.log())?;
    let told = wait_until("the loss is said", deadline(), || {
        let lines = agent.of_kind("state").ok()?;
        lines.into_iter().find(|line| line["alert"] == "EventsLost")
    })
    .with_context(|| agent.log())?;
    let left_out = left_out(&agent)?;
    println!("{READS} reads: {lost} refused by the ring, {left_out} times no program ran");
    let detail = format!(
        "{lost} events lost between the kernel and the event plane, {left_out} times the kernel ran no program at a hook"
    );
    assert_eq!(json!([told["active"], told["detail"]]), json!([true, detail]));
    // What the ring had room for is told all the same.
    let emitted = wait_until("all files are told", deadline(), || {
        let files = super::told(&agent.lines().ok()?).1;
        (files.len() == FINDINGS).then_some(files.len())
    })?;
    assert_eq!(emitted, FINDINGS);
    Ok(())
}

/// How often the kernel left out a program that the agent has open, by the kernel's own word.
fn left_out(agent: &Agent) -> Result<u64> {
    let mut sum = 0;
    for entry in std::fs::read_dir(format!("/proc/{}/fdinfo", agent.id()))? {
        let shown = text_of(&entry?.path());
        let figure = shown
            .lines()
            .find_map(|line| line.strip_prefix("recursion_misses:"));
        sum += figure.map_or(Ok(0), |figure| figure.trim().parse::<u64>())?;
    }
    Ok(sum)
}
