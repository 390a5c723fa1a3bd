//! `cargo xtask bench kernel`: what the agent adds to an open, side by side in one run.
//!
//! Each round measures without the agent and with it, so that a drift of the machine meets both; the least of the rounds
//! counts. Figures decide no test. The first call builds and then measures as root in a process of its own.

use std::ffi::OsString;
use std::fs::File;
use std::hint::black_box;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, Result};
use layerwatch_tests::scene::{Agent, KEY, Scene};

use crate::test::tools;
use crate::workspace::Workspace;
use crate::{build, process, say, setup};

const AGENT: &str = "LAYERWATCH_BIN";
const ROUNDS: usize = 5;
const OPENS: u32 = 20_000;

/// Builds the agent as it is shipped, and measures.
pub(super) fn run(workspace: &Workspace) -> Result<ExitCode> {
    if std::env::var_os(AGENT).is_some() {
        return kernel().map(|()| ExitCode::SUCCESS);
    }
    let toolchain = setup::run(workspace)?;
    build::kernel_programs(workspace, &toolchain)?;
    let agent = build::agent(workspace, &build::Options { release: true })?;
    tools::install(workspace)?;
    let variable = |name: &str, value: OsString| {
        let mut pair = OsString::from(format!("{name}="));
        pair.push(value);
        pair
    };
    let error = process::elevated("env")?
        .arg(variable("PATH", tools::path(workspace)?))
        .arg(variable(AGENT, agent.into_os_string()))
        .arg(std::env::current_exe()?)
        .args(["bench", "kernel"])
        .exec();
    Err(error).context("cannot start the measurement")
}

fn kernel() -> Result<()> {
    let scene = Scene::new()?;
    scene.store.build(&scene.tree()?, "localhost/bench:1", false)?;
    let unrelated = scene.path().join("unrelated");
    std::fs::write(&unrelated, "")?;
    let of_store = |name: &str| -> Result<PathBuf> {
        scene
            .store
            .find(name)?
            .pop()
            .with_context(|| format!("{name} is in no layer"))
    };
    let files = [
        ("a file elsewhere (/dev/null)", PathBuf::from("/dev/null")),
        ("an unrelated file on the store's device", unrelated),
        ("an ordinary file of a layer", of_store("etc/motd")?),
        ("a file with a finding", of_store(KEY)?),
    ];
    let mut least = [[f64::INFINITY; 2]; 4];
    for round in 0..ROUNDS {
        for with in [false, true] {
            let agent = with
                .then(|| Agent::start(&scene, &format!("agent-{round}"), &[]))
                .transpose()?;
            if let Some(agent) = &agent {
                agent.wait_for_metric("layerwatch_findings{severity=\"critical\"}", 1.0)?;
            }
            for ((_, file), least) in files.iter().zip(&mut least) {
                let [idle, watched] = least;
                let slot = if with { watched } else { idle };
                *slot = slot.min(nanoseconds(file)?);
            }
        }
    }
    say::output(b"| open and close of | without, ns | with the agent, ns | added, ns | ratio |\n|---|---|---|---|---|\n");
    for ((what, _), [without, with]) in files.iter().zip(least) {
        let added = with - without;
        let row = format!(
            "| {what} | {without:.0} | {with:.0} | {added:.0} | {:.2} |\n",
            with / without
        );
        say::output(row.as_bytes());
    }
    Ok(())
}

/// The mean time of one open and close over many.
fn nanoseconds(file: &Path) -> Result<f64> {
    let begun = Instant::now();
    for _ in 0..OPENS {
        black_box(File::open(file)?);
    }
    Ok(begun.elapsed().as_secs_f64() * 1e9 / f64::from(OPENS))
}
