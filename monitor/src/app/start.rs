//! What must be done with privileges and before any thread exists: state, canary, attach, and giving privileges up.
//!
//! Invariant: when `start` returns, the programs fire and this thread holds only what watching needs. Called by the
//! commands `run` and `record`.

use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use caps::Capability;

use super::RunOptions;
use super::keep::{self, Kept};
use crate::bounded;
use crate::catalog::Host;
use crate::config::{self, Config};
use crate::enrich::{host_facts, start_ticks};
use crate::kernel::{self, Canary, Choice, KernelError, Tier, TierPreference, Tracer};
use crate::knowledge::HostFacts;
use crate::privilege;
use crate::scan::{Effort, FingerprintKey, RuleFile, RuleSet, ScanCache, ScanWorker, WorkerOptions};
use crate::survey::SurveyOptions;
use crate::telemetry::happenings::{HookRefused, KernelAttached, ProcessesUnfollowed};
use crate::telemetry::{self, Hook, Metrics};

const KEY_BYTES: usize = 32;
/// A rule table has at most this many bytes; all together have a limit of their own.
const MAX_RULE_FILE: u64 = 1 << 20;
/// Where the node's key for fingerprints lies in the state directory.
pub const KEY_FILE: &str = "fingerprint.key";

/// The agent, attached and with its privileges given up, not running yet.
#[derive(Debug)]
pub struct Started {
    /// The attached programs.
    pub tracer: Tracer,
    /// Which tier, and why.
    pub choice: Choice,
    /// The canary.
    pub canary: Canary,
    /// Facts of the host.
    pub facts: HostFacts,
    /// What outlives the agent; absent where nothing does.
    pub kept: Option<Kept>,
}

/// The kernel or the privileges are not what the agent needs; exit status 5.
#[derive(Debug, thiserror::Error)]
#[error("the agent cannot trace here")]
pub struct Preflight(#[source] KernelError);

impl Preflight {
    /// For a kernel that does not do.
    pub fn new(source: KernelError) -> Self {
        Self(source)
    }
}

/// Prepares the state directory, attaches and gives privileges up.
///
/// # Errors
/// [`Preflight`] when no tier works; anything else is a matter of the state directory or of privileges.
pub fn start(config: &Config, options: &RunOptions) -> Result<Started> {
    let facts = host_facts(Path::new("/proc"));
    privilege::harden().context("harden the process")?;
    let directory = &config.state_directory;
    state_directory(directory)?;
    let canary =
        Canary::create(directory).with_context(|| format!("make the canary in {}", directory.display()))?;
    let kept = keep::open(config).unwrap_or_else(|error| {
        let error = format!("{error:#}");
        tracing::warn!(
            error,
            "ring and programs end with this agent: what happens while none runs is not seen"
        );
        None
    });
    let preference = TierPreference {
        handicap: options.handicap.clone(),
        ..preference(config)
    };
    let (mut tracer, choice) = match &kept {
        Some(kept) => kernel::start_kept(&preference, &canary, &kept.base),
        None => kernel::start(&preference, &canary),
    }
    .map_err(Preflight)?;
    leave_out_this_process(&mut tracer)?;
    if config.privilege.drop_after_attach {
        give_up(&mut tracer)?;
    }
    Ok(Started {
        tracer,
        choice,
        canary,
        facts,
        kept,
    })
}

/// Tells the programs that what this process does is the agent's.
fn leave_out_this_process(tracer: &mut Tracer) -> Result<(), KernelError> {
    let id = std::process::id();
    tracer.with_maps(|maps| maps.ignore_process(id, start_ticks(id).unwrap_or(0)))
}

fn state_directory(directory: &Path) -> Result<()> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .with_context(|| format!("make the state directory {}", directory.display()))
}

/// Which tiers the configuration allows.
pub(crate) fn preference(config: &Config) -> TierPreference {
    let tier = |tier: config::Tier| match tier {
        config::Tier::A => Tier::A,
        config::Tier::B => Tier::B,
        config::Tier::C => Tier::C,
        config::Tier::D => Tier::D,
    };
    TierPreference {
        forced: match config.watch.tier {
            config::TierChoice::Auto => None,
            config::TierChoice::Only(only) => Some(tier(only)),
        },
        excluded: config
            .watch
            .exclude_tiers
            .iter()
            .map(|excluded| tier(*excluded))
            .collect(),
        ..TierPreference::default()
    }
}

