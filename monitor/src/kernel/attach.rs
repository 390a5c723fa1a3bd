//! Loading the object and attaching one tier's programs.
//!
//! Invariant: what `attach` returns has been seen to fire; dropping a `Tracer` detaches everything.

use std::time::{Duration, Instant};

use aya::maps::{Map, MapData, MapError, RingBuf};
use aya::programs::{BtfTracePoint, FExit, Program, ProgramError};
use aya::{Btf, Ebpf, EbpfLoader};
use layerwatch_ebpf::{Record, watch_flags};

use super::diagnostics::{self, Diagnostics};
use super::maps::{WatchMaps, WatchSet};
use super::object;
use super::offsets::{self, OffsetsError};
use super::ring::Ring;
use super::self_check::{Canary, CanaryMismatch};
use super::tiers::{Rejection, Tier};

/// How long the canary's record may take.
const CANARY_DEADLINE: Duration = Duration::from_secs(3);

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
    /// The canary could not be opened.
    #[error("open the canary")]
    CanaryOpen(#[source] std::io::Error),
    /// The hook is attached and does not fire.
    #[error("attached, but the canary was not seen within {} s", CANARY_DEADLINE.as_secs())]
    CanaryUnseen,
    /// The hook fires and reports nonsense.
    #[error("the self-check failed")]
    CanaryWrong(#[source] CanaryMismatch),
    /// No tier works here.
    #[error("no tier works on this kernel: {}", list(.0))]
    NoTier(Vec<Rejection>),
}

/// See `offsets`.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct OffsetsFailure(OffsetsError);

fn list(rejections: &[Rejection]) -> String {
    let reasons: Vec<_> = rejections
        .iter()
        .map(|r| format!("tier {}: {}", r.tier, r.reason))
        .collect();
    reasons.join("; ")
}

/// Attached programs.
pub struct Tracer {
    ebpf: Ebpf,
    tier: Tier,
    absent_fields: Vec<&'static str>,
    maps: Option<WatchMaps>,
    ring: Option<Ring>,
    process_ring: Option<Ring>,
}

impl std::fmt::Debug for Tracer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tracer")
            .field("tier", &self.tier)
            .finish_non_exhaustive()
    }
}

impl Tracer {
    /// Loads and attaches a tier, and waits for the canary; gives the time from its open to its record.
    pub(super) fn attach(tier: Tier, canary: &Canary) -> Result<(Self, Duration), KernelError> {
        let mut tracer = Self::load(tier)?;
        tracer.attach_programs()?;
        let latency = tracer.self_check(canary)?;
        Ok((tracer, latency))
    }

    fn load(tier: Tier) -> Result<Self, KernelError> {
        let object = object::OBJECT.ok_or(KernelError::NoPrograms)?;
        let resolved = offsets::read().map_err(OffsetsFailure)?;
        let level = diagnostics::level();
        let mut ebpf = EbpfLoader::new()
            .override_global("OFFSETS", bytemuck::bytes_of(&resolved.offsets), true)
            .override_global(aya_log::LEVEL, &level, true)
            .load(object)
            .map_err(|source| KernelError::Object(Box::new(source)))?;
        let mut take = |name: &'static str| ebpf.take_map(name).ok_or(KernelError::Absent(name));
        let ring = ring_of(&mut take, "EVENTS")?;
        let process_ring = ring_of(&mut take, "PROCESSES")?;
        let maps = WatchMaps::new(take)?;
        Ok(Self {
            ebpf,
            tier,
            absent_fields: resolved.absent,
            maps: Some(maps),
            ring: Some(ring),
            process_ring: Some(process_ring),
        })
    }

    fn attach_programs(&mut self) -> Result<(), KernelError> {
        let btf = Btf::from_sys_fs().map_err(KernelError::Btf)?;
        match self.tier {
            Tier::B => {
                self.fexit("fexit_file_open", "security_file_open", &btf)?;
                self.fexit("fexit_rename", "security_inode_rename", &btf)
            }
            Tier::D => self.tracepoint("sys_exit", &btf),
            Tier::A | Tier::C => Err(KernelError::Absent("programs of this tier")),
        }
    }

    pub(super) fn program(&mut self, name: &'static str) -> Result<&mut Program, KernelError> {
        self.ebpf.program_mut(name).ok_or(KernelError::Absent(name))
    }

