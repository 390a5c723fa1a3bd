//! `cargo xtask bench kernel`: added time on this machine's kernel, or added instructions on other kernels.
//!
//! The measuring is `layerwatch-cost`'s (tests/cost); here it is built with the agent as it is shipped, started as root in
//! a mount namespace of its own or in a virtual machine, and what it reports is made into tables.

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use layerwatch_tests::cost::{Plan, Report, Unit};

use super::{KernelOptions, page, peers, tables};
use crate::vm::kernel::Kernel;
use crate::workspace::Workspace;
use crate::{build, files, process, say, setup, vm};

/// The measuring program.
const COST: &str = "layerwatch-cost";
/// The programs that do nothing, in a virtual machine.
const IDLE: &str = "idle.o";
const ROUNDS_HERE: usize = 6;
/// Instructions hardly vary.
const ROUNDS_IN_MACHINE: usize = 2;
/// A machine that counts instructions runs some fifty million of them a second.
const MACHINE_SECONDS: u64 = 3000;
/// bpftrace's compiler wants room.
const MACHINE_MIB: u32 = 2048;

/// Builds and measures.
pub(super) fn run(workspace: &Workspace, options: &KernelOptions) -> Result<()> {
    let toolchain = setup::run(workspace)?;
    build::kernel_programs(workspace, &toolchain)?;
    let release = build::Options { release: true };
    let programs = Programs {
        agent: build::agent(workspace, &release)?,
        cost: cost(workspace)?,
        idle: build::idle_programs(workspace, &toolchain)?,
        peers: peers::unpack(workspace)?,
    };
    if options.vm.is_empty() {
        let report = here(&programs, options)?;
        return show(workspace, "here", Unit::Nanoseconds, &report);
    }
    for kernel in &options.vm {
        let report = in_machine(workspace, &programs, *kernel, options)?;
        show(workspace, kernel.name(), Unit::Instructions, &report)?;
    }
    Ok(())
}

struct Programs {
    agent: PathBuf,
    cost: PathBuf,
    idle: PathBuf,
    peers: PathBuf,
}

fn cost(workspace: &Workspace) -> Result<PathBuf> {
    let mut command = workspace.cargo();
    command.args([
        "build",
        "--release",
        "--package",
        "layerwatch-tests",
        "--bin",
        COST,
    ]);
    process::run(&mut command)?;
    Ok(workspace.target.join("release").join(COST))
}

fn here(programs: &Programs, options: &KernelOptions) -> Result<Report> {
    let plan = Plan {
        agent: programs.agent.clone(),
        peers: programs.peers.clone(),
        idle: programs.idle.clone(),
        idle_tiers: ["a", "b", "c", "d"].map(str::to_owned).to_vec(),
        tiers: Vec::new(),
        audit: options.audit,
        unit: Unit::Nanoseconds,
        rounds: options.rounds.unwrap_or(ROUNDS_HERE),
        threads: vec![1, 2],
    };
    let mut command = process::elevated("unshare")?;
    command
        .args(["--mount", "--propagation", "private"])
        .arg(&programs.cost);
    command.arg("measure").arg(serde_json::to_string(&plan)?);
    command.stderr(std::process::Stdio::inherit());
    let printed = process::output(&mut command)?;
    serde_json::from_str(&printed).context("cannot read the report")
}

fn in_machine(
    workspace: &Workspace,
    programs: &Programs,
    kernel: Kernel,
    options: &KernelOptions,
) -> Result<Report> {
    let plan = Plan {
        agent: "/bin/layerwatch".into(),
        peers: "/share".into(),
        idle: format!("/share/{IDLE}").into(),
        idle_tiers: ["a", "b", "c", "d"].map(str::to_owned).to_vec(),
        tiers: ["a", "b", "c", "d"].map(str::to_owned).to_vec(),
        audit: true,
        unit: Unit::Instructions,
        rounds: options.rounds.unwrap_or(ROUNDS_IN_MACHINE),
        threads: vec![1],
    };
    let words = [
        format!("/bin/{COST}"),
        "measure".to_owned(),
        serde_json::to_string(&plan)?,
    ];
    let options = vm::Options {
        share: Some(programs.peers.clone()),
        memory: MACHINE_MIB,
        timeout: MACHINE_SECONDS,
        count_instructions: true,
        ..vm::Options::new(kernel, words.to_vec())
    };
    // What goes under /bin there is a program of this machine.
    files::write_if_changed(&programs.peers.join(IDLE), &files::read(&programs.idle)?)?;
    let inside = [
        (programs.agent.clone(), "layerwatch".to_owned()),
        (programs.cost.clone(), COST.to_owned()),
    ];
    let mut report = None;
    let status = vm::boot(workspace, &options, &inside, &mut |line| {
        let line = String::from_utf8_lossy(line);
        match serde_json::from_str(line.trim()) {
            Ok(read) => report = Some(read),
            Err(_) => say::progress(line.trim_end()),
        }
    })?;
    ensure!(status == 0, "the measurement ended with status {status}");
    report.context("the machine printed no report")
}

fn show(workspace: &Workspace, section: &str, unit: Unit, report: &Report) -> Result<()> {
    let tables = tables::of(report, unit)?;
    say::output(tables.as_bytes());
    page::update(
        workspace,
        page::PERFORMANCE,
        &format!("kernel {section}"),
        &tables,
    )
}
