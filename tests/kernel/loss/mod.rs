//! Nothing is lost but what is counted: many opens with few findings among them, and more reads of findings than the ring
//! holds.

mod here;

use std::collections::BTreeSet;
use std::ffi::CStr;
use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use layerwatch_ebpf::{hooks, kinds};
use rustix::fs::{Mode, OFlags, openat};
use rustix::io::pread;
use rustix::process::Uid;

use crate::fixture::{Layer, USER};

/// What is read, and how: by a name below an open directory, so that the way there costs nothing.
pub(crate) struct Reads<'a> {
    pub(crate) directory: &'a Path,
    pub(crate) threads: usize,
    pub(crate) total: usize,
    /// Not more a second than this.
    pub(crate) per_second: u32,
}

/// As fast as it goes.
pub(crate) const UNBOUNDED: u32 = u32::MAX;

impl Reads<'_> {
    /// Opens and reads so many files as the user, in threads that share the work; how long it took.
    pub(crate) fn as_user<'n>(&self, name: impl Fn(usize) -> &'n CStr + Sync) -> Result<Duration> {
        let directory = File::open(self.directory).context("open the directory")?;
        let begun = Instant::now();
        let work = |first: usize| {
            let user = Uid::from_raw(USER);
            // The thread's own ids alone, which end with it.
            rustix::thread::set_thread_res_uid(user, user, user).context("become the user")?;
            let mut bytes = [0; 8];
            for number in (first..self.total).step_by(self.threads) {
                let due = Duration::from_secs(1) * u32::try_from(number)? / self.per_second;
                std::thread::sleep(due.saturating_sub(begun.elapsed()));
                let name = name(number);
                let file = openat(&directory, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
                    .with_context(|| format!("open {name:?}"))?;
                let read = pread(&file, &mut bytes, 0).context("read it")?;
                ensure!(read == bytes.len(), "a file is short");
            }
            anyhow::Ok(())
        };
        std::thread::scope(|scope| {
            let work = &work;
            let workers: Vec<_> = (0..self.threads)
                .map(|first| scope.spawn(move || work(first)))
                .collect();
            workers.into_iter().try_for_each(|worker| {
                let ended = worker.join();
                ended.map_err(|_panic| anyhow!("a reader died"))?
            })
        })?;
        Ok(begun.elapsed())
    }
}

#[test]
fn what_the_full_ring_refuses_is_counted() -> Result<()> {
    // More than the ring holds, and nobody takes anything out.
    const READS: usize = 20_000;
    let mut layer = Layer::new()?;
    layer.records()?;
    let ring_full = |layer: &mut Layer| -> Result<u64> {
        let counters = layer.maps().counters()?;
        let open = counters.iter().find(|place| place.number == hooks::OPEN);
        Ok(open.context("no counters of opens")?.counters.ring_full)
    };
    let before = ring_full(&mut layer)?;
    let reads = Reads {
        directory: &layer.path("lower/etc"),
        threads: 4,
        total: READS,
        per_second: UNBOUNDED,
    };
    reads.as_user(|_| c"secret.key").context("read the secret")?;
    let lost = ring_full(&mut layer)? - before;
    let records = layer.drain();
    let opens = records.iter().filter(|record| record.kind == kinds::OPEN_FINDING);
    let ids: BTreeSet<_> = opens.map(|record| (record.cpu, record.sequence)).collect();
    assert_eq!(ids.len() + usize::try_from(lost)?, READS);
    ensure!(lost > 0, "the ring took everything");
    Ok(())
}
