//! `cargo xtask bench store`: the agent on a store of a million files: its memory, what it costs while nothing happens, what a
//! pull costs, and what it costs to tell whose a file is.
//!
//! The store is that of `bench find`, with a private key in each image's base layer. The agent must be able to load its kernel
//! programs here. Its processor time is that of `proc_pid_stat(5)`, without its scanner's; other times are from what is asked over
//! HTTP, 10 ms apart, which the agent answers out of the same time.

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use super::find::{self, IMAGES, LAYERS};
use super::page;
use crate::workspace::Workspace;
use crate::{build, files, say};

const LOOK: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_mins(15);
const IDLE: Duration = Duration::from_mins(1);
const FINDINGS: &str = "layerwatch_findings{severity=\"critical\"}";
/// Opens of each key, so many at once: the ring holds more.
const OPENED: usize = 20;
const ROUNDS: usize = 10;
const PULLS: usize = 3;

/// Runs the agent and puts the figures into the page.
pub(super) fn run(workspace: &Workspace) -> Result<()> {
    let binary = build::agent(workspace, &build::Options { release: true })?;
    let directory = workspace.target.join("bench/find");
    let store = directory.join("store");
    find::make_once(&store)?;
    find::write_indexes(&store, IMAGES)?;
    let key = key(&directory)?;
    for image in 0..IMAGES {
        std::fs::write(secret(&store, image), &key)?;
    }
    let state = directory.join("state");
    if state.exists() {
        std::fs::remove_dir_all(&state).context("remove what an agent kept")?;
    }
    std::fs::create_dir(&state)?;
    let begun = Instant::now();
    let agent = Agent::start(&binary, &store, &state)?;
    let mut table = Table::default();
    agent.wait_for("ready", |agent| agent.get("/-/ready").is_ok())?;
    table.row(
        "ready: all layers known and watched, s",
        &seconds(begun.elapsed()),
    );
    agent.wait_for_findings(IMAGES)?;
    table.row("all scanned, s", &seconds(begun.elapsed()));
    let scanned = agent.processor()?;
    table.row(
        "the agent's processor time until then, s",
        &format!("{scanned:.1}"),
    );
    say::progress("bench: an idle minute");
    std::thread::sleep(IDLE);
    let idle = agent.processor()? - scanned;
    table.row(
        "processor time of a minute in which nothing happens, s",
        &format!("{idle:.2}"),
    );
    for pull in 1..=PULLS {
        let cost = agent.pull(&store, IMAGES + pull, &key)?;
        table.row(
            &format!("pull {pull}: known, scanned, s; processor time, s"),
            &cost,
        );
    }
    let opens = agent.opens(&store)?;
    table.row(
        "an open of a file with a finding, from the ring to the verdict: processor time, ms",
        &opens,
    );
    for (name, kilobytes) in agent.memory()? {
        table.row(
            &format!("{name}: memory at its highest, MB"),
            &(kilobytes / 1024).to_string(),
        );
    }
    drop(agent);
    find::write_indexes(&store, IMAGES)?;
    say::progress(&table.0);
    page::update(workspace, page::PERFORMANCE, "store", &table.0)
}

/// What was measured, and the figure.
struct Table(String);

impl Default for Table {
    fn default() -> Self {
        Self("| what | figure |\n|---|---|\n".to_owned())
    }
}

impl Table {
    fn row(&mut self, what: &str, figure: &str) {
        for part in ["| ", what, " | ", figure, " |\n"] {
            self.0.push_str(part);
        }
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.2}", time.as_secs_f64())
}

/// A key, made once.
fn key(directory: &Path) -> Result<String> {
    let file = directory.join("key");
    if !file.exists() {
        let made = Command::new("openssl")
            .args(["genpkey", "-algorithm", "ED25519", "-out"])
            .arg(&file)
            .status()?;
        ensure!(made.success(), "openssl made no key");
    }
    files::read_text(&file)
}

/// Where an image has the key.
fn secret(store: &Path, image: usize) -> PathBuf {
    find::content(store, image, 0).join("usr/share/d0/secret.key")
}

struct Agent {
    child: Child,
    port: u16,
}