/// Keeps what watching needs; `CAP_BPF` stays only where the kernel refuses map updates without it (before 5.19, with
/// `kernel.unprivileged_bpf_disabled` set).
fn give_up(tracer: &mut Tracer) -> Result<()> {
    let mut keep: Vec<Capability> = privilege::TO_WATCH.to_vec();
    let held: Vec<Capability> = {
        let missing = privilege::missing(&privilege::TO_ATTACH)?;
        privilege::TO_ATTACH
            .into_iter()
            .filter(|capability| !missing.contains(capability))
            .collect()
    };
    let others = [Capability::CAP_SYS_ADMIN];
    let missing = privilege::missing(&others)?;
    let all: Vec<_> = held
        .iter()
        .copied()
        .chain(others.into_iter().filter(|other| !missing.contains(other)))
        .collect();
    privilege::suspend(&all)?;
    let works = leave_out_this_process(tracer).is_ok();
    privilege::resume(&all)?;
    if !works {
        keep.push(Capability::CAP_BPF);
        tracing::info!("CAP_BPF is kept: this kernel refuses map updates without it");
    }
    privilege::keep_only(&keep, &privilege::TO_SCAN).context("give up capabilities")
}

/// What the knowledge plane is asked to look at.
pub(crate) fn survey_options(config: &Config, facts: HostFacts) -> SurveyOptions {
    SurveyOptions {
        host: Host::new(&config.stores.host_root),
        roots: config.stores.roots.clone(),
        scan_deadline: config.scan.deadline.max(Duration::from_secs(1)),
        facts,
    }
}

/// A scan worker with this node's fingerprint key.
pub fn worker(
    config: &Config,
    effort: Effort,
    on_start: impl FnMut(u32) + Send + Sync + 'static,
) -> Result<ScanWorker> {
    let options = WorkerOptions {
        program: "/proc/self/exe".into(),
        key: fingerprint_key(&config.state_directory)?,
        rules: rule_files(&config.scan.rules)?,
        effort,
        on_start: Box::new(on_start),
    };
    ScanWorker::new(options).context("load the scan rules")
}

/// The user's rule tables.
pub(crate) fn rule_files(paths: &[PathBuf]) -> Result<Vec<RuleFile>> {
    let read = |path: &PathBuf| {
        let text = bounded::read_regular_text(path, MAX_RULE_FILE).context("read a rule table")?;
        let name = path.display().to_string();
        Ok(RuleFile { name, text })
    };
    paths.iter().map(read).collect()
}

/// Results of earlier scans, where the state directory can keep them and the key that seals them.
pub fn scan_cache(config: &Config) -> Option<ScanCache> {
    let directory = &config.state_directory;
    let bytes = bounded::read(&directory.join(KEY_FILE), 64).ok()?;
    let key = FingerprintKey::new(<[u8; KEY_BYTES]>::try_from(bytes).ok()?);
    let opened = rule_files(&config.scan.rules)
        .and_then(|files| Ok(ScanCache::open(directory, RuleSet::with(&files)?, key)?));
    match opened {
        Ok((cache, anew)) => {
            if anew {
                tracing::warn!(directory = %directory.display(), "the scan cache was damaged and is made anew");
            }
            Some(cache)
        }
        Err(error) => {
            tracing::info!(error = format!("{error:#}"), "results of scans are not kept");
            None
        }
    }
}

/// The node's key, made at the first start; a process that may not keep one uses a key of its own for this run.
fn fingerprint_key(directory: &Path) -> Result<FingerprintKey> {
    let path = directory.join(KEY_FILE);
    if let Ok(bytes) = bounded::read(&path, 64)
        && let Ok(key) = <[u8; KEY_BYTES]>::try_from(bytes)
    {
        return Ok(FingerprintKey::new(key));
    }
    let mut key = [0; KEY_BYTES];
    rustix::rand::getrandom(&mut key, rustix::rand::GetRandomFlags::empty()).context("get random bytes")?;
    let written = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&path)
        .and_then(|mut file| std::io::Write::write_all(&mut file, &key));
    if let Err(error) = written {
        tracing::debug!(%error, path = %path.display(), "fingerprints of this run will not match another run's");
    }
    Ok(FingerprintKey::new(key))
}

/// Says which tier is in use.
pub(super) fn report(started: &Started, metrics: &Metrics) {
    let tier = match started.choice.tier {
        Tier::A => telemetry::Tier::A,
        Tier::B => telemetry::Tier::B,
        Tier::C => telemetry::Tier::C,
        Tier::D => telemetry::Tier::D,
    };
    let hooks: Vec<Hook> = started
        .choice
        .places
        .iter()
        .copied()
        .filter_map(Hook::from_wire)
        .collect();
    for rejection in &started.choice.rejections {
        tracing::info!(tier = %rejection.tier, reason = rejection.reason, "tier not used");
    }
    for field in &started.choice.absent_fields {
        tracing::info!(field, "this kernel has no such field");
    }
    KernelAttached { tier, hooks: &hooks }.report(metrics);
    for refused in &started.choice.refused {
        if let Some(hook) = Hook::from_wire(refused.number) {
            HookRefused {
                hook,
                reason: &refused.reason,
            }
            .report(metrics);
        }
    }
    match &started.choice.without_processes {
        None => metrics.hook_attached(Hook::Process, true),
        Some(reason) => ProcessesUnfollowed { reason }.report(metrics),
    }
}
