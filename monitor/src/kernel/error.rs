//! Why the kernel side does not work, each error with the program, map or field it is about.
//!
//! Invariant: the cause is kept. Used by the whole module.

use std::time::Duration;

use aya::maps::MapError;
use aya::programs::ProgramError;

use super::offsets::OffsetsError;
use super::pins::PinError;
use super::self_check::CanaryMismatch;
use super::tiers::Rejection;

/// How long the canary's record may take.
pub(super) const CANARY_DEADLINE: Duration = Duration::from_secs(3);

/// Why tracing does not work.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// The agent was built without `cargo xtask build`.
    #[error("this agent was built without kernel programs; build it with `cargo xtask build`")]
    NoPrograms,
    /// The structure offsets are not known.
    #[error("find the kernel's structure offsets")]
    Offsets(#[from] OffsetsFailure),
    /// The kernel's type information could not be loaded.
    #[error("load the kernel's type information")]
    Btf(#[source] aya::BtfError),
    /// The object could not be loaded or its maps could not be made.
    #[error("load the kernel programs")]
    Object(#[source] Box<aya::EbpfError>),
    /// The object lacks something that this agent needs.
    #[error("the kernel programs have no {0}")]
    Absent(&'static str),
    /// The kernel lacks a field that a program reads.
    #[error("this kernel has no field {0}")]
    NoField(&'static str),
    /// One program failed.
    #[error("{operation} {program}")]
    Program {
        /// `load` or `attach`.
        operation: &'static str,
        /// The program.
        program: &'static str,
        /// What the kernel said.
        #[source]
        source: Box<ProgramError>,
    },
    /// One map failed.
    #[error("{operation} map {map}")]
    Map {
        /// What was done.
        operation: &'static str,
        /// The map.
        map: &'static str,
        /// What the kernel said.
        #[source]
        source: MapError,
    },
    /// A ring could not be mapped.
    #[error("map ring {ring}")]
    Ring {
        /// The ring.
        ring: &'static str,
        /// What the kernel said.
        #[source]
        source: std::io::Error,
    },
    /// Something could not be pinned, or a pin could not be used.
    #[error("{operation} {what}")]
    Pin {
        /// What was done.
        operation: &'static str,
        /// The map or program.
        what: &'static str,
        /// What the kernel said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The directory of pins cannot be used.
    #[error(transparent)]
    Pins(#[from] PinError),
    /// How many processors there are is not known.
    #[error("count the processors")]
    Processors(#[source] std::io::Error),
    /// The canary could not be opened.
    #[error("open the canary")]
    CanaryOpen(#[source] std::io::Error),
    /// The hook is attached and does not fire.
    #[error("attached, but the canary was not seen within {} s", CANARY_DEADLINE.as_secs())]
    CanaryUnseen,
    /// The hook fires and reports nonsense.
    #[error("the self-check failed")]
    CanaryWrong(#[source] CanaryMismatch),
    /// What the kernel's type information says rules the program out.
    #[error("attach {program}: {reason}")]
    Unfit {
        /// The program.
        program: &'static str,
        /// Why.
        reason: &'static str,
    },
    /// No tier works here.
    #[error("no tier works on this kernel: {}", list(.0))]
    NoTier(Vec<Rejection>),
}

/// See `offsets`.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct OffsetsFailure(pub(super) OffsetsError);

fn list(rejections: &[Rejection]) -> String {
    let reasons: Vec<_> = rejections
        .iter()
        .map(|r| format!("tier {}: {}", r.tier, r.reason))
        .collect();
    reasons.join("; ")
}

pub(super) fn failed(
    operation: &'static str,
    program: &'static str,
) -> impl FnOnce(ProgramError) -> KernelError {
    move |source| KernelError::Program {
        operation,
        program,
        source: Box::new(source),
    }
}
