//! The maps as the rest of the agent sees them: what to watch, whom to leave out, what was counted.
//!
//! Invariant: after `apply` the kernel watches exactly the given set, or the number that did not fit is returned; no
//! entry is dropped silently. Used by `app`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aya::maps::{Array, HashMap, Map, MapData, MapError, PerCpuArray};
use layerwatch_ebpf::{
    Counters, FILTER_BITS, InodeKey, Watch, device_slot, inode_bit, number_bit, watch_flags,
};

use super::error::KernelError;
use super::misses::Misses;
use super::places::NAMES;
use super::tiers::chain;
use crate::model::{DevIno, KernelDev};

type KeyBytes = [u8; size_of::<InodeKey>()];
type WatchBytes = [u8; size_of::<Watch>()];
type CounterBytes = [u8; size_of::<Counters>()];

/// A watched inode.
pub type WatchKey = DevIno;

/// What the kernel should watch; values are bits of `layerwatch_ebpf::watch_flags`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WatchSet {
    /// Files with a finding, and the canary.
    pub files: BTreeMap<WatchKey, u32>,
    /// Layer, index and store directories.
    pub directories: BTreeMap<WatchKey, u32>,
    /// The generation of each watched file whose file system tells one.
    pub generations: BTreeMap<WatchKey, u32>,
    /// Block devices that hold a store, by their number with inode 0, and files that do (behind a loop device).
    pub block_devices: BTreeMap<WatchKey, u32>,
    /// Sockets of container engines.
    pub sockets: BTreeMap<WatchKey, u32>,
}

impl WatchSet {
    fn watches(&self, of: &BTreeMap<WatchKey, u32>) -> BTreeMap<WatchKey, Watch> {
        let watch = |key: &WatchKey, flags: &u32| Watch {
            flags: *flags,
            generation: self.generations.get(key).copied().unwrap_or(0),
        };
        of.iter().map(|(key, flags)| (*key, watch(key, flags))).collect()
    }

    /// All that an open can meet.
    fn keys(&self) -> impl Iterator<Item = &WatchKey> {
        let maps = [&self.files, &self.directories, &self.block_devices];
        maps.into_iter().flat_map(BTreeMap::keys)
    }

    /// Whether the content of some layer has not been scanned.
    fn awaits_scans(&self) -> bool {
        let is_waiting =
            |flags: &u32| flags & (watch_flags::LAYER | watch_flags::SCANNED) == watch_flags::LAYER;
        self.directories.values().any(is_waiting)
    }

    /// The devices that opens are looked at on; a block device is met through a node of any file system.
    pub fn devices(&self) -> BTreeSet<KernelDev> {
        self.keys()
            .filter(|key| key.ino != 0)
            .map(|key| key.dev)
            .collect()
    }
}

/// What one hook counted, over all processors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookCounters {
    /// The hook's number on the wire (`layerwatch_ebpf::hooks`).
    pub number: u16,
    /// The program's name.
    pub hook: &'static str,
    /// The sums.
    pub counters: Counters,
    /// How often the kernel ran no program there (see `misses`).
    pub left_out: u64,
}

/// The watch maps.
pub struct WatchMaps {
    sensitive: HashMap<MapData, KeyBytes, WatchBytes>,
    roots: HashMap<MapData, KeyBytes, WatchBytes>,
    devices: Array<MapData, u32>,
    unscanned: Array<MapData, u32>,
    block_devices: HashMap<MapData, KeyBytes, WatchBytes>,
    sockets: HashMap<MapData, KeyBytes, WatchBytes>,
    filter: Array<MapData, u64>,
    own: HashMap<MapData, u32, u64>,
    alive: Array<MapData, u64>,
    counters: PerCpuArray<MapData, CounterBytes>,
    applied: WatchSet,
    pub(super) misses: Misses,
}

impl std::fmt::Debug for WatchMaps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WatchMaps")
            .field("applied", &self.applied)
            .finish_non_exhaustive()
    }
}

