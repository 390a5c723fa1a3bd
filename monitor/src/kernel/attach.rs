//! Loading the object and attaching one tier's programs.
//!
//! Invariant: what `attach` and `take_over` return has been seen to fire; dropping a `Tracer` detaches everything that is
//! not pinned.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use aya::maps::{Map, MapData, PerCpuArray, PerCpuValues};
use aya::{Btf, Ebpf, EbpfLoader};
use layerwatch_ebpf::{PROCESS_RING_BYTES, RING_BYTES, Record, SENSITIVE_CAPACITY, hooks, watch_flags};

use super::diagnostics::{self, Diagnostics};
use super::error::{CANARY_DEADLINE, KernelError, OffsetsFailure};
use super::links::{self, Link};
use super::maps::WatchMaps;
use super::object;
use super::offsets::{self, Resolved};
use super::pins::{PinBase, PinSet};
use super::places::{self, Attachment, RefusedPlace, place_name};
use super::processes;
use super::ring::Ring;
use super::self_check::Canary;
use super::tiers::{Handicap, Tier, chain};

/// Attached programs.
pub struct Tracer {
    /// Absent where the programs are those of an agent before this one.
    ebpf: Option<Ebpf>,
    tier: Tier,
    resolved: Resolved,
    links: BTreeMap<&'static str, Link>,
    pins: Option<PinSet>,
    places: Vec<u16>,
    refused: Vec<RefusedPlace>,
    maps: Option<WatchMaps>,
    ring: Option<Ring>,
    process_ring: Option<Ring>,
    /// The kernel's types, parsed once for the tier and what follows it.
    pub(super) btf: Option<Btf>,
}

impl std::fmt::Debug for Tracer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tracer")
            .field("tier", &self.tier)
            .finish_non_exhaustive()
    }
}

impl Tracer {
    /// Loads and attaches a tier, and waits for the canary; gives the time from its open to its record. With `base`,
    /// everything is pinned there.
    pub(super) fn attach(
        tier: Tier,
        canary: &Canary,
        base: Option<&PinBase>,
        handicap: &Handicap,
    ) -> Result<(Self, Duration), KernelError> {
        let pins = base.map(|base| base.begin(tier)).transpose()?;
        let mut tracer = Self::load(tier, pins, handicap)?;
        tracer.attach_programs()?;
        let latency = tracer.self_check(canary)?;
        Ok((tracer, latency))
    }

    /// Takes over what an agent before this one left, if it was whole and still fires.
    pub(super) fn take_over(pins: PinSet, canary: &Canary) -> Result<(Self, Duration), KernelError> {
        let resolved = offsets::read().map_err(OffsetsFailure)?;
        let mut tracer = Self {
            ebpf: None,
            tier: pins.tier,
            resolved,
            links: BTreeMap::new(),
            btf: None,
            places: Vec::new(),
            refused: Vec::new(),
            maps: None,
            ring: None,
            process_ring: None,
            pins: None,
        };
        tracer.open_maps(|name| {
            let pinned = MapData::from_pin(pins.map(name));
            pinned
                .and_then(Map::from_map_data)
                .map_err(|source| KernelError::Map {
                    operation: "open pinned",
                    map: name,
                    source,
                })
        })?;
        tracer.with_maps(WatchMaps::adopt)?;
        tracer.open_links(&pins)?;
        tracer.pins = Some(pins);
        let latency = tracer.self_check(canary)?;
        Ok((tracer, latency))
    }

    fn load(tier: Tier, pins: Option<PinSet>, handicap: &Handicap) -> Result<Self, KernelError> {
        let object = object::OBJECT.ok_or(KernelError::NoPrograms)?;
        let mut resolved = offsets::read().map_err(OffsetsFailure)?;
        if let Some((field, other)) = &handicap.misread {
            resolved
                .misread(field, other)
                .ok_or(KernelError::Absent("such field"))?;
        }
        let level = diagnostics::level();
        let findings = handicap.findings.unwrap_or(SENSITIVE_CAPACITY);
        let mut ebpf = EbpfLoader::new()
            .map_max_entries("SENSITIVE", findings)
            .override_global("OFFSETS", bytemuck::bytes_of(&resolved.offsets), true)
            .override_global(aya_log::LEVEL, &level, true)
            .load(object)
            .map_err(|source| KernelError::Object(Box::new(source)))?;
        begin_numbers(&mut ebpf)?;
        if let Some(pins) = &pins {
            pin_maps(&ebpf, pins)?;
        }
        let mut tracer = Self {
            ebpf: None,
            tier,
            resolved,
            links: BTreeMap::new(),
            btf: None,
            pins,
            places: Vec::new(),
            refused: Vec::new(),
            maps: None,
            ring: None,
            process_ring: None,
        };
        tracer.open_maps(|name| ebpf.take_map(name).ok_or(KernelError::Absent(name)))?;
        tracer.ebpf = Some(ebpf);
        Ok(tracer)
    }

