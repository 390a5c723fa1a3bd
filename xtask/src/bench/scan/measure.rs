//! What one run of a program costs: wall time, processor time of all its processes, and their memory at its highest.
//!
//! Processor time is what the system adds to this process for children that were waited for (`proc_pid_stat(5)`, cutime
//! and cstime), so runs may not overlap; a program's own children that outlive it become this process's and are waited
//! for too. Memory is the sum of `VmHWM` over the processes of the tree, looked at often: a process that lives for less
//! than a look is missed, and is small.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::files;

const LOOK: Duration = Duration::from_millis(10);
/// Beyond this a program is ended; what it cost so far would be no figure.
const LONGEST: Duration = Duration::from_mins(30);

/// See the module.
#[derive(Debug, Clone, Copy)]
pub(in crate::bench) struct Cost {
    wall: f64,
    pub(super) processor: f64,
    pub(super) peak_kilobytes: u64,
}

impl Cost {
    /// Millions of bytes a second and core.
    pub(super) fn speed(&self, megabytes: f64) -> f64 {
        megabytes / self.processor.max(0.01)
    }

    /// The one with less processor time; of two runs the other was disturbed more.
    pub(super) fn better(self, other: Self) -> Self {
        if other.processor < self.processor {
            other
        } else {
            self
        }
    }

    /// A line of the table.
    pub(in crate::bench) fn row(&self, name: &str, megabytes: f64) -> String {
        format!(
            "| {name} | {:.2} | {:.2} | {:.0} | {:.0} | {} |\n",
            self.wall,
            self.processor,
            megabytes / self.wall.max(0.01),
            self.speed(megabytes),
            self.peak_kilobytes / 1024
        )
    }
}

/// Runs it to its end, with its output thrown away; it must end with one of these.
pub(in crate::bench) fn measure(command: &mut Command, good: &[i32]) -> Result<Cost> {
    // Whoever outlives its parent comes to this process.
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).context("become a subreaper")?;
    let before = children_seconds()?;
    let begun = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("cannot start {}", command.get_program().display()))?;
    let mut peaks: BTreeMap<u32, u64> = BTreeMap::new();
    let status = loop {
        note_peaks(child.id(), &mut peaks);
        if let Some(status) = child.try_wait().context("wait for a program")? {
            break status;
        }
        if begun.elapsed() > LONGEST {
            child.kill().context("end a program")?;
            child.wait().context("wait for a program")?;
            bail!("{} took too long", command.get_program().display());
        }
        std::thread::sleep(LOOK);
    };
    let wall = begun.elapsed().as_secs_f64();
    reap()?;
    if !status.code().is_some_and(|code| good.contains(&code)) {
        bail!("{} ended with {status}", command.get_program().display());
    }
    Ok(Cost {
        wall,
        processor: children_seconds()? - before,
        peak_kilobytes: peaks.values().sum(),
    })
}

/// Waits for what the program left behind.
fn reap() -> Result<()> {
    loop {
        match rustix::process::wait(rustix::process::WaitOptions::empty()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::CHILD) => return Ok(()),
            Err(errno) => return Err(errno).context("wait for what a program left behind"),
        }
    }
}

/// Processor seconds of children that were waited for.
fn children_seconds() -> Result<f64> {
    let stat = files::read_text(Path::new("/proc/self/stat"))?;
    let fields: Vec<&str> = stat
        .rsplit_once(')')
        .map_or("", |(_, rest)| rest)
        .split_whitespace()
        .collect();
    let ticks = |index: usize| -> Result<f64> {
        let field = fields.get(index).context("/proc/self/stat is short")?;
        Ok(field.parse()?)
    };
    // The fields 16 and 17; two stand before the parenthesis.
    let ticks = ticks(13)? + ticks(14)?;
    #[expect(clippy::cast_precision_loss, reason = "a hundred")]
    let per_second = rustix::param::clock_ticks_per_second() as f64;
    Ok(ticks / per_second)
}

/// Raises what is known of the memory of a process and its descendants.
fn note_peaks(process: u32, peaks: &mut BTreeMap<u32, u64>) {
    let folder = format!("/proc/{process}");
    let status = files::read_text(Path::new(&format!("{folder}/status"))).unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak: Option<u64> = peak.and_then(|rest| rest.trim().strip_suffix("kB")?.trim().parse().ok());
    if let Some(peak) = peak {
        peaks
            .entry(process)
            .and_modify(|known| *known = peak.max(*known))
            .or_insert(peak);
    }
    let tasks = std::fs::read_dir(format!("{folder}/task")).into_iter().flatten();
    for task in tasks.flatten() {
        let children = files::read_text(&task.path().join("children")).unwrap_or_default();
        for child in children.split_whitespace().filter_map(|id| id.parse().ok()) {
            note_peaks(child, peaks);
        }
    }
}