impl WatchMaps {
    /// Takes the maps out of a loaded object; `take` gives a map by its name.
    pub(super) fn new(
        mut take: impl FnMut(&'static str) -> Result<Map, KernelError>,
    ) -> Result<Self, KernelError> {
        let bad = |map: &'static str| {
            move |source| KernelError::Map {
                operation: "open",
                map,
                source,
            }
        };
        Ok(Self {
            sensitive: HashMap::try_from(take("SENSITIVE")?).map_err(bad("SENSITIVE"))?,
            roots: HashMap::try_from(take("ROOTS")?).map_err(bad("ROOTS"))?,
            devices: Array::try_from(take("DEVICES")?).map_err(bad("DEVICES"))?,
            unscanned: Array::try_from(take("UNSCANNED")?).map_err(bad("UNSCANNED"))?,
            block_devices: HashMap::try_from(take("BLOCK_DEVICES")?).map_err(bad("BLOCK_DEVICES"))?,
            sockets: HashMap::try_from(take("SOCKETS")?).map_err(bad("SOCKETS"))?,
            filter: Array::try_from(take("FILTER")?).map_err(bad("FILTER"))?,
            own: HashMap::try_from(take("OWN")?).map_err(bad("OWN"))?,
            alive: Array::try_from(take("ALIVE")?).map_err(bad("ALIVE"))?,
            counters: PerCpuArray::try_from(take("COUNTERS")?).map_err(bad("COUNTERS"))?,
            applied: WatchSet::default(),
            misses: Misses::default(),
        })
    }

    /// Makes the kernel watch `wanted` and nothing else; gives the number of entries that did not fit.
    ///
    /// New entries are set before old ones go, so that an inode in both sets is never unwatched in between.
    pub fn apply(&mut self, wanted: &WatchSet) -> Result<usize, KernelError> {
        let (old_slots, slots) = (slots(&self.applied), slots(wanted));
        let unscanned = u32::from(wanted.awaits_scans());
        let (before, after) = (filter(&self.applied), filter(wanted));
        // A bit without its entry costs a look-up; an entry without its bit is not seen.
        self.set_filter(&before, &union(&before, &after))?;
        let mut left_out = 0;
        for slot in &slots {
            set_flag(&mut self.devices, "DEVICES", *slot, 1)?;
        }
        if unscanned == 1 {
            set_flag(&mut self.unscanned, "UNSCANNED", 0, 1)?;
        }
        let mut applied = wanted.clone();
        let mut set_one =
            |map: &mut HashMap<_, _, _>, name, of: fn(&mut WatchSet) -> &mut BTreeMap<_, u32>| {
                let (old, new) = (of(&mut self.applied).clone(), of(&mut applied).clone());
                let unfit = set(map, name, &self.applied.watches(&old), &applied.watches(&new))?;
                left_out += unfit.len();
                // What did not fit is tried again with the next set.
                of(&mut applied).retain(|key, _| !unfit.contains(key));
                Ok::<(), KernelError>(())
            };
        set_one(&mut self.sensitive, "SENSITIVE", |set| &mut set.files)?;
        set_one(&mut self.roots, "ROOTS", |set| &mut set.directories)?;
        set_one(&mut self.block_devices, "BLOCK_DEVICES", |set| {
            &mut set.block_devices
        })?;
        set_one(&mut self.sockets, "SOCKETS", |set| &mut set.sockets)?;
        for slot in old_slots.difference(&slots) {
            set_flag(&mut self.devices, "DEVICES", *slot, 0)?;
        }
        if unscanned == 0 {
            set_flag(&mut self.unscanned, "UNSCANNED", 0, 0)?;
        }
        self.set_filter(&union(&before, &after), &after)?;
        self.applied = applied;
        Ok(left_out)
    }

