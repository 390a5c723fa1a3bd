//! Loading the object and attaching one tier's programs.
//!
//! Invariant: what `attach` returns has been seen to fire; dropping a `Tracer` detaches everything.

use std::time::{Duration, Instant};

use aya::maps::{Map, MapData, MapError, RingBuf};
use aya::programs::{BtfTracePoint, FExit, KProbe, Lsm, Program, ProgramError};
use aya::{Btf, Ebpf, EbpfLoader};
use layerwatch_ebpf::{Record, hooks, watch_flags};

use super::diagnostics::{self, Diagnostics};
use super::maps::{WatchMaps, WatchSet};
use super::object;
use super::offsets::{self, OffsetsError, Resolved};
use super::places::{self, Attachment, RefusedPlace, place_name};
use super::ring::Ring;
use super::self_check::{Canary, CanaryMismatch};
use super::tiers::{Rejection, Tier, chain};

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
    resolved: Resolved,
    places: Vec<u16>,
    refused: Vec<RefusedPlace>,
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
            resolved,
            places: Vec::new(),
            refused: Vec::new(),
            maps: Some(maps),
            ring: Some(ring),
            process_ring: Some(process_ring),
        })
    }

    /// The open hook or an error; every other place is looked at or refused.
    fn attach_programs(&mut self) -> Result<(), KernelError> {
        let btf = Btf::from_sys_fs().map_err(KernelError::Btf)?;
        for (rank, program) in places::programs(self.tier).iter().enumerate() {
            match self.attach_program(program, &btf) {
                Ok(()) => self.places.extend(program.places),
                Err(error) if rank == 0 => return Err(error),
                Err(error) => {
                    tracing::debug!(program = program.name, ?error, "a program is refused");
                    let refused = |number: &u16| RefusedPlace {
                        number: *number,
                        place: place_name(*number),
                        reason: chain(&error),
                    };
                    self.refused.extend(program.places.iter().map(refused));
                }
            }
        }
        Ok(())
    }

    fn attach_program(&mut self, program: &places::Program, btf: &Btf) -> Result<(), KernelError> {
        let name = program.name;
        if program.places.contains(&hooks::IO_URING) && !self.resolved.io_uring_names_request {
            return Err(KernelError::Unfit {
                program: name,
                reason: "this kernel's tracepoint does not name the request",
            });
        }
        match program.at {
            Attachment::Lsm(hook) => {
                let loaded: &mut Lsm = self.program(name)?.try_into().map_err(failed("find", name))?;
                loaded.load(hook, btf).map_err(failed("load", name))?;
                loaded.attach().map_err(failed("attach", name)).map(|_| ())
            }
            Attachment::Fexit(function) => {
                let loaded: &mut FExit = self.program(name)?.try_into().map_err(failed("find", name))?;
                loaded.load(function, btf).map_err(failed("load", name))?;
                loaded.attach().map_err(failed("attach", name)).map(|_| ())
            }
            Attachment::Kprobe(function) => {
                let loaded: &mut KProbe = self.program(name)?.try_into().map_err(failed("find", name))?;
                loaded.load().map_err(failed("load", name))?;
                let attached = loaded.attach(function, 0).map_err(failed("attach", name));
                attached.map(|_| ())
            }
            Attachment::Tracepoint => self.tracepoint(name, btf),
        }
    }

    pub(super) fn program(&mut self, name: &'static str) -> Result<&mut Program, KernelError> {
        self.ebpf.program_mut(name).ok_or(KernelError::Absent(name))
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
        &self.resolved.absent
    }

    /// The places that are looked at (`layerwatch_ebpf::hooks`).
    pub fn places(&self) -> &[u16] {
        &self.places
    }

    /// The places that this kernel refuses.
    pub fn refused(&self) -> &[RefusedPlace] {
        &self.refused
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

    /// Detaches every hook: a test switch, to prove that the tests can fail.
    ///
    /// # Errors
    /// `KernelError::Program` where the kernel does not let go.
    pub fn detach_hooks(&mut self) -> Result<(), KernelError> {
        for program in places::programs(self.tier) {
            let name = program.name;
            if !program.places.iter().all(|place| self.places.contains(place)) {
                continue;
            }
            let loaded = self.program(name)?;
            let unloaded = match program.at {
                Attachment::Lsm(_) => <&mut Lsm>::try_from(loaded).and_then(Lsm::unload),
                Attachment::Fexit(_) => <&mut FExit>::try_from(loaded).and_then(FExit::unload),
                Attachment::Kprobe(_) => <&mut KProbe>::try_from(loaded).and_then(KProbe::unload),
                Attachment::Tracepoint => {
                    <&mut BtfTracePoint>::try_from(loaded).and_then(BtfTracePoint::unload)
                }
            };
            unloaded.map_err(failed("unload", name))?;
        }
        Ok(())
    }

    /// The ring of process events, once.
    pub fn take_process_ring(&mut self) -> Option<Ring> {
        self.process_ring.take()
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
