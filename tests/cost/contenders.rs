//! The monitors: Layerwatch, and what others would reach for.
//!
//! Invariant: a contender is measured only after it was seen to work: the agent has its finding, a peer has shown the open
//! of a mark. Each ends with its value, by its own process id.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use layerwatch_tests::Process;
use layerwatch_tests::cost::Plan;
use layerwatch_tests::scene::Agent;

use super::audit::Audit;
use super::ground::Ground;
use super::idle::Idle;

/// In a virtual machine that counts instructions a start takes long.
const DEADLINE: Duration = Duration::from_mins(3);

/// One contender.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The machine as it is.
    Nobody,
    /// The agent, on a tier or on the one it chooses.
    Layerwatch(Option<String>),
    /// Programs that do nothing, at a tier's places.
    Idle(String),
    /// bpftrace's opensnoop.
    Bpftrace,
    /// libbpf-tools' opensnoop.
    LibbpfTools,
    /// fatrace.
    Fatrace,
    /// auditd with a watch on the store.
    Auditd,
}

/// A contender at work.
#[derive(Debug)]
pub(crate) enum Running {
    Nobody,
    Agent(Agent),
    Idle { _idle: Idle },
    Peer { _process: Process },
    Audit { _audit: Audit },
}

impl Kind {
    /// All that a plan asks for, nobody first.
    pub(crate) fn all(plan: &Plan) -> Vec<Self> {
        let ours: Vec<_> = if plan.tiers.is_empty() {
            vec![Self::Layerwatch(None)]
        } else {
            plan.tiers
                .iter()
                .cloned()
                .map(Some)
                .map(Self::Layerwatch)
                .collect()
        };
        let idle = plan.idle_tiers.iter().cloned().map(Self::Idle);
        let peers = [Self::Bpftrace, Self::LibbpfTools, Self::Fatrace, Self::Auditd];
        let ours = [Self::Nobody].into_iter().chain(ours).chain(idle);
        ours.chain(peers).collect()
    }

    /// For the table.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Nobody => "none".to_owned(),
            Self::Layerwatch(None) => "layerwatch".to_owned(),
            Self::Layerwatch(Some(tier)) => format!("layerwatch, tier {}", tier.to_uppercase()),
            Self::Idle(tier) => format!("empty programs, tier {}", tier.to_uppercase()),
            Self::Bpftrace => "bpftrace's opensnoop".to_owned(),
            Self::LibbpfTools => "libbpf-tools' opensnoop".to_owned(),
            Self::Fatrace => "fatrace".to_owned(),
            Self::Auditd => "auditd, a watch on the store".to_owned(),
        }
    }

    /// Starts it and sees it work.
    pub(crate) fn start(&self, plan: &Plan, ground: &Ground, directory: &Path) -> Result<Running> {
        std::fs::create_dir_all(directory)?;
        let peers = Peers(&plan.peers);
        let peer = |command: &mut Command| {
            let mark = ground.mark();
            let process = shown(command, &ground.output(), &mark)?;
            Ok(Running::Peer { _process: process })
        };
        match self {
            Self::Nobody => Ok(Running::Nobody),
            Self::Layerwatch(tier) => agent(plan, ground, directory, tier.as_deref()).map(Running::Agent),
            Self::Idle(tier) => {
                let idle = Idle::start(&plan.idle, tier)?;
                Ok(Running::Idle { _idle: idle })
            }
            Self::Bpftrace => {
                let script = peers.file("opensnoop.bt")?;
                peer(peers.program("bpftrace")?.arg(script))
            }
            Self::LibbpfTools => peer(&mut peers.program("opensnoop")?),
            Self::Fatrace => peer(&mut peers.program("fatrace")?),
            Self::Auditd => {
                anyhow::ensure!(
                    plan.audit,
                    "not asked for: once audit was on, every new process pays for it until the machine is booted anew"
                );
                let audit = Audit::start(&peers, ground, directory)?;
                Ok(Running::Audit { _audit: audit })
            }
        }
    }
}

/// What was unpacked of the peers.
pub(crate) struct Peers<'a>(&'a Path);

impl Peers<'_> {
    /// A file of a package, in one of the places where programs are.
    pub(crate) fn file(&self, name: &str) -> Result<PathBuf> {
        let places = ["usr/bin", "usr/sbin", "bin", "sbin"];
        let mut files = places.iter().map(|place| self.0.join(place).join(name));
        files
            .find(|file| file.is_file())
            .with_context(|| format!("no package has {name}"))
    }

    /// A program with the libraries it needs.
    pub(crate) fn program(&self, name: &str) -> Result<Command> {
        let mut command = Command::new(self.file(name)?);
        command.env("LD_LIBRARY_PATH", self.0.join("libraries"));
        Ok(command)
    }
}

fn agent(plan: &Plan, ground: &Ground, directory: &Path, tier: Option<&str>) -> Result<Agent> {
    let mut arguments = Vec::new();
    if let Some(tier) = tier {
        arguments.extend(["--tier", tier]);
    }
    let agent = Agent::start_on(&plan.agent, &ground.store.root, directory, &["run"], &arguments)?;
    agent.wait_for_metric("layerwatch_findings{severity=\"critical\"}", 2.0)?;
    Ok(agent)
}

/// Starts a program that prints opens, and opens `mark` until it shows it.
fn shown(command: &mut Command, output: &Path, mark: &Path) -> Result<Process> {
    std::fs::write(mark, "")?;
    let name = mark.to_str().context("a temporary path is text")?;
    let mut process = Process::start(command, output)?;
    process.wait_until("the peer shows an open", DEADLINE, || {
        // Output that is not a terminal's is held back until there is enough of it.
        (0..100)
            .try_for_each(|_| std::fs::File::open(mark).map(drop))
            .ok()?;
        contains(output, name).then_some(())
    })?;
    Ok(process)
}

/// Whether a file has a text in it.
pub(crate) fn contains(file: &Path, text: &str) -> bool {
    layerwatch_tests::text_of(file).contains(text)
}