    /// Writes the words that differ.
    fn set_filter(&mut self, old: &Filter, new: &Filter) -> Result<(), KernelError> {
        for index in old
            .keys()
            .chain(new.keys().filter(|index| !old.contains_key(index)))
        {
            let word = new.get(index).copied().unwrap_or(0);
            if old.get(index).copied().unwrap_or(0) != word {
                self.filter
                    .set(*index, word, 0)
                    .map_err(|source| KernelError::Map {
                        operation: "fill",
                        map: "FILTER",
                        source,
                    })?;
            }
        }
        Ok(())
    }

    /// Tells the programs to leave out a process of the agent's, by its start in clock ticks since boot (0: any).
    pub fn ignore_process(&mut self, tgid: u32, start_ticks: u64) -> Result<(), KernelError> {
        put(&mut self.own, "OWN", tgid, start_ticks).map(|_| ())
    }

    /// Tells the programs that an agent was there at this time since boot; they report nothing ten minutes later.
    pub fn beat(&mut self, since_boot: Duration) -> Result<(), KernelError> {
        let nanoseconds = u64::try_from(since_boot.as_nanos()).unwrap_or(u64::MAX);
        self.alive
            .set(0, nanoseconds, 0)
            .map_err(|source| KernelError::Map {
                operation: "fill",
                map: "ALIVE",
                source,
            })
    }

    /// Takes over what the programs watch already, and forgets the processes of the agent before.
    pub(super) fn adopt(&mut self) -> Result<(), KernelError> {
        self.applied = WatchSet {
            files: entries(&self.sensitive, "SENSITIVE")?,
            directories: entries(&self.roots, "ROOTS")?,
            block_devices: entries(&self.block_devices, "BLOCK_DEVICES")?,
            sockets: entries(&self.sockets, "SOCKETS")?,
            generations: BTreeMap::new(),
        };
        let processes: Vec<u32> = self.own.keys().collect::<Result<_, _>>().map_err(read("OWN"))?;
        processes
            .into_iter()
            .try_for_each(|tgid| self.forget_process(tgid))
    }

    /// What the programs watch, as far as this agent knows.
    pub(super) fn applied(&self) -> &WatchSet {
        &self.applied
    }

    /// Tells the programs that a process of the agent's is gone.
    pub fn forget_process(&mut self, tgid: u32) -> Result<(), KernelError> {
        remove(&mut self.own, "OWN", tgid)
    }

    /// What each hook counted.
    pub fn counters(&self) -> Result<Vec<HookCounters>, KernelError> {
        let left_out = self.misses.count().unwrap_or_else(|error| {
            // The counters themselves are no less true.
            tracing::warn!(
                error = chain(&error),
                "it is not known how often the kernel left programs out"
            );
            BTreeMap::new()
        });
        NAMES
            .iter()
            .map(|(hook, name)| {
                let values = self
                    .counters
                    .get(&u32::from(*hook), 0)
                    .map_err(|source| KernelError::Map {
                        operation: "read",
                        map: "COUNTERS",
                        source,
                    })?;
                let counters = values
                    .iter()
                    .map(|bytes| bytemuck::cast(*bytes))
                    .fold(Counters::default(), sum);
                Ok(HookCounters {
                    number: *hook,
                    hook: name,
                    counters,
                    left_out: left_out.get(hook).copied().unwrap_or(0),
                })
            })
            .collect()
    }
}

/// The words of the map `FILTER` that are not 0.
type Filter = BTreeMap<u32, u64>;

fn filter(set: &WatchSet) -> Filter {
    let mut words = Filter::new();
    for key in set.keys() {
        for bit in [number_bit(key.ino), inode_bit(InodeKey::new(key.dev.0, key.ino))] {
            debug_assert!(bit < FILTER_BITS, "the filter has no such bit");
            *words.entry(bit / 64).or_default() |= 1 << (bit % 64);
        }
    }
    words
}

/// The slots of the map `DEVICES` that are not 0.
fn slots(set: &WatchSet) -> BTreeSet<u32> {
    set.devices().iter().map(|dev| device_slot(dev.0)).collect()
}

fn union(a: &Filter, b: &Filter) -> Filter {
    let mut both = a.clone();
    for (index, word) in b {
        *both.entry(*index).or_default() |= word;
    }
    both
}