    fn fexit(&mut self, name: &'static str, function: &str, btf: &Btf) -> Result<(), KernelError> {
        let program: &mut FExit = self.program(name)?.try_into().map_err(failed("find", name))?;
        program.load(function, btf).map_err(failed("load", name))?;
        program.attach().map_err(failed("attach", name)).map(|_| ())
    }

    pub(super) fn tracepoint(&mut self, name: &'static str, btf: &Btf) -> Result<(), KernelError> {
        let program: &mut BtfTracePoint = self.program(name)?.try_into().map_err(failed("find", name))?;
        program.load(name, btf).map_err(failed("load", name))?;
        program.attach().map_err(failed("attach", name)).map(|_| ())
    }

    fn self_check(&mut self, canary: &Canary) -> Result<Duration, KernelError> {
        let (Some(maps), Some(ring)) = (self.maps.as_mut(), self.ring.as_mut()) else {
            return Err(KernelError::Absent("maps"));
        };
        let mut watched = WatchSet::default();
        watched.files.insert(canary.key(), watch_flags::CANARY);
        maps.apply(&watched)?;
        let opened = Instant::now();
        canary.open().map_err(KernelError::CanaryOpen)?;
        while opened.elapsed() < CANARY_DEADLINE {
            if let Some(frame) = ring.wait(CANARY_DEADLINE.saturating_sub(opened.elapsed())) {
                let record = bytemuck::try_pod_read_unaligned::<Record>(&frame).ok();
                let record = record.ok_or(KernelError::CanaryUnseen)?;
                canary.check(&record).map_err(KernelError::CanaryWrong)?;
                return Ok(opened.elapsed());
            }
        }
        Err(KernelError::CanaryUnseen)
    }

    /// The tier in use.
    pub fn tier(&self) -> Tier {
        self.tier
    }

    /// Optional kernel fields that this kernel lacks.
    pub fn absent_fields(&self) -> &[&'static str] {
        &self.absent_fields
    }

    /// Works on the watch maps as long as they are still here.
    ///
    /// # Errors
    /// `KernelError::Absent` after `take_maps`, else what `work` says.
    pub fn with_maps<T>(
        &mut self,
        work: impl FnOnce(&mut WatchMaps) -> Result<T, KernelError>,
    ) -> Result<T, KernelError> {
        work(self.maps.as_mut().ok_or(KernelError::Absent("maps"))?)
    }

    /// The watch maps, once.
    pub fn take_maps(&mut self) -> Option<WatchMaps> {
        self.maps.take()
    }

    /// What the programs say for developers, once; absent when nobody listens.
    pub fn take_diagnostics(&mut self) -> Option<Diagnostics> {
        Diagnostics::of(&mut self.ebpf)
    }

    /// The ring, once.
    pub fn take_ring(&mut self) -> Option<Ring> {
        self.ring.take()
    }

    /// The ring of process events, once.
    pub fn take_process_ring(&mut self) -> Option<Ring> {
        self.process_ring.take()
    }

    /// Detaches the hook that sees opens and leaves the rest: a test switch, to prove that the tests can fail.
    pub fn detach_open_hook(&mut self) -> Result<(), KernelError> {
        let tier = self.tier;
        let name = match tier {
            Tier::A | Tier::B | Tier::C => "fexit_file_open",
            Tier::D => "sys_exit",
        };
        let program = self.program(name)?;
        let unloaded = match tier {
            Tier::A | Tier::B | Tier::C => <&mut FExit>::try_from(program).and_then(FExit::unload),
            Tier::D => <&mut BtfTracePoint>::try_from(program).and_then(BtfTracePoint::unload),
        };
        unloaded.map_err(failed("unload", name))
    }
}

fn ring_of(
    take: &mut impl FnMut(&'static str) -> Result<Map, KernelError>,
    name: &'static str,
) -> Result<Ring, KernelError> {
    let ring = RingBuf::<MapData>::try_from(take(name)?);
    ring.map(Ring::new).map_err(|source| KernelError::Map {
        operation: "open",
        map: name,
        source,
    })
}

fn failed(operation: &'static str, program: &'static str) -> impl FnOnce(ProgramError) -> KernelError {
    move |source| KernelError::Program {
        operation,
        program,
        source: Box::new(source),
    }
}
