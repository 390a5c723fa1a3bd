//! What a scan leaves to the rest of the host: the page cache, and in the agent processor and disk.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use layerwatch_tests::scene::{Agent, KEY};
use layerwatch_tests::{output, skip, wait_until};
use rustix::fs::Advice;

use super::{ENGINES, layerwatch, ready, scene};

const SIZE: u64 = 3 << 20;
const DEADLINE: Duration = Duration::from_mins(2);

/// Writes a file that is on the disk and not in the page cache; false where a file is nowhere else.
fn cold(path: &Path) -> Result<bool> {
    std::fs::write(
        path,
        "nothing to see here\n".repeat(usize::try_from(SIZE)? / 20 + 1),
    )?;
    let file = File::options().write(true).open(path)?;
    file.set_len(SIZE)?;
    evict(path)?;
    Ok(resident(path)? == 0)
}

fn evict(path: &Path) -> Result<()> {
    let file = File::open(path)?;
    file.sync_all()?;
    rustix::fs::fadvise(file.as_fd(), 0, None, Advice::DontNeed)?;
    Ok(())
}

/// How many bytes of a file the page cache has.
fn resident(path: &Path) -> Result<u64> {
    let mut fincore = Command::new("fincore");
    fincore
        .args(["--noheadings", "--bytes", "--output", "RES"])
        .arg(path);
    let shown = String::from_utf8(output(&mut fincore)?.stdout)?;
    shown
        .trim()
        .parse()
        .with_context(|| format!("fincore: {shown:?}"))
}

#[test]
fn the_page_cache_is_as_before() -> Result<()> {
    if !ready("page cache", &[&ENGINES[..], &["fincore"]].concat())? {
        return Ok(());
    }
    let scene = scene()?;
    let tree = scene.path().join("pages");
    std::fs::create_dir(&tree)?;
    let (used, unused, small) = (
        tree.join("used.txt"),
        tree.join("unused.txt"),
        tree.join("small.txt"),
    );
    let found = cold(&used)? && cold(&unused)?;
    std::fs::write(&small, "nothing here either\n")?;
    evict(&small)?;
    if !found || resident(&small)? != 0 {
        return skip("page cache", "the file system keeps every file in memory");
    }
    std::io::copy(&mut File::open(&used)?, &mut std::io::sink())?;
    ensure!(
        resident(&used)? == SIZE,
        "the control: a file that is read is in the cache"
    );
    let tree = tree.display().to_string();
    let done = layerwatch(&scene, &["scan", "-q", "-o", "json", &tree])?;
    let shown: serde_json::Value = serde_json::from_slice(&done.stdout)?;
    let bytes = shown["targets"][0]["bytes"].as_u64();
    assert_eq!(bytes, Some(2 * SIZE + 20), "all of it was read");
    assert_eq!(
        (resident(&used)?, resident(&unused)?, resident(&small)?),
        (SIZE, 0, 0)
    );
    Ok(())
}

/// The scheduling policy of a process, and whether its disk accesses are idle, as the system tells it.
fn priority(process: u32) -> Result<(String, bool)> {
    let told = |program: &str| -> Result<String> {
        let done = output(Command::new(program).args(["-p", &process.to_string()]))?;
        Ok(String::from_utf8_lossy(&done.stdout).into_owned())
    };
    let policy = told("chrt")?;
    let policy = policy.lines().next().and_then(|line| line.rsplit(' ').next());
    Ok((
        policy.unwrap_or_default().to_owned(),
        told("ionice")?.starts_with("idle"),
    ))
}

/// The agent's only child.
fn worker_of(agent: &Agent) -> Result<Option<u32>> {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", agent.id()))?;
    let mut children = String::new();
    for task in tasks {
        children += &layerwatch::bounded::read_text(&task?.path().join("children"), 4096)?;
    }
    Ok(children.split_whitespace().next().and_then(|id| id.parse().ok()))
}

#[test]
fn the_agents_scans_are_idle() -> Result<()> {
    if !ready("scan priority", &[&ENGINES[..], &["chrt", "ionice"]].concat())? {
        return Ok(());
    }
    let scene = scene()?;
    for (setting, policy, is_idle) in [("idle", "SCHED_IDLE", true), ("low", "SCHED_OTHER", false)] {
        let agent = Agent::start(&scene, setting, &["--set", &format!("scan.priority={setting}")])?;
        let wanted = (policy.to_owned(), is_idle);
        // The worker's first act; where it never gets a turn the rest of its work would wait, but not this.
        wait_until(&format!("the worker is {setting}"), DEADLINE, || {
            let worker = worker_of(&agent).ok()??;
            (priority(worker).ok()? == wanted).then_some(())
        })?;
    }
    Ok(())
}

#[test]
fn the_agents_scans_keep_to_their_budget() -> Result<()> {
    if !ready("scan budget", &[&ENGINES[..], &["fincore"]].concat())? {
        return Ok(());
    }
    let scene = scene()?;
    let key = scene.store.find(KEY)?.first().context("the key's layer")?.clone();
    if !cold(&key.with_file_name("aa-big.txt"))? {
        return skip("scan budget", "the file system keeps every file in memory");
    }
    let begun = Instant::now();
    let agent = Agent::start(&scene, "agent", &["--set", "scan.bytes_per_second=1000000"])?;
    // The key's finding comes with the end of its layer's scan.
    wait_until("the layers are scanned", DEADLINE, || {
        let found = agent.metric("layerwatch_findings{severity=\"critical\"}")?;
        (found > 0.0).then_some(())
    })?;
    let took = begun.elapsed();
    ensure!(took > Duration::from_millis(2500), "3 MB at 1 MB/s in {took:?}");
    Ok(())
}