fn sum(a: Counters, b: Counters) -> Counters {
    Counters {
        seen: a.seen + b.seen,
        matched: a.matched + b.matched,
        ignored: a.ignored + b.ignored,
        emitted: a.emitted + b.emitted,
        repeated: a.repeated + b.repeated,
        own: a.own + b.own,
        ring_full: a.ring_full + b.ring_full,
        walk_truncated: a.walk_truncated + b.walk_truncated,
        read_error: a.read_error + b.read_error,
    }
}

fn set(
    map: &mut HashMap<MapData, KeyBytes, WatchBytes>,
    name: &'static str,
    old: &BTreeMap<WatchKey, Watch>,
    new: &BTreeMap<WatchKey, Watch>,
) -> Result<BTreeSet<WatchKey>, KernelError> {
    let mut left_out = BTreeSet::new();
    for (key, watch) in new.iter().filter(|(key, watch)| old.get(key) != Some(watch)) {
        if put(map, name, key_bytes(*key), bytemuck::cast(*watch))? > 0 {
            left_out.insert(*key);
        }
    }
    for key in old.keys().filter(|key| !new.contains_key(key)) {
        remove(map, name, key_bytes(*key))?;
    }
    // What went has made room.
    for key in left_out.clone() {
        if let Some(watch) = new.get(&key)
            && put(map, name, key_bytes(key), bytemuck::cast(*watch))? == 0
        {
            left_out.remove(&key);
        }
    }
    Ok(left_out)
}

/// The entries of a watch map; the generations are set anew with the first snapshot.
fn entries(
    map: &HashMap<MapData, KeyBytes, WatchBytes>,
    name: &'static str,
) -> Result<BTreeMap<WatchKey, u32>, KernelError> {
    map.iter()
        .map(|entry| {
            let (key, watch) = entry.map_err(read(name))?;
            let (key, watch): (InodeKey, Watch) = (bytemuck::cast(key), bytemuck::cast(watch));
            let dev = KernelDev(key.dev);
            Ok((DevIno { dev, ino: key.ino }, watch.flags))
        })
        .collect()
}

fn read(map: &'static str) -> impl FnOnce(MapError) -> KernelError {
    move |source| KernelError::Map {
        operation: "read",
        map,
        source,
    }
}

fn key_bytes(key: WatchKey) -> KeyBytes {
    bytemuck::cast(InodeKey::new(key.dev.0, key.ino))
}

fn set_flag(
    map: &mut Array<MapData, u32>,
    name: &'static str,
    index: u32,
    flag: u32,
) -> Result<(), KernelError> {
    map.set(index, flag, 0).map_err(|source| KernelError::Map {
        operation: "fill",
        map: name,
        source,
    })
}

/// 1 if the map is full, else 0.
fn put<K: aya::Pod, V: aya::Pod>(
    map: &mut HashMap<MapData, K, V>,
    name: &'static str,
    key: K,
    value: V,
) -> Result<usize, KernelError> {
    /// `E2BIG`: the map's own limit; `ENOMEM` is an error, since a retry may work.
    const TOO_BIG: i32 = 7;
    match map.insert(key, value, 0) {
        Ok(()) => Ok(0),
        Err(MapError::SyscallError(error)) if error.io_error.raw_os_error() == Some(TOO_BIG) => Ok(1),
        Err(source) => Err(KernelError::Map {
            operation: "fill",
            map: name,
            source,
        }),
    }
}

fn remove<K: aya::Pod, V: aya::Pod>(
    map: &mut HashMap<MapData, K, V>,
    name: &'static str,
    key: K,
) -> Result<(), KernelError> {
    match map.remove(&key) {
        // An entry that did not fit is not there.
        Ok(()) | Err(MapError::KeyNotFound) => Ok(()),
        Err(MapError::SyscallError(error)) if error.io_error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(KernelError::Map {
            operation: "empty",
            map: name,
            source,
        }),
    }
}
