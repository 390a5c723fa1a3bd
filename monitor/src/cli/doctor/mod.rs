//! `layerwatch doctor`: can the agent work here, how well, and what would help.
//!
//! Invariant: it really attaches and detaches where it may; what it says of the kernel was tried, not read off a version.

mod host;

use std::time::{Duration, Instant};

use anyhow::Result;
use serde::Serialize;

use super::context::Context;
use super::exit::Done;
use super::output::{Item, Output, OutputArguments};
use super::run::TierArgument;
use super::tone::{Entry, Tone};
use crate::app;
use crate::catalog::Host;
use crate::config::Config;
use crate::kernel::{self, Canary, Environment, Lockdown, Tier};
use crate::privilege;

/// How many calls make one measurement, and how many measurements there are.
const CALLS: u32 = 200_000;
const ROUNDS: usize = 5;

/// Flags of `doctor`.
#[derive(Debug, clap::Args)]
pub(super) struct DoctorArguments {
    #[command(flatten)]
    tier: TierArgument,
    #[command(flatten)]
    output: OutputArguments,
}

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    Ok,
    Warn,
    Fail,
}

/// One check.
#[derive(Debug, Serialize)]
struct Check {
    level: Level,
    name: &'static str,
    detail: String,
    /// What to do; empty where nothing is to be done.
    fix: String,
}

impl Check {
    fn new(level: Level, name: &'static str, detail: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            level,
            name,
            detail: detail.into(),
            fix: fix.into(),
        }
    }

    fn ok(name: &'static str, detail: impl Into<String>) -> Self {
        Self::new(Level::Ok, name, detail, "")
    }
}

impl Item for Check {
    const KIND: &'static str = "check";
    const LIST: &'static str = "checks";
    const COLUMNS: &'static [&'static str] = &["", "CHECK", "DETAIL", "FIX"];

    fn rows(&self) -> Vec<Vec<Entry>> {
        let (word, tone) = match self.level {
            Level::Ok => ("ok", Tone::Good),
            Level::Warn => ("warn", Tone::Warn),
            Level::Fail => ("fail", Tone::Bad),
        };
        vec![vec![
            Entry::toned(word, tone),
            Entry::plain(self.name),
            Entry::outside(&self.detail),
            Entry::outside(&self.fix),
        ]]
    }
}

/// Looks at everything the agent depends on; exit status 5 if something fails.
pub(super) fn doctor(context: &Context, arguments: &DoctorArguments) -> Result<Done> {
    let settings: Vec<_> = arguments.tier.setting().into_iter().collect();
    let config = context.config(&settings)?;
    let environment = Environment::read();
    let mut checks = vec![Check::ok("configuration", "valid")];
    checks.extend(kernel_checks(&environment));
    checks.push(capabilities()?);
    checks.extend(tracing(&config));
    checks.extend(host::running_agent(&config));
    checks.push(host::host_processes(&Host::new(&config.stores.host_root)));
    checks.extend(host::stores(&config));
    let failed = checks.iter().any(|check| check.level == Level::Fail);
    Output::new(arguments.output).list(&checks, &[])?;
    Ok(if failed { Done::Unfit } else { Done::Clean })
}

fn kernel_checks(environment: &Environment) -> Vec<Check> {
    let btf = if environment.btf {
        Check::ok("BTF", "the kernel describes its types")
    } else {
        Check::new(
            Level::Fail,
            "BTF",
            "no /sys/kernel/btf/vmlinux",
            "use a kernel built with CONFIG_DEBUG_INFO_BTF",
        )
    };
    let lockdown = match environment.lockdown {
        Lockdown::None | Lockdown::Integrity => {
            Check::ok("lockdown", format!("{:?}", environment.lockdown).to_lowercase())
        }
        Lockdown::Confidentiality => Check::new(
            Level::Fail,
            "lockdown",
            "confidentiality: programs may not read kernel memory",
            "boot with lockdown=integrity",
        ),
        Lockdown::Unknown => Check::ok("lockdown", "not shown by this kernel"),
    };
    let programs = match environment.object_bytes {
        Some(bytes) => Check::ok("kernel programs", format!("built in, {bytes} bytes")),
        None => Check::new(
            Level::Fail,
            "kernel programs",
            "not built in",
            "build with `cargo xtask build`",
        ),
    };
    let modules = environment.security_modules.join(",");
    let modules = if modules.is_empty() {
        "not shown by this kernel".to_owned()
    } else {
        modules
    };
    vec![
        Check::ok("kernel", &environment.release),
        btf,
        lockdown,
        Check::ok("security modules", modules),
        programs,
    ]
}