    fn open_maps(
        &mut self,
        mut take: impl FnMut(&'static str) -> Result<Map, KernelError>,
    ) -> Result<(), KernelError> {
        self.ring = Some(ring_of(&mut take, "EVENTS", RING_BYTES)?);
        self.process_ring = Some(ring_of(&mut take, "PROCESSES", PROCESS_RING_BYTES)?);
        let mut maps = WatchMaps::new(take)?;
        maps.beat(since_boot())?;
        self.maps = Some(maps);
        Ok(())
    }

    /// The links that are pinned; a place without one was refused when the programs were attached.
    fn open_links(&mut self, pins: &PinSet) -> Result<(), KernelError> {
        let pinned = pins.links()?;
        let is_pinned = |name: &str| pinned.iter().any(|one| one == name);
        for program in places::programs(self.tier) {
            if is_pinned(program.name) {
                let link = Link::open(&pins.link(program.name), program.name)?;
                self.links.insert(program.name, link);
                let held = links::open_program(&pins.program(program.name), program.name)?;
                self.follow_misses(program, held)?;
                self.places.extend(program.places);
            } else {
                self.refuse(program, "it was refused when the programs were attached");
            }
        }
        for name in processes::PROGRAMS.into_iter().filter(|name| is_pinned(name)) {
            self.links.insert(name, Link::open(&pins.link(name), name)?);
        }
        Ok(())
    }

    fn follow_misses(&mut self, program: &places::Program, held: OwnedFd) -> Result<(), KernelError> {
        let place = program.places.first().copied().unwrap_or(hooks::OPEN);
        self.with_maps(|maps| {
            maps.misses.add(place, held);
            Ok(())
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
                    self.refuse(program, &chain(&error));
                }
            }
        }
        self.btf = Some(btf);
        Ok(())
    }

    fn refuse(&mut self, program: &places::Program, reason: &str) {
        let refused = |number: &u16| RefusedPlace {
            number: *number,
            place: place_name(*number),
            reason: reason.to_owned(),
        };
        self.refused.extend(program.places.iter().map(refused));
    }

    fn attach_program(&mut self, program: &places::Program, btf: &Btf) -> Result<(), KernelError> {
        if program.places.contains(&hooks::IO_URING) && !self.resolved.io_uring_names_request {
            return Err(KernelError::Unfit {
                program: program.name,
                reason: "this kernel's tracepoint does not name the request",
            });
        }
        self.attach_one(program.name, program.at, btf)?;
        let loaded = self.ebpf.as_mut().and_then(|ebpf| ebpf.program_mut(program.name));
        let loaded = loaded.ok_or(KernelError::Absent(program.name))?;
        if let Some(pins) = &self.pins {
            links::pin_program(loaded, &pins.program(program.name), program.name)?;
        }
        let held = links::hold_program(loaded, program.name)?;
        self.follow_misses(program, held)
    }

    /// Loads and attaches one program, and pins it where the others are pinned.
    pub(super) fn attach_one(
        &mut self,
        name: &'static str,
        at: Attachment,
        btf: &Btf,
    ) -> Result<(), KernelError> {
        let loaded = self.ebpf.as_mut().and_then(|ebpf| ebpf.program_mut(name));
        let mut link = Link::attach(loaded.ok_or(KernelError::Absent(name))?, name, at, btf)?;
        if let Some(pins) = &self.pins {
            link = link.pin(&pins.link(name), name)?;
        }
        self.links.insert(name, link);
        Ok(())
    }

    /// Whether a program is attached.
    pub(super) fn has(&self, name: &str) -> bool {
        self.links.contains_key(name)
    }

    pub(super) fn detach_one(&mut self, name: &'static str) -> Result<(), KernelError> {
        self.links.remove(name).map_or(Ok(()), |link| link.detach(name))
    }

