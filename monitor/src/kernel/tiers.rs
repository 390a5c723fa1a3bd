//! Which set of hooks is used, and why not a better one.
//!
//! Invariant: chosen by loading, attaching and seeing a canary, never by the kernel's version. The tiers are those of
//! ARCHITECTURE.md, "Kernel side".

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::attach::Tracer;
use super::error::KernelError;
use super::pins::PinBase;
use super::places::RefusedPlace;
use super::preemption;
use super::self_check::Canary;

/// A set of hooks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Tier {
    /// BPF LSM programs.
    A,
    /// fexit on the security hooks.
    B,
    /// kprobes on the same functions.
    C,
    /// The file behind the descriptor that a system call returned.
    D,
}

impl Tier {
    /// From the best to the last resort.
    pub const ALL: [Self; 4] = [Self::A, Self::B, Self::C, Self::D];

    /// The letter.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::B => "B",
            Self::C => "C",
            Self::D => "D",
        }
    }

    /// What it hooks, for people.
    pub fn hooks(self) -> &'static str {
        match self {
            Self::A => {
                "LSM file_open, mmap_file, file_permission and file_receive; fexit on security_inode_rename"
            }
            Self::B => {
                "fexit on security_file_open, mmap_file, file_receive and inode_rename; fentry on file_permission"
            }
            Self::C => {
                "kprobes on security_file_open, mmap_file, file_permission, file_receive and inode_rename"
            }
            Self::D => "tp_btf on sys_exit and io_uring_complete",
        }
    }

    /// What it costs, for people (`cargo xtask bench kernel` measures it).
    pub fn cost(self) -> &'static str {
        match self {
            Self::A | Self::B => {
                "some loads and one look-up on each open and read; nothing on other system calls"
            }
            Self::C => {
                "a probe and some fault-safe reads on each open and read; nothing on other system calls"
            }
            Self::D => "about 80 ns on every system call of every process, and some look-ups on each open",
        }
    }

    /// What it does not see, for people.
    pub fn blind_spots(self) -> &'static [&'static str] {
        match self {
            Self::A => &["opens that mode bits or another security module refuse"],
            Self::B => &[
                "opens that mode bits refuse",
                "whether a security module refused a read of a file that is open: it is reported as one that succeeded",
            ],
            Self::C => &[
                "opens that mode bits refuse",
                "whether a security module refused an open: it is reported as one that succeeded",
            ],
            Self::D => &[
                "opens that fail",
                "opens by the kernel itself",
                "requests of io_uring that ask for no completion, and descriptors received through it",
                "renames (an index change shows as the creation of its temporary file, and to inotify)",
                "a descriptor that another thread closes or replaces before the call returns",
                "descriptors of a process above the 256th",
                "reads by a process that inherited the descriptor from its parent without executing a program",
            ],
        }
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which tiers the user allows.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TierPreference {
    /// Only this one.
    pub forced: Option<Tier>,
    /// None of these.
    pub excluded: Vec<Tier>,
    /// What a test has made worse.
    pub handicap: Handicap,
}

/// What a test makes worse, to show what the agent then says; nothing for an agent that is used.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Handicap {
    /// How many files with a finding the kernel has room for, the canary included.
    pub findings: Option<u32>,
    /// Two fields by their paths in BTF: the first is looked for where the second lies.
    pub misread: Option<(String, String)>,
}

/// Why a tier is not used.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Rejection {
    /// The tier.
    pub tier: Tier,
    /// The error chain, or that the configuration excludes it.
    pub reason: String,
}

/// The tier in use.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Choice {
    /// The tier.
    pub tier: Tier,
    /// The better ones that were tried or excluded.
    pub rejections: Vec<Rejection>,
    /// From the canary's open to its record.
    pub canary_latency: Duration,
    /// Optional kernel fields that this kernel lacks.
    pub absent_fields: Vec<&'static str>,
    /// The places that are looked at (`layerwatch_ebpf::hooks`).
    pub places: Vec<u16>,
    /// Those of the tier that this kernel refuses.
    pub refused: Vec<RefusedPlace>,
    /// Why processes are not followed, so that one that is gone stays unnamed; absent where they are.
    pub without_processes: Option<String>,
    /// Whether the programs are those that an agent before this one left.
    pub taken_over: bool,
}

impl TierPreference {
    fn allows(&self, tier: Tier) -> bool {
        self.forced.is_none_or(|forced| forced == tier) && !self.excluded.contains(&tier)
    }
}

/// Attaches the best tier that the canary fires on.
///
/// # Errors
/// `KernelError::NoTier` with one reason per tier when none works.
pub fn start(preference: &TierPreference, canary: &Canary) -> Result<(Tracer, Choice), KernelError> {
    attach(preference, canary, None)
}