fn capabilities() -> Result<Check> {
    let needed: Vec<_> = privilege::TO_ATTACH
        .into_iter()
        .chain(privilege::TO_WATCH)
        .collect();
    let missing: Vec<String> = privilege::missing(&needed)?
        .iter()
        .map(ToString::to_string)
        .collect();
    Ok(if missing.is_empty() {
        Check::ok("capabilities", "all four that the agent needs")
    } else {
        let fix = "run as root, or give the service these capabilities (deploy/systemd/layerwatch.service)";
        Check::new(
            Level::Fail,
            "capabilities",
            format!("missing: {}", missing.join(" ")),
            fix,
        )
    })
}

/// Attaches for real, says which tier and why, measures what it costs, and detaches.
fn tracing(config: &Config) -> Vec<Check> {
    let directory = if config.state_directory.is_dir() {
        config.state_directory.as_path()
    } else {
        std::path::Path::new("/var/tmp")
    };
    let canary = match Canary::create(directory) {
        Ok(canary) => canary,
        Err(error) => {
            let detail = format!("no canary can be made in {}: {error}", directory.display());
            return vec![Check::new(
                Level::Fail,
                "tracing",
                detail,
                "set state_directory to a directory of the agent's own",
            )];
        }
    };
    let idle = measure();
    let (tracer, choice) = match kernel::start(&app::preference(config), &canary) {
        Ok(started) => started,
        Err(error) => {
            let fix = "see the reasons; the capabilities and the kernel programs come first";
            return vec![Check::new(
                Level::Fail,
                "tracing",
                crate::telemetry::happenings::chain(&error),
                fix,
            )];
        }
    };
    let attached = measure();
    drop(tracer);
    let tier = choice.tier;
    let latency = choice.canary_latency.as_micros();
    let (level, fix) = match tier {
        Tier::A | Tier::B => (Level::Ok, ""),
        Tier::C | Tier::D => (Level::Warn, "a kernel that allows fexit programs gives tier B"),
    };
    let mut checks = vec![Check::new(
        level,
        "tier",
        format!("{tier} ({}), canary seen after {latency} µs", tier.hooks()),
        fix,
    )];
    checks.push(processes(choice.without_processes.as_deref()));
    for rejection in &choice.rejections {
        checks.push(Check::ok(
            "tier not used",
            format!("{}: {}", rejection.tier, rejection.reason),
        ));
    }
    for refused in &choice.refused {
        checks.push(Check::new(
            Level::Warn,
            "place not watched",
            format!("{}: {}", refused.place, refused.reason),
            "",
        ));
    }
    checks.push(Check::ok(
        "cost",
        format!(
            "{}; measured here: {idle} ns per system call without, {attached} ns with it",
            tier.cost()
        ),
    ));
    checks.extend(unseen(tier, &choice.absent_fields));
    checks
}

/// What the tier does not see anywhere, and what of file systems that this kernel uses and does not describe: of modules it
/// tells the types from Linux 5.11 on, once they are loaded.
fn unseen(tier: Tier, absent: &[&str]) -> Vec<Check> {
    let spots = tier.blind_spots().iter();
    let mut checks: Vec<_> = spots
        .map(|spot| Check::ok("not seen on this tier", *spot))
        .collect();
    let unknown = |module: &str, field: &str, what: &str| {
        let is_loaded = std::path::Path::new("/sys/module").join(module).is_dir();
        (is_loaded && absent.contains(&field)).then(|| {
            let detail = format!("{what}: this kernel does not tell the types of its module {module}");
            Check::new(Level::Warn, "not seen on this kernel", detail, "")
        })
    };
    let overlay = (tier == Tier::D)
        .then(|| unknown("overlay", "ovl_inode.vfs_inode", "reads through an overlay"))
        .flatten();
    let btrfs = unknown("btrfs", "btrfs_inode.root", "files on btrfs");
    checks.extend(overlay.into_iter().chain(btrfs));
    checks
}

fn processes(without: Option<&str>) -> Check {
    match without {
        None => Check::ok("processes", "followed, so that one that is gone is still named"),
        Some(reason) => Check::new(
            Level::Warn,
            "processes",
            format!("not followed: {reason}"),
            "a kernel with the tracepoints sched_process_fork, sched_process_exec and sched_process_exit",
        ),
    }
}

/// Nanoseconds of a system call that does nothing, the least of several rounds.
fn measure() -> u128 {
    let round = || {
        let begun = Instant::now();
        for _ in 0..CALLS {
            std::hint::black_box(rustix::process::getppid());
        }
        begun.elapsed()
    };
    let least = (0..ROUNDS).map(|_| round()).min().unwrap_or(Duration::ZERO);
    least.as_nanos() / u128::from(CALLS)
}