    fn self_check(&mut self, canary: &Canary) -> Result<Duration, KernelError> {
        let (Some(maps), Some(ring)) = (self.maps.as_mut(), self.ring.as_mut()) else {
            return Err(KernelError::Absent("maps"));
        };
        // What is watched already stays so: an agent that takes over must not look away.
        let mut watched = maps.applied().clone();
        watched.files.insert(canary.key(), watch_flags::CANARY);
        maps.apply(&watched)?;
        let before = opens_refused(maps)?;
        let (opened, begun) = (Instant::now(), since_boot());
        canary.open().map_err(KernelError::CanaryOpen)?;
        while let Some(left) = CANARY_DEADLINE.checked_sub(opened.elapsed()) {
            let Some(frame) = ring.peek(left) else {
                // What an agent before this one left may fill the ring. To throw it away for that would lose all of it, and
                // the count of what was lost: that the hook fires is told by the counter, and looked at again each minute.
                if self.ebpf.is_none() && opens_refused(maps)? > before {
                    ring.rewind();
                    return Ok(opened.elapsed());
                }
                continue;
            };
            let record = bytemuck::try_pod_read_unaligned::<Record>(&frame).ok();
            let record = record.ok_or(KernelError::CanaryUnseen)?;
            // Before it may lie what happened while no agent ran, canaries of others included.
            if u128::from(record.time_ns) < begun.as_nanos() {
                continue;
            }
            canary.check(&record).map_err(KernelError::CanaryWrong)?;
            if self.ebpf.is_some() {
                ring.forget();
            } else {
                ring.rewind();
            }
            return Ok(opened.elapsed());
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

    /// Says that everything is pinned: from now on another agent may take it over.
    pub(super) fn complete_pins(&self) -> Result<(), KernelError> {
        self.pins
            .as_ref()
            .map_or(Ok(()), PinSet::complete)
            .map_err(KernelError::from)
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

    /// What the programs say for developers, once; absent when nobody listens, and of programs that were taken over.
    pub fn take_diagnostics(&mut self) -> Option<Diagnostics> {
        Diagnostics::of(self.ebpf.as_mut()?)
    }

    /// The ring, once.
    pub fn take_ring(&mut self) -> Option<Ring> {
        self.ring.take()
    }

    /// Detaches every hook of the tier: a test switch, to prove that the tests can fail.
    ///
    /// # Errors
    /// `KernelError::Pin` where the kernel does not let go.
    pub fn detach_hooks(&mut self) -> Result<(), KernelError> {
        places::programs(self.tier)
            .iter()
            .try_for_each(|program| self.detach_one(program.name))
    }

    /// The ring of process events, once.
    pub fn take_process_ring(&mut self) -> Option<Ring> {
        self.process_ring.take()
    }
}

/// The maps that both sides use; the others live as long as a program does.
const SHARED: [&str; 12] = [
    "EVENTS",
    "PROCESSES",
    "FILTER",
    "SENSITIVE",
    "ROOTS",
    "DEVICES",
    "UNSCANNED",
    "BLOCK_DEVICES",
    "SOCKETS",
    "OWN",
    "ALIVE",
    "COUNTERS",
];

fn pin_maps(ebpf: &Ebpf, pins: &PinSet) -> Result<(), KernelError> {
    for name in SHARED {
        let map = ebpf.map(name).ok_or(KernelError::Absent(name))?;
        map.pin(pins.map(name)).map_err(|source| KernelError::Pin {
            operation: "pin map",
            what: name,
            source: Box::new(source),
        })?;
    }
    Ok(())
}

/// Records are numbered from the time since boot on, so that no number comes twice in a boot, not even with programs that
/// were loaded anew: no processor reports an event each nanosecond.
fn begin_numbers(ebpf: &mut Ebpf) -> Result<(), KernelError> {
    let failed = |source| KernelError::Map {
        operation: "fill",
        map: "SEQUENCE",
        source,
    };
    let map = ebpf.map_mut("SEQUENCE").ok_or(KernelError::Absent("SEQUENCE"))?;
    let mut numbers = PerCpuArray::<_, u64>::try_from(map).map_err(failed)?;
    let first = u64::try_from(since_boot().as_nanos()).unwrap_or(u64::MAX);
    let processors = aya::util::nr_cpus().map_err(|(_, source)| KernelError::Processors(source))?;
    let first = PerCpuValues::try_from(vec![first; processors]).map_err(KernelError::Processors)?;
    numbers.set(0, first, 0).map_err(failed)
}

/// The time since boot, as the programs have it (`bpf_ktime_get_boot_ns`).
pub fn since_boot() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(now.tv_nsec).unwrap_or(0))
}

fn ring_of(
    take: &mut impl FnMut(&'static str) -> Result<Map, KernelError>,
    name: &'static str,
    size: u32,
) -> Result<Ring, KernelError> {
    let Map::RingBuf(map) = take(name)? else {
        return Err(KernelError::Absent(name));
    };
    Ring::new(map, size).map_err(|source| KernelError::Ring { ring: name, source })
}

/// How many opens on a watch found no room in the ring.
fn opens_refused(maps: &WatchMaps) -> Result<u64, KernelError> {
    let counters = maps.counters()?;
    let opens = counters.iter().find(|place| place.number == hooks::OPEN);
    Ok(opens.map_or(0, |place| place.counters.ring_full))
}