/// The same, and what is attached outlives this process: pinned at `base`, where an agent with the same programs may have
/// left it. What cannot be taken over is removed; where nothing can be pinned the programs end with this process.
///
/// # Errors
/// As [`start`].
pub fn start_kept(
    preference: &TierPreference,
    canary: &Canary,
    base: &PinBase,
) -> Result<(Tracer, Choice), KernelError> {
    if let Some(pins) = base.left_behind().filter(|pins| preference.allows(pins.tier)) {
        match Tracer::take_over(pins, canary) {
            Ok((tracer, latency)) => return Ok(chosen(tracer, latency, Vec::new(), true)),
            Err(error) => tracing::warn!(
                error = chain(&error),
                "what an agent before this one left cannot be taken over; it is replaced"
            ),
        }
    }
    base.clear()?;
    let kept = attach(preference, canary, Some(base)).and_then(|(tracer, choice)| {
        tracer.complete_pins()?;
        Ok((tracer, choice))
    });
    match kept {
        Ok(kept) => Ok(kept),
        Err(error) => {
            tracing::warn!(
                error = chain(&error),
                "ring and programs cannot be kept in the kernel: what happens while no agent runs is not seen"
            );
            base.clear()?;
            attach(preference, canary, None)
        }
    }
}

fn attach(
    preference: &TierPreference,
    canary: &Canary,
    base: Option<&PinBase>,
) -> Result<(Tracer, Choice), KernelError> {
    let mut rejections = Vec::new();
    for tier in Tier::ALL {
        if !preference.allows(tier) {
            rejections.push(Rejection {
                tier,
                reason: "excluded by the configuration".to_owned(),
            });
            continue;
        }
        if tier == Tier::B && preference.forced != Some(tier) && preemption::happens() {
            rejections.push(Rejection {
                tier,
                reason:
                    "this kernel interrupts tasks that work in it, and runs no fexit program on a processor \
                         while one of them waits inside it"
                        .to_owned(),
            });
            continue;
        }
        match Tracer::attach(tier, canary, base, &preference.handicap) {
            Ok((tracer, latency)) => return Ok(chosen(tracer, latency, rejections, false)),
            Err(error) => {
                // With the verifier's log, which may be long.
                tracing::debug!(%tier, ?error, "a tier does not work");
                rejections.push(Rejection {
                    tier,
                    reason: chain(&error),
                });
            }
        }
    }
    Err(KernelError::NoTier(rejections))
}

fn chosen(
    mut tracer: Tracer,
    canary_latency: Duration,
    rejections: Vec<Rejection>,
    taken_over: bool,
) -> (Tracer, Choice) {
    let without_processes = tracer.attach_processes().err().map(|error| chain(&error));
    let choice = Choice {
        tier: tracer.tier(),
        rejections,
        canary_latency,
        absent_fields: tracer.absent_fields().to_vec(),
        places: tracer.places().to_vec(),
        refused: tracer.refused().to_vec(),
        without_processes,
        taken_over,
    };
    (tracer, choice)
}

/// An error with its causes on one line, each cause once and without the verifier's log.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let message = error.to_string();
        let line = message.lines().next().unwrap_or_default();
        let line = line
            .trim_end()
            .trim_end_matches("Verifier output:")
            .trim_end_matches([' ', '.']);
        if !line.is_empty() && !text.contains(line) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(line);
        }
        next = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("load fexit_file_open")]
    struct Outer(#[source] Inner);

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Inner(&'static str);

    #[test]
    fn a_reason_is_one_line_without_the_verifiers_log() {
        for (cause, line) in [
            (
                "EPERM. Verifier output: \nlog\nlog",
                "load fexit_file_open: EPERM",
            ),
            ("", "load fexit_file_open"),
            ("load fexit_file_open", "load fexit_file_open"),
        ] {
            assert_eq!(chain(&Outer(Inner(cause))), line);
        }
    }

    #[test]
    fn excluding_every_tier_is_an_error_with_each_reason() {
        let directory = tempfile::tempdir().unwrap();
        let canary = Canary::create(directory.path()).unwrap();
        let preference = TierPreference {
            forced: None,
            excluded: Tier::ALL.to_vec(),
            handicap: Handicap::default(),
        };
        let Err(KernelError::NoTier(rejections)) = start(&preference, &canary) else {
            panic!("a tier was used")
        };
        assert_eq!(rejections.iter().map(|r| r.tier).collect::<Vec<_>>(), Tier::ALL);
    }
}