impl Agent {
    fn start(binary: &Path, store: &Path, state: &Path) -> Result<Self> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let log = File::create(state.join("log"))?;
        let child = Command::new(binary)
            .arg("run")
            .args(["--set", &format!("stores.roots={}", store.display())])
            .args([
                "--set",
                &format!("state_directory={}", state.join("state").display()),
            ])
            .args(["--set", &format!("web.listen=127.0.0.1:{port}")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .context("start the agent")?;
        Ok(Self { child, port })
    }

    fn get(&self, path: &str) -> Result<String> {
        let answer = layerwatch_tests::get(self.port, path)?;
        ensure!(answer.status == 200, "{path}: {}", answer.status);
        Ok(answer.body)
    }

    fn metric(&self, series: &str) -> Result<f64> {
        let body = self.get("/metrics")?;
        let line = body
            .lines()
            .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        Ok(line.with_context(|| format!("no {series}"))?.trim().parse()?)
    }

    fn is_at_least(&self, series: &str, count: usize) -> bool {
        let count = u32::try_from(count).map(f64::from);
        self.metric(series)
            .is_ok_and(|value| count.is_ok_and(|count| value >= count - 0.5))
    }

    fn wait_for_findings(&self, count: usize) -> Result<()> {
        self.wait_for("the scans", |agent| agent.is_at_least(FINDINGS, count))
    }

    fn wait_for(&self, what: &str, is_there: impl Fn(&Self) -> bool) -> Result<()> {
        let begun = Instant::now();
        while !is_there(self) {
            if begun.elapsed() > LONGEST {
                bail!("{what}: not within {} minutes", LONGEST.as_secs() / 60);
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    /// The image with this number arrives; what that cost.
    fn pull(&self, store: &Path, count: usize, key: &str) -> Result<String> {
        let image = count - 1;
        for layer in 0..LAYERS {
            find::fill(&find::content(store, image, layer), image)?;
        }
        std::fs::write(secret(store, image), key)?;
        let before = self.processor()?;
        let begun = Instant::now();
        find::write_indexes(store, count)?;
        let images = "layerwatch_images{driver=\"overlay\"}";
        self.wait_for("the image", |agent| agent.is_at_least(images, count))?;
        let known = begun.elapsed();
        self.wait_for_findings(count)?;
        let scanned = begun.elapsed();
        let processor = self.processor()? - before;
        Ok(format!(
            "{}, {}; {processor:.2}",
            seconds(known),
            seconds(scanned)
        ))
    }

    /// Opens the keys, as root: what is no alert is attributed and judged all the same.
    fn opens(&self, store: &Path) -> Result<String> {
        let judged = "layerwatch_stage_events_total{outcome=\"received\",stage=\"correlate\"}";
        let (events, processor) = (self.metric(judged)?, self.processor()?);
        for round in 1..=ROUNDS {
            for _ in 0..OPENED {
                for image in 0..IMAGES {
                    drop(File::open(secret(store, image))?);
                }
            }
            let expected = events + f64::from(u32::try_from(IMAGES * OPENED * round)?);
            self.wait_for("the opens", |agent| {
                agent.metric(judged).is_ok_and(|events| events >= expected - 0.5)
            })?;
        }
        let (events, processor) = (self.metric(judged)? - events, self.processor()? - processor);
        Ok(format!("{:.3} ({events:.0} opens)", processor * 1000.0 / events))
    }

    /// Seconds of processor time of the agent itself.
    fn processor(&self) -> Result<f64> {
        let stat = files::read_text(Path::new(&format!("/proc/{}/stat", self.child.id())))?;
        let (_, after_name) = stat.rsplit_once(')').context("a name")?;
        // utime and stime, in ticks.
        let ticks = after_name.split_whitespace().skip(11).take(2);
        let ticks: u32 = ticks.map(str::parse::<u32>).sum::<std::result::Result<_, _>>()?;
        let second = u32::try_from(rustix::param::clock_ticks_per_second())?;
        Ok(f64::from(ticks) / f64::from(second))
    }

    /// The agent's processes, each with its highest memory in KiB.
    fn memory(&self) -> Result<Vec<(String, u64)>> {
        let pid = self.child.id();
        let children = files::read_text(Path::new(&format!("/proc/{pid}/task/{pid}/children")))?;
        let mut found = vec![("the agent".to_owned(), peak(pid)?)];
        for child in children.split_whitespace() {
            found.push(("its scanner".to_owned(), peak(child.parse()?)?));
        }
        Ok(found)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let ended = self.child.kill().and_then(|()| self.child.wait());
        assert!(ended.is_ok() || std::thread::panicking(), "{ended:?}");
    }
}

fn peak(pid: u32) -> Result<u64> {
    let status = files::read_text(Path::new(&format!("/proc/{pid}/status")))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let words = line.context("no VmHWM")?.split_whitespace();
    Ok(words.clone().next().context("no VmHWM")?.parse()?)
}
